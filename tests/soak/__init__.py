"""The whole system for hours: sampled, hurt every now and then, and reconciled at the end."""
