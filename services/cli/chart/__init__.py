"""`arb chart`: a price or a net edge in a sliding window."""
