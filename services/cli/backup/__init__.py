"""`arb backup` and `arb restore`: what must survive of Redis, the ledger and the configuration."""
