"""Simulated venues that speak the real venues' WebSocket and REST protocols."""
