"""The simulated Kraken Futures: public WebSocket v1 and REST v3."""
