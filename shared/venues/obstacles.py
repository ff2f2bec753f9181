"""Recordings of which not all can be traded. Pure."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class WithObstacles(Protocol):
    """What ``Recordings`` of a venue offer, too, where not all that they read can be traded."""

    def obstacle(self, instrument: str) -> str:
        """Return why orders in an instrument would be wrong, empty if they would not."""
