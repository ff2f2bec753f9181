"""Marks and running rates out of tickers that tell only what has changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.venues.bybit.parse import TickerFrame

PAUSE_NS = 1_000_000_000
"""Between two marks of an instrument that are passed on, at least: ten a second come."""


@dataclass(slots=True)
class Marked:
    """What is known of one symbol; the venue's event of ``shared.venues.funding``."""

    symbol: str
    mark_price: float = 0.0
    index_price: float | None = None
    rate: float | str = ""
    ts_funding: int = 0
    ts_venue: int = 0
    told_ns: int = 0
    is_whole: bool = False


class Tickers:
    """The symbols of one connection."""

    def __init__(self) -> None:
        self._of: dict[str, Marked] = {}

    def clear(self) -> None:
        """The connection is new: its snapshots are yet to come."""
        self._of.clear()

    def take(self, frame: TickerFrame, now_ns: int) -> Marked | None:
        """Merge a frame; return what is to be told now, ``None`` if nothing is."""
        told = frame.data
        known = self._of.get(told.symbol)
        if frame.type == "snapshot" or known is None:
            known = self._of[told.symbol] = Marked(told.symbol)
            known.is_whole = frame.type == "snapshot"
        if isinstance(told.mark_price, float):
            known.mark_price = told.mark_price
        if told.index_price is not None:
            known.index_price = told.index_price if isinstance(told.index_price, float) else None
        if told.rate is not None:
            known.rate = told.rate
        is_moved = told.ts_funding is not None and (told.ts_funding or 0) != known.ts_funding
        if told.ts_funding is not None:
            known.ts_funding = told.ts_funding or 0
        known.ts_venue = frame.ts
        # Of a symbol whose snapshot did not come nobody knows what has not changed.
        if not known.is_whole or not known.mark_price:
            return None
        if now_ns - known.told_ns < PAUSE_NS and not is_moved:
            return None
        known.told_ns = now_ns
        return known
