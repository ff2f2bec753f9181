"""What all simulated venues share: connections, requests, faults, recordings played. Pure."""
