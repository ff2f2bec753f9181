"""The shell that hosts any service's engine on the bus."""
