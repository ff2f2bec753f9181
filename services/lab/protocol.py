"""A venue's market data protocol for the lab: frames in, effects out, as a real venue's. Pure.

A frame is one change of one book: its instrument, the first and last of ids that follow one
another, the time, changed bids and asks. A REST book has the last id and all levels. Snapshot join,
gaps and refreshes are those of ``shared/venues/rest_join.py``, as for real venues of this kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from services.lab.unlisted import UnlistedFeed
from shared.exchange.listing import Listing
from shared.exchange.matching import MatchingBook
from shared.messages.base import Side
from shared.messages.market import Level
from shared.venues.port import Effect, FeedConnection, FeedKind, Malformed, RestBudget
from shared.venues.rest_join import JoinedBook, Verdict

LEVELS_MAX = 1_000
"""Of a snapshot; the lab's books have fewer, so that every snapshot is complete."""


class Change(msgspec.Struct, frozen=True):
    """One frame."""

    instrument: str = msgspec.field(name="i")
    first_id: int = msgspec.field(name="U")
    last_id: int = msgspec.field(name="u")
    ts_venue: int = msgspec.field(name="E")
    bids: list[Level] = msgspec.field(name="b")
    asks: list[Level] = msgspec.field(name="a")

    @property
    def prev_id(self) -> int:
        """Not part of this protocol."""
        return -1


class SnapshotBody(msgspec.Struct, frozen=True):
    """A REST book."""

    last_id: int = msgspec.field(name="u")
    bids: list[Level] = msgspec.field(name="b")
    asks: list[Level] = msgspec.field(name="a")

    @property
    def ts_venue(self) -> int | None:
        """The venue does not say it."""
        return None


_ENCODER = msgspec.msgpack.Encoder()
_CHANGE = msgspec.msgpack.Decoder(Change)
_SNAPSHOT = msgspec.msgpack.Decoder(SnapshotBody)


def frame_of(change: Change) -> bytes:
    """Return a change as it is sent."""
    return _ENCODER.encode(change)


def body_of(snapshot: SnapshotBody) -> bytes:
    """Return a book as REST answers."""
    return _ENCODER.encode(snapshot)


class Rule:
    """Ids follow one another without a hole."""

    def join(self, snapshot_id: int, update: Any) -> Verdict:
        """Judge a change against a snapshot that nothing was applied to yet."""
        if update.last_id <= snapshot_id:
            return Verdict.DROP
        return Verdict.APPLY if update.first_id <= snapshot_id + 1 else Verdict.GAP

    def follow(self, last_id: int, update: Any) -> Verdict:
        """Judge a change against the one before."""
        if update.last_id <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if update.first_id == last_id + 1 else Verdict.GAP

    def expected(self, last_id: int) -> int:
        """Return the number that would have continued."""
        return last_id + 1

    def got(self, update: Any) -> int:
        """Return the number that is compared with it."""
        first: int = update.first_id
        return first


class LabSession:
    """All books of a venue on one connection."""

    def __init__(self, venue: str, instruments: Sequence[str]) -> None:
        self._books = {
            name: JoinedBook(venue, name, Rule(), f"/{name}", 1, sizes=(LEVELS_MAX,))
            for name in instruments
        }

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Every book starts over; the venue sends without being asked."""
        effects: list[Effect] = []
        for book in self._books.values():
            effects += book.open(now_ns)
            effects += book.subscribed(now_ns)
        return effects

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A change arrived."""
        try:
            change = _CHANGE.decode(raw)
        except msgspec.DecodeError as error:
            return (Malformed(str(error)),)
        book = self._books.get(change.instrument)
        return () if book is None else book.on_update(change, now_ns)

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """The REST book that was asked for."""
        return self._books[instrument].on_snapshot(_SNAPSHOT.decode(body), now_ns)

    def on_snapshot_failed(
        self, instrument: str, retry_after_s: float, now_ns: int
    ) -> Sequence[Effect]:
        """It could not be had."""
        return self._books[instrument].on_snapshot_failed(retry_after_s, now_ns)

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """A reader lost the book of this epoch."""
        return self._books[instrument].resync(epoch, now_ns)

    def on_refresh(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """A reader wants a newer snapshot."""
        return self._books[instrument].refresh(epoch, now_ns)

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """Nothing: none are asked for."""

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        return [e for book in self._books.values() for e in book.close("disconnected")]

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """The lab's connections are never silent."""
        return ()


class LabFeed(UnlistedFeed):
    """A venue of the lab, as the ingestor needs it."""

    ws_url, rest_url, ccxt_id = "ws://lab", "http://lab", ""
    rest_budget = RestBudget(weight_per_minute=6_000, snapshot_share=0.5)
    lifetime_s = 86_400.0
    extras: Sequence[FeedKind] = ()

    def __init__(self, venue: str) -> None:
        self.venue = venue

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return one connection for all of them."""
        session = LabSession(venue, instruments)
        return [FeedConnection(venue, f"/{venue}", tuple(instruments), session, venue)]


def changed_levels(
    book: MatchingBook, listing: Listing, changed: Iterable[tuple[Side, int]]
) -> tuple[list[Level], list[Level]]:
    """Return these levels as bids and asks; each number is the float nearest to its text."""
    price_unit, qty_unit = 10**listing.price_scale, 10**listing.qty_scale
    bids: list[Level] = []
    asks: list[Level] = []
    resting = {Side.BUY: (bids, book.bids.levels), Side.SELL: (asks, book.asks.levels)}
    for side, ticks in changed:
        found, levels = resting[side]
        level = levels.get(ticks)
        found.append((ticks / price_unit, (level.lots if level else 0) / qty_unit))
    return bids, asks
