"""The simulated Coinbase Exchange: public WebSocket feed and REST."""
