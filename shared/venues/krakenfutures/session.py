"""One Kraken Futures public connection: frames in, effects out. Pure.

Each product is subscribed by a request of its own, so that one that is refused takes no other with
it. The venue's ``heartbeat`` feed is subscribed as well: a connection on which nothing comes for so
long is left. The WebSocket pings that the venue wants every 60 s are sent by the socket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.krakenfutures import parse
from shared.venues.krakenfutures.book import NumberedBook
from shared.venues.krakenfutures.marks import told_by
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
from shared.venues.times import unix_ns

SILENCE_NS = 15_000_000_000
"""Heartbeats come about every second."""
ACK_TIMEOUT_NS = 10_000_000_000
FEEDS = {FeedKind.DEPTH: "book", FeedKind.TRADES: "trade", FeedKind.FUNDING: "ticker"}
_BOOK = b'{"feed":"book",'
_NOT_LISTED = ("invalid product", "unknown product", "not found")
"""How the venue says that it has no such product."""
_ALREADY = "already subscribed"


class KrakenFuturesSession(StreamBooks[NumberedBook]):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Product id -> instrument.
        kind: What this connection is for: books, trades, or marks and funding.
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
        books: dict[str, NumberedBook] = {}
        if kind is FeedKind.DEPTH:
            books = {
                symbol: NumberedBook(
                    venue, instrument, symbol, self._book_request, is_recorded=is_recorded
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books)
        self._trade_seqs: dict[str, int] = {}
        self._asked: dict[str, int] = {}  # product -> deadline of its answer

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to the heartbeat, and to every product, whose book starts over."""
        self._now_ns = self._heard_ns = now_ns
        self._asked.clear()
        self._trade_seqs.clear()
        effects: list[Effect] = [Send('{"event":"subscribe","feed":"heartbeat"}')]
        for symbol in self._instruments:
            if (book := self._books.get(symbol)) is not None:
                effects.append(book.open(now_ns))
            effects.append(self._book_request("subscribe", [symbol]))
        return effects

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._now_ns = self._heard_ns = now_ns
        try:
            if raw.startswith(_BOOK) and self._books:
                return self._on_book(raw, now_ns)
            frame = parse.parse_envelope(raw)
            if frame.event:
                return self._on_event(frame, now_ns)
            return self._on_feed(frame.feed, raw, now_ns)
        except ParseError as error:
            return (Malformed(str(error)),)

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        self._asked.clear()
        return self._close_books()

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Leave when silent or unanswered, and subscribe what is due."""
        self._now_ns = now_ns
        for symbol, deadline_ns in self._asked.items():
            if now_ns >= deadline_ns:
                self._asked.clear()
                return (Reconnect(f"the subscription of {symbol} was not acknowledged"),)
        if now_ns - self._heard_ns >= SILENCE_NS:
            silent_s = (now_ns - self._heard_ns) // 10**9
            self._heard_ns = now_ns
            return (Reconnect(f"no message for {silent_s} s"),)
        if (late := self._overdue(now_ns)) is not None:
            return (late,)
        return self._subscriptions_due(now_ns)

    def _book_request(self, method: str, symbols: list[str]) -> Send:
        (symbol,) = symbols
        if method == "subscribe":
            self._asked[symbol] = self._now_ns + ACK_TIMEOUT_NS
        request = {"event": method, "feed": FEEDS[self._kind], "product_ids": symbols}
        return Send(json.encode(request).decode())

    def _on_book(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_book(raw)
        book = self._books.get(frame.product_id)
        return () if book is None else book.on_delta(frame, now_ns)

    def _on_feed(self, feed: str, raw: bytes, now_ns: int) -> Sequence[Effect]:
        if feed == "book" and self._books:
            return self._on_book(raw, now_ns)
        if feed == "book_snapshot" and self._books:
            whole = parse.parse_snapshot(raw)
            book = self._books.get(whole.product_id)
            return () if book is None else book.on_snapshot(whole, now_ns)
        if self._kind is FeedKind.TRADES and feed == "trade":
            return self._on_trade(parse.parse_trade(raw), now_ns)
        if self._kind is FeedKind.TRADES and feed == "trade_snapshot":
            before = parse.parse_trade_snapshot(raw)
            if before.product_id in self._instruments and before.trades:
                newest = max(trade.seq for trade in before.trades)
                self._trade_seqs[before.product_id] = newest
        elif self._kind is FeedKind.FUNDING and feed == "ticker":
            ticker = parse.parse_ticker(raw)
            name = self._instruments.get(ticker.product_id)
            return () if name is None else told_by(ticker, self._venue, name, now_ns)
        return ()

    def _on_trade(self, frame: parse.TradeFrame, now_ns: int) -> Sequence[Effect]:
        """Tell a trade; its number proves that none is missing since the one before."""
        instrument = self._instruments.get(frame.product_id)
        if instrument is None:
            return ()
        last = self._trade_seqs.get(frame.product_id)
        if last is not None and frame.seq <= last:
            return (Dropped(instrument, DROPPED_TRADE),)
        self._trade_seqs[frame.product_id] = frame.seq
        effects: list[Effect] = []
        if last is not None and frame.seq > last + 1:
            effects.append(self._missed(instrument, "trades are missing by their numbers", now_ns))
        if frame.type in ("block", "assignment"):  # agreed elsewhere, at a price of its own
            return effects
        message = Trade(
            venue=self._venue,
            instrument=instrument,
            trade_id=frame.trade_id,
            side=Side(frame.side),
            price=frame.price,
            qty=frame.qty,
            ts_recv_ns=now_ns,
            ts_venue_ns=unix_ns(frame.time),
        )
        return [*effects, Emit(message)]

    def _missed(self, instrument: str, reason: str, now_ns: int) -> Emit:
        message = TradesMissed(
            venue=self._venue,
            instrument=instrument,
            ongoing=False,
            ts_recv_ns=now_ns,
            reason=reason,
        )
        return Emit(message)

    def _on_event(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        """Note what is subscribed; what is refused for good is said, anything else tried again."""
        if frame.event == "subscribed":
            effects: list[Effect] = []
            for symbol in frame.product_ids:
                if frame.feed == FEEDS[self._kind] and self._asked.pop(symbol, None) is not None:
                    effects += self._on_subscribed(symbol, now_ns)
            return effects
        if frame.event in ("subscribed_failed", "error", "alert"):
            return self._on_refused(frame, now_ns)
        return ()

    def _on_subscribed(self, symbol: str, now_ns: int) -> Sequence[Effect]:
        if self._kind is not FeedKind.TRADES:
            return ()  # what was traded before is not known
        return (self._missed(self._instruments[symbol], "subscribed", now_ns),)

    def _on_refused(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        text = frame.message.lower()
        if _ALREADY in text:
            return ()
        reason = f"subscription refused: {frame.message or frame.event}"
        # An answer that names no product is about the one product that is waited for.
        named = [symbol for symbol in frame.product_ids if symbol in self._instruments]
        if not named and len(self._asked) == 1:
            named = list(self._asked)
        if not named:
            return (Malformed(reason),)
        is_final = any(mark in text for mark in _NOT_LISTED)
        effects: list[Effect] = []
        for symbol in named:
            self._asked.pop(symbol, None)
            if (book := self._books.get(symbol)) is not None:
                effects.append(
                    book.close(reason, refused=True) if is_final else book.try_again(reason, now_ns)
                )
            elif is_final:
                effects.append(FeedRefused(self._instruments[symbol], reason))
            else:
                return (Reconnect(reason),)
        return effects
