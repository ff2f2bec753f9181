"""Any venue that ccxt's streaming clients know, as a feed: ``adapter = "ccxt:<id>"``. Pure.

The client keeps the book, with whatever rule it has for that venue; here arrive whole books, as
frames of one shape. Nothing shows whether the client lost a change, so they are UNPROVED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.config_sections import VenueConfig
from shared.domain.instrument import InstrumentKind
from shared.errors import ConfigError, ParseError
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot, Level
from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.client_books import ClientBooks
from shared.venues.decoding import decoded
from shared.venues.names import checked_name
from shared.venues.port import (
    BookStatus,
    Effect,
    Emit,
    FeedConnection,
    FeedKind,
    Malformed,
    Reconnect,
    RestBudget,
)
from shared.venues.proof import BookProof
from shared.venues.rules import number, places

PREFIX = "ccxt:"
LEVELS = 50
"""Of each side: what is published of a client's book."""
QUIET_NS = 5_000_000_000
"""A book of which the client has said nothing for so long may be frozen: it is not published anew
for a reader that lost or suspects it, a new client is begun."""
TIME_MS_MAX = 253_402_300_799_999
PRECISION_MODE, STEPS, PLACES = "precisionMode", 4, 2
"""Beside a market: whether its precisions are steps or decimal places, in ccxt's numbers."""
_DAY_S = 24 * 3600.0

_Price = Annotated[float, Meta(gt=0, le=1e15)]
_Qty = Annotated[float, Meta(gt=0, le=1e18)]


class BookFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says of one book: the book, or why there is none (``problem``).

    ``refused``: the venue does not serve the instrument. ``time_ms`` is the venue's own.
    """

    instrument: str
    bids: list[tuple[_Price, _Qty]] = []
    asks: list[tuple[_Price, _Qty]] = []
    time_ms: Annotated[int, Meta(ge=0, le=TIME_MS_MAX)] | None = None
    problem: str = ""
    refused: bool = False


class _Named(msgspec.Struct, frozen=True):
    """What is still readable of a frame that is none."""

    instrument: str


_FRAME, _NAME = msgspec.json.Decoder(BookFrame), msgspec.json.Decoder(_Named)


def why_unproved(ccxt_id: str) -> str:
    """Return the reason of every book."""
    return f"kept by ccxt's client of {ccxt_id}: a lost change would not show"


class _ClientBook:
    """One book: what was published last of what the client has."""

    def __init__(self, venue: str, instrument: str, why: str) -> None:
        self._venue, self.instrument, self._why = venue, instrument, why
        self._sides: tuple[dict[float, float], dict[float, float]] | None = None
        self._said_ns = 0
        self.epoch = self._seq = 0

    def wait(self, state: BookState, reason: str, *, refused: bool = False) -> list[Effect]:
        """Nothing is known any more."""
        self._sides = None
        return [BookStatus(self.instrument, state, reason, self.epoch, refused)]

    def on_book(self, frame: BookFrame, now_ns: int) -> list[Effect]:
        """Take what the client says."""
        self._said_ns = now_ns
        return self._publish(frame, now_ns)

    def _publish(self, frame: BookFrame, now_ns: int) -> list[Effect]:
        """Publish a whole book at first, then what differs from the one before."""
        bids, asks = dict(frame.bids[:LEVELS]), dict(frame.asks[:LEVELS])
        before, self._sides = self._sides, (bids, asks)
        ts_venue_ns = None if frame.time_ms is None else frame.time_ms * 1_000_000
        if before is None:
            self.epoch, self._seq = max(self.epoch + 1, now_ns), 1
            snapshot = BookSnapshot(
                venue=self._venue,
                instrument=self.instrument,
                epoch=self.epoch,
                seq=1,
                bids=list(bids.items()),
                asks=list(asks.items()),
                ts_recv_ns=now_ns,
                ts_venue_ns=ts_venue_ns,
                depth_max=LEVELS,
                unproved=self._why,
            )
            state = BookStatus(self.instrument, BookState.UNPROVED, self._why, self.epoch)
            return [Emit(snapshot), state]
        changed = [_changes(*pair) for pair in zip(before, self._sides, strict=True)]
        self._seq += 1
        delta = BookDelta(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq_prev=self._seq - 1,
            seq=self._seq,
            bids=changed[0],
            asks=changed[1],
            ts_recv_ns=now_ns,
            ts_venue_ns=ts_venue_ns,
        )
        return [Emit(delta)]

    def renew(self, epoch: int, now_ns: int) -> list[Effect]:
        """Publish what is known as a new epoch, for a reader that lost this one."""
        if self._sides is None or epoch != self.epoch:
            return []
        if now_ns - self._said_ns >= QUIET_NS:
            return [Reconnect(f"the client says nothing more of {self.instrument}")]
        bids, asks = self._sides
        self._sides = None
        frame = BookFrame(
            instrument=self.instrument, bids=list(bids.items()), asks=list(asks.items())
        )
        return self._publish(frame, now_ns)


def _changes(before: Mapping[float, float], after: Mapping[float, float]) -> list[Level]:
    """Return what makes one side of another: removals first, so that none is cut for room."""
    gone = [(price, 0.0) for price in before if price not in after]
    return gone + [(price, qty) for price, qty in after.items() if before.get(price) != qty]


class CcxtSession:
    """The books of one client."""

    def __init__(self, venue: str, instruments: Sequence[str], ccxt_id: str) -> None:
        why = why_unproved(ccxt_id)
        self._books = {name: _ClientBook(venue, name, why) for name in instruments}

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """The client begins to watch; every book starts over."""
        return [
            effect
            for book in self._books.values()
            for effect in book.wait(BookState.SYNCING, "waiting for the client's first book")
        ]

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Take a book, or why there is none; one that cannot be read ends what was known of it."""
        try:
            frame = decoded(_FRAME, raw, "a book of ccxt's client")
        except ParseError as error:
            return (*self._lost(raw, str(error)), Malformed(str(error)))
        book = self._books.get(frame.instrument)
        if book is None:
            return ()
        if frame.problem:
            return book.wait(BookState.DOWN, frame.problem, refused=frame.refused)
        return book.on_book(frame, now_ns)

    def _lost(self, raw: bytes, reason: str) -> list[Effect]:
        try:
            named = decoded(_NAME, raw, "a name of a book")
        except ParseError:
            return []
        book = self._books.get(named.instrument)
        return [] if book is None else book.wait(BookState.DOWN, reason)

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_snapshot_failed(
        self, instrument: str, retry_after_s: float, now_ns: int
    ) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """Publish the book anew where the client still speaks of it, else begin a new client."""
        book = self._books.get(instrument)
        return () if book is None else book.renew(epoch, now_ns)

    def on_refresh(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """Nothing: every frame is a whole book."""
        return ()

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """Nothing: none are asked for."""

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        return [
            effect
            for book in self._books.values()
            for effect in book.wait(BookState.DOWN, "the client was closed")
        ]

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Nothing: the client tends its connections."""
        return ()


class CcxtFeed:
    """A venue through ccxt's streaming client of this id; books only."""

    ws_url = rest_url = ""
    """The client knows its venue's addresses."""
    rest_budget = RestBudget(weight_per_minute=60)
    lifetime_s = _DAY_S
    extras: Sequence[FeedKind] = ()
    proof = BookProof(
        rule="nothing that shows here: ccxt's client keeps the book",
        zero="as the client takes it",
        depth=f"{LEVELS} a side, cut there",
        resync="the client's book; a new client where that says nothing more",
        unproved="that no change was lost: its books are UNPROVED",
        is_sequenced=False,
    )

    def __init__(self, ccxt_id: str) -> None:
        self.ccxt_id, self.venue = ccxt_id, PREFIX + ccxt_id

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return one client for all of them.

        Raises:
            ConfigError: A name that is none.
        """
        for instrument in instruments:
            try:
                self.to_symbol(instrument)
            except ValueError as error:
                raise ConfigError(f"venue {venue}: {error}") from error
        session = CcxtSession(venue, instruments, self.ccxt_id)
        client = ClientBooks(self.ccxt_id, tuple(instruments))
        return [FeedConnection(venue, "", tuple(instruments), session, "books", client=client)]

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return none: there are only books."""
        return []

    def to_symbol(self, instrument: str) -> str:
        """Return the name itself: instruments are named as ccxt's markets are.

        Spot only: whether quantities of a perpetual's book are contracts differs from client to
        client.

        Raises:
            ValueError: It is no spot instrument.
        """
        checked_name(instrument, InstrumentKind.SPOT)
        return instrument

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the market's name."""
        return str(market["symbol"])

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market, with its ``PRECISION_MODE``.

        Its fees are a table of ccxt's, often out of date: the configuration must say the taker's.
        """
        step = {STEPS: number, PLACES: places}.get(market.get(PRECISION_MODE, 0), _unknown)
        limits = market.get("limits") or {}
        amount, cost = limits.get("amount") or {}, limits.get("cost") or {}
        numbers = {
            "tick_size": step(market["precision"].get("price")),
            "lot_size": step(market["precision"].get("amount")),
            "qty_min": number(amount.get("min") or 0),
            "qty_max": number(amount.get("max")),
            "notional_min": number(cost.get("min") or 0),
            "taker_fee_bps": _bps(market.get("taker")),
            "maker_fee_bps": _bps(market.get("maker")),
            "contract_size": Decimal(1),
        }
        is_active = market.get("active") is not False
        return rules_from(venue, market["symbol"], numbers, active=is_active, reason="not active")


def _unknown(_: object) -> None:
    """Return that no step is known: significant digits are none."""


def _bps(fraction: object) -> Decimal | None:
    told = number(fraction)
    return None if told is None else told * 10_000


def check_fee(venue: VenueConfig) -> None:
    """Refuse a section that reads books through ccxt and does not say what trading costs there.

    Raises:
        ConfigError: It does not.
    """
    if venue.adapter.startswith(PREFIX) and venue.taker_fee_bps is None:
        raise ConfigError(
            f"adapter {venue.adapter!r} needs taker_fee_bps: ccxt's table of fees is not kept up "
            "to date; give your own tier, like taker_fee_bps = 10"
        )
