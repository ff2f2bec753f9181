"""Market data on disk: what a store holds, whether it is whole, what is imported and exported."""
