"""The simulated Binance spot: WebSocket streams, REST, WebSocket API."""
