"""Random faults on the running compose stack, and whether the money is right after them."""
