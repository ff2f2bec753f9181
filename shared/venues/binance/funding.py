"""Marks and funding of one Binance futures connection: frames in, messages out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from shared.messages.market import Funding, Mark
from shared.venues.port import Effect, Emit
from shared.venues.times import unix_ns


class MarkEvent(Protocol):
    """A mark-price event."""

    @property
    def symbol(self) -> str:
        """The venue's spelling."""

    @property
    def mark_price(self) -> float:
        """Mark price, quote units."""

    @property
    def index_price(self) -> float | None:
        """Index price, quote units."""

    @property
    def rate(self) -> float | str:
        """Funding rate per interval; empty text where the instrument does not fund."""

    @property
    def ts_funding(self) -> int:
        """When it settles, in the venue's unit."""

    @property
    def ts_venue(self) -> int:
        """The venue's event time, in its unit."""


ParseMark = Callable[[bytes], MarkEvent]


class FundingFeed:
    """Marks and rates of some symbols; ``symbols`` maps the venue's spelling to ours."""

    def __init__(self, venue: str, symbols: Mapping[str, str], parse_mark: ParseMark) -> None:
        self._venue, self._instruments, self._parse = venue, dict(symbols), parse_mark

    def on_mark(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A mark price, with the running rate where the instrument funds."""
        event = self._parse(raw)
        instrument = self._instruments.get(event.symbol)
        if instrument is None:
            return ()
        index_price, ts_venue_ns = event.index_price or None, unix_ns(event.ts_venue)
        mark = Mark(
            venue=self._venue,
            instrument=instrument,
            mark_price=event.mark_price,
            index_price=index_price,
            ts_recv_ns=now_ns,
            ts_venue_ns=ts_venue_ns,
        )
        if isinstance(event.rate, str) or not event.ts_funding:
            return (Emit(mark),)
        funding = Funding(
            venue=self._venue,
            instrument=instrument,
            mark_price=event.mark_price,
            index_price=index_price,
            rate=event.rate,
            ts_funding_ns=unix_ns(event.ts_funding),
            ts_recv_ns=now_ns,
            ts_venue_ns=ts_venue_ns,
        )
        return (Emit(mark), Emit(funding))
