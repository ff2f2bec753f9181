"""What of the metrics is wrong, and whom to tell; Prometheus' rules are made of it."""
