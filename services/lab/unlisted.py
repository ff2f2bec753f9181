"""What the lab's feeds have in common: no venue lists their markets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.messages.rules import InstrumentRules
from shared.venues.port import FeedConnection, FeedKind


class UnlistedFeed:
    """Books alone, by the instruments' own names; rules come from elsewhere."""

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return none: whatever else there is comes with the book."""
        return ()

    def to_symbol(self, instrument: str) -> str:
        """Return the instrument itself."""
        return instrument

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the instrument itself."""
        return str(market["symbol"])

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Rules come from the lab's exchanges, or from the recording."""
        raise NotImplementedError
