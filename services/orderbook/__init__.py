"""The orderbook service: proved books in, trusted depth views out."""
