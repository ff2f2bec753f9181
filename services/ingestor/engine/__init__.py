"""The ingestor's decisions. Pure; the protocol is in ``shared/engine.py``."""

from services.ingestor.engine.engine import ENGINE, IngestorEngine

__all__ = ["ENGINE", "IngestorEngine"]
