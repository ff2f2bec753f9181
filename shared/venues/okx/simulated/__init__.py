"""The simulated OKX: public streams and REST v5 of its spot market."""
