"""Strategies: the port they are written to, what they share, and those that come along. Pure."""
