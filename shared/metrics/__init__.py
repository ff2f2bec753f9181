"""What is measured of the system: the table of metrics, and how it is folded and read."""
