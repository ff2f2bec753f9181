"""The simulated Kraken spot: WebSocket v2 and REST."""
