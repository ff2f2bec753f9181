"""The simulated Binance USDT-M futures: routed WebSocket streams and REST."""
