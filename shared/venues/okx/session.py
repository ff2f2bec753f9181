"""One OKX v5 public connection: frames in, effects out. Pure.

Each channel of an instrument is subscribed by a request of its own, so that one that is refused
takes no other with it. The venue closes a connection on which nothing was said for 30 s: one that
falls quiet is pinged earlier, by the text ``ping``, and left when it stays silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.okx import parse
from shared.venues.okx.book import ProvedBook
from shared.venues.okx.checked import DEPTH
from shared.venues.port import (
    Effect,
    Emit,
    FeedKind,
    FeedRefused,
    FetchSnapshot,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.stream_session import StreamBooks
from shared.venues.times import unix_ns

BOOKS, TRADES = "books", "trades"
CHANNELS = {FeedKind.DEPTH: BOOKS, FeedKind.TRADES: TRADES}
PING, PONG = "ping", b"pong"
REST_BOOK_WEIGHT = 1
QUIET_NS = 5_000_000_000
ANSWER_TIMEOUT_NS = 5_000_000_000
ACK_TIMEOUT_NS = 10_000_000_000
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_SNAPSHOT, _UPDATE = "snapshot", "update"


def rest_book_path(symbol: str, levels: int) -> str:
    """Return the path of a book over REST."""
    return f"/api/v5/market/books?instId={symbol}&sz={levels}"


class OkxSession(StreamBooks[ProvedBook]):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Venue spelling -> instrument.
        kind: What this connection is for: books or trades.
        is_recorded: Frames come from a recording: nothing is waited for.
    """

    def __init__(
        self,
        venue: str,
        symbols: Mapping[str, str],
        *,
        kind: FeedKind = FeedKind.DEPTH,
        is_recorded: bool = False,
    ) -> None:
        self._venue, self._channel, self._instruments = venue, CHANNELS[kind], dict(symbols)
        books: dict[str, ProvedBook] = {}
        if kind is FeedKind.DEPTH:
            books = {
                symbol: ProvedBook(
                    venue, instrument, symbol, self._request, is_recorded=is_recorded
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books)
        self._request_id = 0
        self._asked: dict[str, tuple[str, int]] = {}  # request -> symbol, deadline
        self._pinged_ns: int | None = None

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to all books, which start over, or to all trades."""
        self._now_ns = self._heard_ns = now_ns
        self._pinged_ns = None
        self._asked.clear()
        effects: list[Effect] = []
        for symbol in self._instruments:
            if (book := self._books.get(symbol)) is not None:
                effects.append(book.open(now_ns))
            effects.append(self._request("subscribe", [symbol]))
        return effects

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._now_ns = self._heard_ns = now_ns
        self._pinged_ns = None
        if raw == PONG:
            return ()
        try:
            frame = parse.parse_envelope(raw)
            if frame.event:
                return self._on_event(frame, now_ns)
            if frame.arg.channel == BOOKS:
                return self._on_book(raw, now_ns)
            return self._on_trades(raw, now_ns) if frame.arg.channel == TRADES else ()
        except ParseError as error:
            return (Malformed(str(error)),)

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Join a REST book, which is asked for where no snapshot comes on the connection."""
        self._now_ns = now_ns
        if (book := self._book_of.get(instrument)) is None:
            return ()
        try:
            return book.on_rest_book(parse.parse_rest_book(body), now_ns)
        except ParseError as error:
            book.on_rest_failed(0.0, now_ns)
            return (Malformed(str(error)),)

    def on_snapshot_failed(
        self, instrument: str, retry_after_s: float, now_ns: int
    ) -> Sequence[Effect]:
        """Ask again, not before ``retry_after_s``."""
        if (book := self._book_of.get(instrument)) is not None:
            book.on_rest_failed(retry_after_s, now_ns)
        return ()

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        self._asked.clear()
        return self._close_books()

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Ping, give up on silence or on a missing answer, and do what is due."""
        self._now_ns = now_ns
        for symbol, deadline_ns in self._asked.values():
            if now_ns >= deadline_ns:
                self._asked.clear()
                return (Reconnect(f"the subscription of {symbol} was not acknowledged"),)
        if self._pinged_ns is not None and now_ns - self._pinged_ns >= ANSWER_TIMEOUT_NS:
            self._pinged_ns = now_ns
            return (Reconnect(f"no message for {(now_ns - self._heard_ns) // 10**9} s"),)
        effects: list[Effect] = []
        if self._pinged_ns is None and now_ns - self._heard_ns >= QUIET_NS:
            self._pinged_ns = now_ns
            effects.append(Send(PING))
        if (late := self._overdue(now_ns)) is not None:
            return (late,)
        effects += self._subscriptions_due(now_ns)
        for book in self._books.values():
            if book.wants_rest_book(now_ns):
                path = rest_book_path(book.symbol, DEPTH)
                effects.append(FetchSnapshot(book.instrument, path, REST_BOOK_WEIGHT))
        return effects

    def _request(self, method: str, symbols: list[str]) -> Send:
        self._request_id += 1
        name = str(self._request_id)
        if method == "subscribe":
            self._asked[name] = (symbols[0], self._now_ns + ACK_TIMEOUT_NS)
        channels = [{"channel": self._channel, "instId": symbol} for symbol in symbols]
        return Send(json.encode({"id": name, "op": method, "args": channels}).decode())

    def _on_book(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_book(raw)
        book = self._books.get(frame.arg.symbol)
        if book is None:
            return ()
        if frame.action not in (_SNAPSHOT, _UPDATE):
            raise ParseError(f"books: action {frame.action[:20]!r}")
        effects: list[Effect] = []
        for row in frame.data:
            whole = frame.action == _SNAPSHOT
            effects += book.on_snapshot(row, now_ns) if whole else book.on_update(row, now_ns)
        return effects

    def _on_trades(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        effects = []
        for trade in parse.parse_trades(raw):
            if trade.side not in _SIDES:
                raise ParseError(f"trades: side {trade.side[:20]!r}")
            if (instrument := self._instruments.get(trade.symbol)) is None:
                continue
            message = Trade(
                venue=self._venue,
                instrument=instrument,
                trade_id=trade.trade_id,
                side=_SIDES[trade.side],
                price=trade.price,
                qty=trade.qty,
                ts_recv_ns=now_ns,
                ts_venue_ns=unix_ns(trade.ts_venue),
            )
            effects.append(Emit(message))
        return effects

    def _on_event(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        """Note what is subscribed; what is refused for good is said, anything else tried again."""
        if frame.event == "notice":  # sent half a minute before the venue ends the connection
            return (Reconnect(f"notice {frame.code}: {frame.text[:100]}"),)
        asked = None
        if frame.event in ("subscribe", "error") and isinstance(frame.request, str):
            asked = self._asked.pop(frame.request, None)
        if frame.event == "subscribe":
            return () if asked is None else self._on_subscribed(asked[0], now_ns)
        if frame.event != "error":
            return ()
        reason = f"subscription refused: {frame.code} {frame.text}"
        if asked is None:
            return (Malformed(reason),)
        is_final = frame.code in parse.FINAL_CODES
        if (book := self._books.get(asked[0])) is not None:
            if is_final:
                return (book.close(reason, refused=True),)
            return (book.try_again(reason, now_ns),)
        if is_final:
            return (FeedRefused(self._instruments[asked[0]], reason),)
        return (Reconnect(reason),)

    def _on_subscribed(self, symbol: str, now_ns: int) -> Sequence[Effect]:
        if self._channel != TRADES:
            return ()
        missed = TradesMissed(  # what was traded before is not known
            venue=self._venue,
            instrument=self._instruments[symbol],
            ongoing=False,
            ts_recv_ns=now_ns,
            reason="subscribed",
        )
        return (Emit(missed),)
