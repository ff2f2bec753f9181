"""Why it does not trade: what the streams of a window say, turned into an answer. Pure."""
