"""One Bitstamp WebSocket v2 connection: frames in, effects out. Pure.

The venue's errors name no channel, so channels are subscribed one after the other: an error is
about the one that waits for its answer. A connection that falls quiet is asked for a heartbeat, and
left when it stays silent, or when the venue asks for that (``bts:request_reconnect``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.bitstamp import parse
from shared.venues.port import (
    Effect,
    Emit,
    FeedKind,
    FeedRefused,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.rest_join import EARLY_DELTAS_MAX
from shared.venues.rest_session import RestBooks
from shared.venues.unproved_book import TIMES_ONLY, UnprovedBook

BOOKS, TRADES = "diff_order_book_", "live_trades_"
SNAPSHOT_WEIGHT = 1
QUIET_NS = 5_000_000_000
ANSWER_TIMEOUT_NS = 5_000_000_000
ACK_TIMEOUT_NS = 10_000_000_000

BAD_CHANNEL = "bad subscription string"
"""In the error that says that there is no such channel, in small letters."""


def snapshot_path(symbol: str) -> str:
    """Return the REST path of a symbol's whole book."""
    return f"/api/v2/order_book/{symbol}/"


class BitstampSession(RestBooks):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Venue spelling -> instrument.
        early_max: Deltas of a book that wait for its snapshot.
        kind: What this connection is for, books or trades.
        is_recorded: Whether what is read may have been altered since the venue sent it: then both
            times of a change are compared.
    """

    def __init__(
        self,
        venue: str,
        symbols: Mapping[str, str],
        *,
        early_max: int = EARLY_DELTAS_MAX,
        kind: FeedKind = FeedKind.DEPTH,
        is_recorded: bool = False,
    ) -> None:
        self._venue, self._kind, self._instruments = venue, kind, dict(symbols)
        self._prefix = TRADES if kind is FeedKind.TRADES else BOOKS
        books: dict[str, UnprovedBook] = {}
        if kind is FeedKind.DEPTH:
            books = {
                symbol: UnprovedBook(
                    venue,
                    instrument,
                    snapshot_path(symbol),
                    SNAPSHOT_WEIGHT,
                    TIMES_ONLY,
                    early_max=early_max,
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books, parse.parse_rest_book)
        self._unproved, self._is_recorded = books, is_recorded
        self._to_ask: deque[str] = deque()
        self._asked: tuple[str, int] | None = None  # symbol that waits for its answer, deadline
        self._heard_ns = 0
        self._pinged_ns: int | None = None

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to the first; all books start over."""
        self._heard_ns, self._pinged_ns, self._asked = now_ns, None, None
        self._to_ask = deque(self._instruments)
        effects = [effect for book in self._books.values() for effect in book.open(now_ns)]
        return [*effects, *self._ask_next(now_ns)]

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._heard_ns, self._pinged_ns = now_ns, None
        try:
            frame = parse.parse_envelope(raw)
        except ParseError as error:
            return (Malformed(str(error)), *self._lose(list(self._unproved.values()), now_ns))
        if frame.event == "data" and frame.channel.startswith(BOOKS):
            return self._on_change(frame, now_ns)
        if frame.event == "trade" and frame.channel.startswith(TRADES):
            try:
                return self._on_trade(frame, now_ns)
            except ParseError as error:
                return (Malformed(str(error)),)
        if frame.event == "bts:subscription_succeeded":
            return self._on_subscribed(frame.channel, now_ns)
        if frame.event == "bts:request_reconnect":
            return (Reconnect("the venue asked for it"),)
        return self._on_error(frame, now_ns) if frame.event == "bts:error" else ()

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """Nothing: none are asked for."""

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        self._asked = None
        self._to_ask.clear()
        return self._close_books()

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Give up on a missing acknowledgement or on silence; ask a quiet connection."""
        if self._asked is not None and now_ns >= self._asked[1]:
            symbol, self._asked = self._asked[0], None
            return (Reconnect(f"the subscription of {symbol} was not acknowledged"),)
        if self._pinged_ns is not None:
            if now_ns - self._pinged_ns >= ANSWER_TIMEOUT_NS:
                self._pinged_ns = now_ns
                return (Reconnect(f"no message for {(now_ns - self._heard_ns) // 10**9} s"),)
        elif now_ns - self._heard_ns >= QUIET_NS:
            self._pinged_ns = now_ns
            return (Send('{"event":"bts:heartbeat"}'),)
        return ()

    def _on_change(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        book = self._unproved.get(frame.channel.removeprefix(BOOKS))
        if book is None:
            return ()
        try:
            update = parse.parse_book(frame.data)
            if self._is_recorded:
                update.check_times()
        except ParseError as error:
            return (Malformed(str(error)), *self._lose([book], now_ns))
        return book.on_update(update, now_ns)

    def _lose(self, books: Sequence[UnprovedBook], now_ns: int) -> list[Effect]:
        reason = "a change could not be read"
        return [effect for book in books for effect in book.lose(reason, now_ns)]

    def _ask_next(self, now_ns: int) -> list[Effect]:
        if not self._to_ask:
            self._asked = None
            return []
        symbol = self._to_ask.popleft()
        self._asked = symbol, now_ns + ACK_TIMEOUT_NS
        request = {"event": "bts:subscribe", "data": {"channel": self._prefix + symbol}}
        return [Send(json.encode(request).decode())]

    def _on_subscribed(self, channel: str, now_ns: int) -> Sequence[Effect]:
        if self._asked is None or channel != self._prefix + self._asked[0]:
            return ()
        symbol = self._asked[0]
        then = self._ask_next(now_ns)
        if self._kind is not FeedKind.TRADES:
            return [*self._books[symbol].subscribed(now_ns), *then]
        missed = TradesMissed(  # what was traded before is not known
            venue=self._venue,
            instrument=self._instruments[symbol],
            ongoing=False,
            ts_recv_ns=now_ns,
            reason="subscribed",
        )
        return [Emit(missed), *then]

    def _on_error(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        """Say what is refused for good; anything else is tried again on a new connection."""
        reason = f"subscription refused: {parse.fault_of(frame.data)[:200]}"
        if self._asked is None or BAD_CHANNEL not in reason.lower():
            return (Reconnect(reason),)
        symbol = self._asked[0]
        then = self._ask_next(now_ns)
        if self._kind is FeedKind.TRADES:
            return [FeedRefused(self._instruments[symbol], reason), *then]
        return [*self._books[symbol].close(reason, refused=True), *then]

    def _on_trade(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        instrument = self._instruments.get(frame.channel.removeprefix(TRADES))
        if instrument is None:
            return ()
        trade = parse.parse_trade(frame.data)
        message = Trade(
            venue=self._venue,
            instrument=instrument,
            trade_id=str(trade.trade_id),
            side=Side.SELL if trade.type else Side.BUY,
            price=trade.price,
            qty=trade.qty,
            ts_recv_ns=now_ns,
            ts_venue_ns=trade.ts_venue * 1_000,
        )
        return (Emit(message),)
