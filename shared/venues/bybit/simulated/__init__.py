"""The simulated Bybit: public streams and REST v5 of its linear perpetuals."""
