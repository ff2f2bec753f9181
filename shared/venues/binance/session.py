"""One connection that speaks Binance's combined-stream protocol: frames in, effects out. Pure.

Spot and futures differ in their sequence rule and a few frames; that difference is a ``Dialect``.
Frames are routed by the stream's name without decoding the wrapper. Server pings are answered by
the WebSocket library; when a connection falls quiet the session asks ``LIST_SUBSCRIPTIONS``, whose
answer (any frame) proves that it lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.errors import ParseError
from shared.venues.binance import parse
from shared.venues.binance.subscriptions import Subscriptions
from shared.venues.binance.trades import Trades
from shared.venues.funding import FundingDialect, FundingFeed
from shared.venues.port import (
    BestQuote,
    Effect,
    FeedKind,
    FeedRefused,
    Malformed,
    Reconnect,
    VenueState,
)
from shared.venues.rest_join import EARLY_DELTAS_MAX, JoinedBook, SequenceRule, Update
from shared.venues.rest_session import RestBooks

STREAMS_PER_CONNECTION_MAX = 200
QUIET_NS = 5_000_000_000
"""Silence after which the connection is asked for a sign of life."""
ANSWER_TIMEOUT_NS = 5_000_000_000
ROUTES_MAX = 4_096
"""Stream names remembered; a connection carries 200, so more are not ours and are not kept."""

SHUTDOWN = "the venue announced a restart"
_REFUSED = (2, 3, -1121)
"""Errors that say that what was asked for cannot be: bad request, bad JSON, bad symbol."""
_PREFIX = b'{"stream":"'
_NAME_AT = len(_PREFIX)


class DepthEvent(Update, Protocol):
    """A depth update that names its symbol."""

    @property
    def symbol(self) -> str:
        """The venue's spelling."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the venues that speak this protocol."""

    sequence: SequenceRule
    parse_depth: Callable[[bytes], DepthEvent]
    funding: FundingDialect | None
    snapshot_path: Callable[[str], str]
    snapshot_weight: int
    snapshot_levels: int


Handler = Callable[[bytes, int], Sequence[Effect]]


