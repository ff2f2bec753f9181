"""Every fault of the simulated venues at every venue of a running stack, judged by the truth."""
