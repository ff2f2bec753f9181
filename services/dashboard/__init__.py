"""The web dashboard: what the bus tells, shown to browsers, and an operator's commands."""
