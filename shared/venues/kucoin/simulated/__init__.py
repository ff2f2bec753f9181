"""The simulated KuCoin spot: public WebSocket and REST."""
