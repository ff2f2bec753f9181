"""The simulated Bitstamp spot: WebSocket v2 and public REST v2."""
