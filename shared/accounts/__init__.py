"""Venue accounts: the port to one (``gateway``), and its implementation through ccxt."""
