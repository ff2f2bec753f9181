"""Market sources other than native sessions: what is asked for over REST, again and again."""