class StreamSession(RestBooks):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        dialect: Spot or futures.
        streams: Instrument -> stream names to subscribe, in order.
        symbols: Venue spelling -> instrument, for every instrument that may appear.
        kind: What this connection is for. Whatever else comes, in a recording, is read too.
        early_max: Deltas of a book that wait for its snapshot.
        snapshot_sizes: Levels that may have been asked for, where it was not this session.
    """

    def __init__(
        self,
        venue: str,
        dialect: Dialect,
        streams: Mapping[str, Sequence[str]],
        symbols: Mapping[str, str],
        *,
        kind: FeedKind = FeedKind.DEPTH,
        early_max: int = EARLY_DELTAS_MAX,
        snapshot_sizes: Sequence[int] = (),
    ) -> None:
        self._venue = venue
        self._dialect = dialect
        self._parse_depth = dialect.parse_depth
        self._instruments = dict(symbols)
        books: dict[str, JoinedBook] = {}
        if kind is FeedKind.DEPTH:
            books = {
                symbol: JoinedBook(
                    venue,
                    instrument,
                    dialect.sequence,
                    dialect.snapshot_path(symbol),
                    dialect.snapshot_weight,
                    sizes=snapshot_sizes or (dialect.snapshot_levels,),
                    early_max=early_max,
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books, parse.parse_rest_book)
        self._kind = kind
        self._trades = Trades(venue, symbols)
        self._routes: dict[bytes, Handler] = {}
        self._kinds: dict[str, Handler] = {
            "depth": self._on_depth,
            "trade": self._trades.on_trade,
            "aggTrade": self._trades.on_aggregate,
            "bookTicker": self._on_ticker,
        }
        self._events: dict[str, Handler] = {
            "depthUpdate": self._on_depth,
            "trade": self._trades.on_trade,
            "aggTrade": self._trades.on_aggregate,
            "bookTicker": self._on_ticker,
        }
        self._funding: FundingFeed | None = None
        if dialect.funding is not None:
            self._funding = FundingFeed(venue, symbols, dialect.funding)
            self._kinds["markPrice"] = self._events["markPriceUpdate"] = self._funding.on_mark
        self._subscriptions = Subscriptions(streams)
        self._heard_ns = 0
        self._probed_ns: int | None = None

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe; every book starts over."""
        self._heard_ns, self._probed_ns = now_ns, None
        self._trades.open()
        if self._funding is not None:
            self._funding.open()
        effects: list[Effect] = []
        for book in self._books.values():
            effects.extend(book.open(now_ns))
        return [*effects, *self._subscriptions.open(now_ns)]

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Route a frame by its stream's name, or read what else it is."""
        self._heard_ns, self._probed_ns = now_ns, None
        try:
            # The wrapper's start with the stream's name is the key: no second look at known ones.
            start = raw[: raw.find(b'"', _NAME_AT)]
            handler = self._routes.get(start)
            if handler is None:
                if not start.startswith(_PREFIX):
                    return self._on_other(raw, now_ns)
                handler = self._route(start)
            return handler(raw, now_ns)
        except ParseError as error:
            return (Malformed(str(error)),)

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        self._subscriptions.close()
        return self._close_books()

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Give up on a missing acknowledgement or on silence; ask a quiet connection."""
        if (overdue := self._subscriptions.overdue(now_ns)) is not None:
            return (Reconnect(f"subscription of {', '.join(overdue[:3])} was not acknowledged"),)
        if (again := self._subscriptions.due(now_ns)) is not None:
            return (again,)
        if self._probed_ns is not None:
            if now_ns - self._probed_ns >= ANSWER_TIMEOUT_NS:
                self._probed_ns = now_ns
                silence_s = (now_ns - self._heard_ns) // 1_000_000_000
                return (Reconnect(f"no message for {silence_s} s"),)
        elif now_ns - self._heard_ns >= QUIET_NS:
            self._probed_ns = now_ns
            return (self._subscriptions.request("LIST_SUBSCRIPTIONS"),)
        if self._funding is not None and self._kind is FeedKind.FUNDING:
            return self._funding.on_timer(now_ns)
        return ()

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """An answer about funding."""
        return () if self._funding is None else self._funding.on_facts(topic, body, now_ns)

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """Ask again later."""
        if self._funding is not None:
            self._funding.on_facts_failed(topic, retry_after_s, now_ns)

    def _route(self, start: bytes) -> Handler:
        """Return what reads a stream: ``btcusdt@depth@100ms`` is of kind ``depth``."""
        parts = start[_NAME_AT:].split(b"@")
        kind = parts[1].decode("ascii", "replace") if len(parts) > 1 else ""
        handler = self._kinds.get(kind, self._on_unread if kind else self._on_wrapped)
        if len(self._routes) < ROUTES_MAX:
            self._routes[start] = handler
        return handler

    def _on_depth(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        update = self._parse_depth(raw)
        book = self._books.get(update.symbol)
        return () if book is None else book.on_update(update, now_ns)

    def _on_ticker(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        ticker = parse.parse_ticker(raw)
        instrument = self._instruments.get(ticker.symbol)
        if instrument is None:
            return ()
        bid, ask = (ticker.bid, ticker.bid_qty), (ticker.ask, ticker.ask_qty)
        return (BestQuote(instrument, ticker.update_id, bid, ask),)

    def _on_unread(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A stream that was not asked for (klines in a recording): it must still be JSON."""
        parse.parse_envelope(raw)
        return ()

    def _on_wrapped(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A wrapped frame whose stream's name has no kind, like ``!serverShutdown``."""
        data = bytes(parse.parse_envelope(raw).data)
        event = parse.parse_envelope(data).event if data else None
        is_shutdown = event == "serverShutdown"
        return (VenueState(SHUTDOWN), Reconnect(SHUTDOWN)) if is_shutdown else ()

    def _on_other(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A raw event, an acknowledgement, an error or an announcement."""
        frame = parse.parse_envelope(raw)
        if frame.stream is not None and bytes(frame.data):
            # The wrapper with its keys in another order, or spaced otherwise.
            return self._route(_PREFIX + frame.stream.encode())(raw, now_ns)
        if frame.event == "serverShutdown":
            return (VenueState(SHUTDOWN), Reconnect(SHUTDOWN))
        if frame.event is not None:
            handler = self._events.get(frame.event)
            return () if handler is None else handler(parse.unwrapped(raw), now_ns)
        if bytes(frame.best_bid_qty):
            return self._on_ticker(parse.unwrapped(raw), now_ns)
        return self._on_answer(frame, now_ns)

    def _on_answer(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        asked = self._subscriptions.answered(frame.id)
        code, text = (frame.error.code, frame.error.msg) if frame.error else (frame.code, frame.msg)
        if code is None:
            if asked is None:
                return ()
            if self._kind is FeedKind.TRADES:
                return self._trades.subscribed(asked, now_ns)
            books = [self._book_of[name] for name in asked if name in self._book_of]
            return [effect for book in books for effect in book.subscribed(now_ns)]
        if asked is None:
            return (Malformed(f"the venue answered error {code}: {text}"),)
        reason = f"subscription refused: {code} {text}"
        if code not in _REFUSED:
            return (Reconnect(reason),)
        if len(asked) > 1:  # one of them is at fault, and the others must not go without
            self._subscriptions.split(asked)
            return ()
        if self._kind is not FeedKind.DEPTH:
            return [FeedRefused(name, reason) for name in asked]
        return [e for name in asked for e in self._book_of[name].close(reason, refused=True)]
