"""The one scrape target: what all services say of themselves, as metrics for Prometheus."""
