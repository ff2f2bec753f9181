"""The ingestor's decisions. Pure; the protocol is in ``shared/engine.py``."""

from services.ingestor.engine.engine import IngestorEngine

__all__ = ["IngestorEngine"]
