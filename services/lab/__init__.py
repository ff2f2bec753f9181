"""The whole system in one thread, on virtual time: simulation and replay."""
