"""The simulated Bybit: public streams and REST v5 of its perpetuals."""
