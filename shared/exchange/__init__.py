"""A simulated exchange: matching, accounts, and the market around them. Pure.

Time and seed are arguments; there is no IO. A host in virtual time uses ``client.py`` (one
exchange: requests in, answers and events out) and ``world.py`` (several over one market).
``services/venuesim`` puts the venues' protocols in front of ``exchange.py``.
"""
