"""One Coinbase Exchange connection: frames in, effects out. Pure.

Errors of the venue name no product, so products are subscribed one after the other: an error is
about the one that waits for its answer. ``heartbeat`` is subscribed with each: a connection on
which nothing comes is left, and its last trade tells of trades that did not come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import BookState, Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.coinbaseexchange import parse
from shared.venues.coinbaseexchange.book import TimedBook
from shared.venues.port import (
    DROPPED_TRADE,
    Dropped,
    Effect,
    Emit,
    FeedKind,
    FeedRefused,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.stream_session import StreamBooks

SILENCE_NS = 15_000_000_000
"""Heartbeats come every second."""
ACK_TIMEOUT_NS = 10_000_000_000
BOOKS, TRADES, HEARTBEAT = "level2_batch", "matches", "heartbeat"
_UPDATE = b'{"type":"l2update"'
_NOT_LISTED = ("not a valid product", "is delisted", "unknown product")
"""How the venue says that it has no such product."""


class CoinbaseSession(StreamBooks[TimedBook]):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Product id -> instrument.
        kind: What this connection is for, books or trades.
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
        self._venue, self._kind, self._instruments = venue, kind, dict(symbols)
        books: dict[str, TimedBook] = {}
        if kind is FeedKind.DEPTH:
            books = {
                symbol: TimedBook(
                    venue, instrument, symbol, self._book_request, is_recorded=is_recorded
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books)
        self._trade_ids: dict[str, int] = {}
        self._to_ask: deque[str] = deque()
        self._asked: tuple[str, int] | None = None  # product that waits for its answer, deadline

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to the first; all books start over."""
        self._heard_ns, self._asked = now_ns, None
        self._trade_ids.clear()
        self._to_ask = deque(self._instruments)
        effects: list[Effect] = [book.open(now_ns) for book in self._books.values()]
        return [*effects, *self._ask_next(now_ns)]

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._heard_ns = now_ns
        try:
            if raw.startswith(_UPDATE):
                return self._on_update(raw, now_ns)
            frame = parse.parse_envelope(raw)
            match frame.type:
                case "l2update":
                    return self._on_update(raw, now_ns)
                case "snapshot":
                    whole = parse.parse_snapshot(raw)
                    book = self._books.get(whole.product_id)
                    return () if book is None else book.on_snapshot(whole, now_ns)
                case "match" | "last_match":
                    return self._on_match(parse.parse_match(raw), now_ns)
                case "heartbeat":
                    return self._on_heartbeat(parse.parse_heartbeat(raw), now_ns)
                case "subscriptions":
                    return self._on_subscribed(parse.parse_subscriptions(raw), now_ns)
                case "error":
                    return self._on_error(frame, now_ns)
        except ParseError as error:
            return [Malformed(str(error)), *self._start_over(raw, now_ns)]
        return ()

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        self._asked = None
        self._to_ask.clear()
        return self._close_books()

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Leave when silent or unanswered, and subscribe what is due."""
        if self._asked is not None and now_ns >= self._asked[1]:
            symbol, self._asked = self._asked[0], None
            return (Reconnect(f"the subscription of {symbol} was not acknowledged"),)
        if now_ns - self._heard_ns >= SILENCE_NS:
            silent_s = (now_ns - self._heard_ns) // 10**9
            self._heard_ns = now_ns
            return (Reconnect(f"no message for {silent_s} s"),)
        effects: list[Effect] = []
        for symbol, book in self._books.items():
            is_asked = symbol not in self._to_ask
            if is_asked and book.is_overdue(now_ns):
                return (Reconnect(f"no snapshot of {book.instrument} came"),)
            effects += book.on_timer(now_ns)
        return effects

    def _ask_next(self, now_ns: int) -> list[Effect]:
        if not self._to_ask:
            self._asked = None
            return []
        symbol = self._to_ask.popleft()
        self._asked = symbol, now_ns + ACK_TIMEOUT_NS
        return [self._request("subscribe", symbol, [self._channel, HEARTBEAT])]

    @property
    def _channel(self) -> str:
        return TRADES if self._kind is FeedKind.TRADES else BOOKS

    def _book_request(self, method: str, symbols: list[str]) -> Send:
        return self._request(method, symbols[0], [BOOKS])

    def _request(self, method: str, symbol: str, channels: list[str]) -> Send:
        body = {"type": method, "product_ids": [symbol], "channels": channels}
        return Send(json.encode(body).decode())

    def _on_update(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_update(raw)
        book = self._books.get(frame.product_id)
        return () if book is None else book.on_update(frame, now_ns)

    def _start_over(self, raw: bytes, now_ns: int) -> list[Effect]:
        """Ask again for the book that an unreadable frame may be of: no number would show it."""
        named = [book for symbol, book in self._books.items() if f'"{symbol}"'.encode() in raw]
        return [
            effect
            for book in named or self._books.values()
            if book.state.is_followed
            for effect in book.resubscribe(BookState.GAP, "an update is unreadable", now_ns)
        ]

    def _on_match(self, frame: parse.MatchFrame, now_ns: int) -> Sequence[Effect]:
        """Tell a trade; its id proves that none is missing since the one before."""
        instrument = self._instruments.get(frame.product_id)
        if instrument is None or self._kind is not FeedKind.TRADES:
            return ()
        last = self._trade_ids.get(frame.product_id)
        if frame.type == "last_match" and last is None:
            self._trade_ids[frame.product_id] = frame.trade_id
            return ()  # from before we came
        if last is not None and frame.trade_id <= last:
            return (Dropped(instrument, DROPPED_TRADE),)
        effects = self._noted(frame.product_id, frame.trade_id, frame.trade_id - 1, now_ns)
        message = Trade(
            venue=self._venue,
            instrument=instrument,
            trade_id=str(frame.trade_id),
            side=Side.SELL if frame.side == "buy" else Side.BUY,  # the maker's is told
            price=frame.price,
            qty=frame.size,
            ts_recv_ns=now_ns,
            ts_venue_ns=parse.unix_ns(frame.time),
        )
        return [*effects, Emit(message)]

    def _on_heartbeat(self, frame: parse.HeartbeatFrame, now_ns: int) -> Sequence[Effect]:
        """Compare the last trade there was with the last that came."""
        if self._kind is not FeedKind.TRADES or frame.product_id not in self._trade_ids:
            return ()
        if frame.last_trade_id <= self._trade_ids[frame.product_id]:
            return ()
        return self._noted(frame.product_id, frame.last_trade_id, frame.last_trade_id, now_ns)

    def _noted(self, symbol: str, trade_id: int, before: int, now_ns: int) -> list[Effect]:
        """Note the newest trade; tell if one up to ``before`` did not come."""
        last, self._trade_ids[symbol] = self._trade_ids.get(symbol), trade_id
        if last is None or before <= last:
            return []
        return [self._missed(symbol, "trades are missing by their ids", now_ns)]

    def _missed(self, symbol: str, reason: str, now_ns: int) -> Emit:
        message = TradesMissed(
            venue=self._venue,
            instrument=self._instruments[symbol],
            ongoing=False,
            ts_recv_ns=now_ns,
            reason=reason,
        )
        return Emit(message)

    def _on_subscribed(self, frame: parse.Subscriptions, now_ns: int) -> Sequence[Effect]:
        """Note that what was asked for is subscribed, and ask for the next."""
        if self._asked is None:
            return ()
        symbol = self._asked[0]
        names = [each.name for each in frame.channels if symbol in each.product_ids]
        if not any(name.removesuffix("_50") == self._channel for name in names):
            return ()
        effects: list[Effect] = []
        if self._kind is FeedKind.TRADES:  # what was traded before is not known
            effects.append(self._missed(symbol, "subscribed", now_ns))
        return [*effects, *self._ask_next(now_ns)]

    def _on_error(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        reason = f"subscription refused: {frame.reason or frame.message}"
        if self._asked is None:
            return (Malformed(reason),)
        symbol = self._asked[0]
        is_final = any(mark in reason.lower() for mark in _NOT_LISTED)
        effect: Effect
        if (book := self._books.get(symbol)) is not None:
            effect = (
                book.close(reason, refused=True) if is_final else book.try_again(reason, now_ns)
            )
        elif is_final:
            effect = FeedRefused(self._instruments[symbol], reason)
        else:
            effect = Reconnect(reason)
        return [effect, *self._ask_next(now_ns)]
