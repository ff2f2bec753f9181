"""`arb init`: a first configuration, on paper, from a few answers."""
