"""Messages to people: what each provider is sent, and how it gets there."""
