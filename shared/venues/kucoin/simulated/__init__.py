"""The simulated Gate spot: WebSocket v4 and REST v4."""
