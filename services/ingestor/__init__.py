"""The ingestor: venue feeds in; verified books, trades and statuses out."""
