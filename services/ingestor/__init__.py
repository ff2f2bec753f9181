"""The ingestor: venue feeds in, proved books, trades and statuses out."""
