"""Features: numbers that follow a stream of values, each also computed again from its window. Pure.

A feature that accumulates has ``update``, ``value`` and ``recompute``; the two must agree to 1e-12
of the value, which a property test proves. ``value`` is ``None`` until there is enough to say.
Plain floats, no numpy. What is not finite never enters, and is counted.

Views are conflated for a late reader, so a feature that counted messages would differ between live
and replay: what depends on a path samples on a fixed grid of time (``grid.py``).
"""
