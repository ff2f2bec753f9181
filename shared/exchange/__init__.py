"""A simulated exchange: matching, accounts, and the market around them. Pure.

Time and seed are arguments; there is no IO. ``services/venuesim`` puts the venues' protocols in
front of it.
"""
