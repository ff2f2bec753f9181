"""Built-in strategies, one a file: ``class = "cross_venue"`` names the file. Pure."""
