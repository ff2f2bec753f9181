"""`arb doctor`: whether a set-up is right: configuration, files, Redis, clocks, machine."""
