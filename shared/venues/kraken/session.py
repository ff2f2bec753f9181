"""One Kraken WebSocket v2 connection: frames in, effects out. Pure.

The venue says ``heartbeat`` every second; a connection that falls quiet is pinged, and left when it
stays silent. Each book looks after itself, see ``synced.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import BookState, Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.kraken import parse
from shared.venues.kraken.recorded import RecordedBook
from shared.venues.kraken.synced import SyncedBook
from shared.venues.port import (
    Effect,
    Emit,
    FeedKind,
    FeedRefused,
    Malformed,
    Reconnect,
    Send,
    VenueState,
)
from shared.venues.stream_session import StreamBooks

QUIET_NS = 3_000_000_000
ANSWER_TIMEOUT_NS = 5_000_000_000

ONLINE = "online"
_NOT_LISTED = ("not supported", "not found", "invalid symbol", "unknown symbol")
"""How the venue says that it has no such pair."""
_BOOK = b'{"channel":"book"'
_HEARTBEAT = b'{"channel":"heartbeat"}'


class KrakenSession(StreamBooks[SyncedBook]):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Venue spelling -> instrument.
        depth: Levels to subscribe. What the venue grants counts, so that a recording of another
            depth is read right.
        is_recorded: Frames come from a recording: nothing that is asked for is waited for.
        kind: What this connection is for, books or trades.
    """

    def __init__(
        self,
        venue: str,
        symbols: Mapping[str, str],
        depth: int,
        *,
        is_recorded: bool = False,
        kind: FeedKind = FeedKind.DEPTH,
    ) -> None:
        self._venue = venue
        self._depth = depth
        self._kind, self._instruments = kind, dict(symbols)
        books: dict[str, SyncedBook] = {}
        if kind is FeedKind.DEPTH:
            book = RecordedBook if is_recorded else SyncedBook
            books = {
                symbol: book(
                    venue, instrument, symbol, depth, self._book_request, is_recorded=is_recorded
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books)
        self._request_id = 0
        self._pinged_ns: int | None = None
        self._system = ONLINE

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to all books, which start over, or to all trades."""
        self._heard_ns, self._pinged_ns, self._system = now_ns, None, ONLINE
        symbols = list(self._instruments)
        if self._kind is FeedKind.TRADES:
            trades = {"channel": "trade", "symbol": symbols, "snapshot": False}
            return [self._request("subscribe", trades)]
        effects: list[Effect] = [book.open(now_ns) for book in self._books.values()]
        return [*effects, self._book_request("subscribe", symbols)]

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._heard_ns, self._pinged_ns = now_ns, None
        if raw == _HEARTBEAT:
            return ()
        try:
            if raw.startswith(_BOOK):
                return self._on_book(raw, now_ns)
            return self._on_other(raw, now_ns)
        except ParseError as error:
            return (Malformed(str(error)),)

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        return self._close_books()

    def depth_of(self, instrument: str) -> int:
        """Return how many levels of a book are kept by now."""
        return self._book_of[instrument].depth

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Ping when quiet, leave when silent or a snapshot does not come, subscribe when due."""
        if self._pinged_ns is not None and now_ns - self._pinged_ns >= ANSWER_TIMEOUT_NS:
            self._pinged_ns = now_ns
            return (Reconnect(f"no message for {(now_ns - self._heard_ns) // 10**9} s"),)
        effects: list[Effect] = []
        if self._pinged_ns is None and now_ns - self._heard_ns >= QUIET_NS:
            self._pinged_ns = now_ns
            effects.append(self._request("ping", None))
        if (late := self._overdue(now_ns)) is not None:
            return (late,)
        effects += self._subscriptions_due(now_ns)
        return effects

    def _request(self, method: str, params: dict[str, object] | None) -> Send:
        self._request_id += 1
        request: dict[str, object] = {"method": method}
        if params is not None:
            request["params"] = params
        request["req_id"] = self._request_id
        return Send(json.encode(request).decode())

    def _book_request(self, method: str, symbols: list[str]) -> Send:
        params: dict[str, object] = {"channel": "book", "symbol": symbols, "depth": self._depth}
        if method == "subscribe":
            params["snapshot"] = True
        return self._request(method, params)

    def _on_book(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_book(raw)
        if frame.type not in ("snapshot", "update"):
            raise ParseError(f"book: type {frame.type!r}")
        effects: list[Effect] = []
        for data in frame.data:
            book = self._books.get(data.symbol)
            if book is None or self._system != ONLINE:
                continue
            if frame.type == "snapshot":
                effects.extend(book.on_snapshot(data, now_ns))
            else:
                effects.extend(book.on_update(data, now_ns))
        return effects

    def _on_other(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_envelope(raw)
        if frame.channel == "book":
            return self._on_book(raw, now_ns)
        if frame.channel == "trade":
            return self._on_trades(raw, now_ns)
        if frame.channel == "status":
            return self._on_status(raw, now_ns)
        if frame.method == "subscribe":
            return self._on_answer(frame, now_ns)
        return ()

    def _on_trades(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_trades(raw)
        if frame.type != "update":
            return ()  # the last trades from before we came
        effects = []
        for data in frame.data:
            instrument = self._instruments.get(data.symbol)
            if instrument is None:
                continue
            if data.side not in ("buy", "sell"):
                raise ParseError(f"trade: side {data.side!r}")
            message = Trade(
                venue=self._venue,
                instrument=instrument,
                trade_id=str(data.trade_id),
                side=Side(data.side),
                price=data.price,
                qty=data.qty,
                ts_recv_ns=now_ns,
                ts_venue_ns=parse.unix_ns(data.timestamp),
            )
            effects.append(Emit(message))
        return effects

    def _on_status(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Anything but online takes no orders: its books must not price any."""
        systems = parse.parse_status(raw).data
        system = systems[-1].system if systems else ONLINE
        if system == self._system:
            return ()
        self._system = system
        if system == ONLINE:
            return [
                VenueState(""),
                *(
                    effect
                    for book in self._books.values()
                    for effect in book.resubscribe(BookState.SYNCING, "the venue is back", now_ns)
                ),
            ]
        reason = self._offline_reason
        statuses = [book.suspend(reason, now_ns) for book in self._books.values()]
        return [VenueState(reason), *statuses]

    @property
    def _offline_reason(self) -> str:
        return "" if self._system == ONLINE else f"the venue's system is {self._system}"

    def _on_answer(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        """Note a granted depth; report what is refused for good, try anything else again."""
        if self._kind is FeedKind.TRADES:
            return self._on_trades_answer(frame, now_ns)
        if frame.success is not False:
            granted = frame.result
            book = self._books.get(granted.symbol) if granted else None
            if granted and granted.channel == "book" and granted.depth and book:
                book.grant(granted.depth)
            return ()
        reason = f"subscription refused: {frame.error}"
        book = self._books.get(frame.symbol or "")
        if book is None:
            return (Malformed(reason),)
        if self._offline_reason:  # it subscribes again when the venue is back
            return (book.close(f"{self._offline_reason}; {reason}"),)
        if any(mark in (frame.error or "").lower() for mark in _NOT_LISTED):
            return (book.close(reason, refused=True),)
        return (book.try_again(reason, now_ns),)

    def _on_trades_answer(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        symbol = frame.symbol or (frame.result.symbol if frame.result else "")
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return (Malformed(f"trades: {frame.error}"),) if frame.success is False else ()
        if frame.success is False:
            return (FeedRefused(instrument, f"subscription refused: {frame.error}"),)
        # What was traded before is not known.
        missed = TradesMissed(
            venue=self._venue,
            instrument=instrument,
            ongoing=False,
            ts_recv_ns=now_ns,
            reason="subscribed",
        )
        return (Emit(missed),)
