"""What the commands on orders, fills, plans, positions and money read from the ledger's file."""
