"""`arb top`: the running system on a terminal, screen by screen."""
