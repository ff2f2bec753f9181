"""The ledger in SQL: what was planned, ordered, traded, paid and held, each fact once."""
