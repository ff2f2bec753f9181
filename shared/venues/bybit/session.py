"""One Bybit v5 public connection: frames in, effects out. Pure.

Each topic is subscribed by a request of its own, so that one that is refused takes no other with
it. The venue wants a ping every 20 s; a connection that falls quiet is pinged earlier, and left
when it stays silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.bybit import parse
from shared.venues.bybit.book import NumberedBook
from shared.venues.bybit.sequence import is_whole
from shared.venues.bybit.tickers import Tickers
from shared.venues.funding import FundingDialect, FundingFeed
from shared.venues.port import (
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

DEPTH = 50
"""Subscribed levels, every 20 ms; the venue offers 1, 50, 200 (100 ms) and 1000 (200 ms)."""
BEST_ONLY = 1
"""The depth of the topic that repeats the best bid and ask."""
HISTORY_ROWS = 30
"""Settlements asked for: ten days of the usual interval."""
PING_NS = 20_000_000_000
QUIET_NS = 5_000_000_000
ANSWER_TIMEOUT_NS = 5_000_000_000
ACK_TIMEOUT_NS = 10_000_000_000
TOPICS = {FeedKind.TRADES: "publicTrade", FeedKind.FUNDING: "tickers"}
_NOT_LISTED = ("handler not found", "invalid symbol")
"""How the venue says that it has no such topic."""
_ALREADY = "already subscribed"
_BOOK = b'{"topic":"orderbook.'
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


def funding_dialect(category: str) -> FundingDialect:
    """Return how the venue tells of funding in a category."""
    path = "/v5/market/"
    return FundingDialect(
        parse_mark=_no_frames,
        parse_terms=parse.parse_terms,
        parse_history=parse.parse_history,
        terms_path=f"{path}instruments-info?category={category}&limit=1000",
        history_path=lambda symbol: (
            f"{path}funding/history?category={category}&symbol={symbol}&limit={HISTORY_ROWS}"
        ),
        interval_default_ns=None,
    )


def _no_frames(raw: bytes) -> NoReturn:  # tickers are merged first
    raise ParseError(f"no frame tells a whole mark: {raw[:20]!r}")


class BybitSession(StreamBooks[NumberedBook]):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Venue spelling -> instrument.
        category: The venue's, whose path this is.
        kind: What this connection is for: books, trades or funding.
        is_recorded: Frames come from a recording, of whatever depth: nothing is waited for.
    """

    def __init__(
        self,
        venue: str,
        symbols: Mapping[str, str],
        category: str,
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
        self._depth = 0 if is_recorded else DEPTH
        self._tickers = Tickers()
        self._funding: FundingFeed | None = None
        if kind is FeedKind.FUNDING:
            self._funding = FundingFeed(venue, symbols, funding_dialect(category))
        self._request_id = 0
        self._asked: dict[str, tuple[str, int]] = {}  # request -> symbol, deadline
        self._now_ns = self._heard_ns = self._ping_ns = 0
        self._pinged_ns: int | None = None

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to all books, which start over, to all trades or all tickers."""
        self._now_ns = self._heard_ns = self._ping_ns = now_ns
        self._pinged_ns = None
        self._asked.clear()
        self._tickers.clear()
        if self._funding is not None:
            self._funding.open()
        effects: list[Effect] = []
        for symbol in self._instruments:
            if (book := self._books.get(symbol)) is not None:
                effects += [book.open(now_ns), self._book_request("subscribe", [symbol])]
            else:
                effects.append(self._request("subscribe", TOPICS[self._kind], symbol))
        return effects

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._now_ns = self._heard_ns = now_ns
        self._pinged_ns = None
        try:
            if raw.startswith(_BOOK):
                return self._on_book(raw, now_ns)
            frame = parse.parse_envelope(raw)
            topic = frame.topic.partition(".")[0]
            if topic == "orderbook":
                return self._on_book(raw, now_ns)
            if topic == TOPICS[FeedKind.TRADES]:
                return self._on_trades(raw, now_ns)
            if topic == TOPICS[FeedKind.FUNDING]:
                return self._on_ticker(raw, now_ns)
            return self._on_answer(frame, now_ns) if frame.op == "subscribe" else ()
        except ParseError as error:
            return (Malformed(str(error)),)

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """An answer about funding."""
        return () if self._funding is None else self._funding.on_facts(topic, body, now_ns)

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """It could not be had: ask again later."""
        if self._funding is not None:
            self._funding.on_facts_failed(topic, retry_after_s, now_ns)

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
        is_quiet = self._pinged_ns is None and now_ns - self._heard_ns >= QUIET_NS
        if is_quiet or now_ns - self._ping_ns >= PING_NS:
            self._pinged_ns = self._ping_ns = now_ns
            effects.append(Send('{"op":"ping"}'))
        if (late := self._overdue(now_ns)) is not None:
            return (late,)
        effects += self._subscriptions_due(now_ns)
        if self._funding is not None:
            effects += self._funding.on_timer(now_ns)
        return effects

    def _book_request(self, method: str, symbols: list[str]) -> Send:
        (symbol,) = symbols
        return self._request(method, f"orderbook.{self._depth or DEPTH}", symbol)

    def _request(self, method: str, topic: str, symbol: str) -> Send:
        self._request_id += 1
        name = str(self._request_id)
        if method == "subscribe":
            self._asked[name] = (symbol, self._now_ns + ACK_TIMEOUT_NS)
        request = {"req_id": name, "op": method, "args": [f"{topic}.{symbol}"]}
        return Send(json.encode(request).decode())

    def _on_book(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_book(raw)
        book = self._books.get(frame.data.symbol)
        if book is None:
            return ()
        whole = is_whole(frame.type, frame.data.update_id)
        if not self._depth and whole and frame.depth != BEST_ONLY:  # a recording's
            self._depth = frame.depth
        if frame.depth != self._depth:
            return ()  # numbered apart
        return book.on_snapshot(frame, now_ns) if whole else book.on_delta(frame, now_ns)

    def _on_trades(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        effects = []
        for trade in parse.parse_trades(raw):
            instrument = self._instruments.get(trade.symbol)
            if trade.side not in _SIDES:
                raise ParseError(f"publicTrade: side {trade.side!r}")
            if instrument is None or trade.is_block:  # agreed elsewhere, at a price of its own
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

    def _on_ticker(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        if self._funding is None:
            return ()
        marked = self._tickers.take(parse.parse_ticker(raw), now_ns)
        return () if marked is None else self._funding.take_mark(marked, now_ns)

    def _on_answer(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        """Note what is subscribed; what is refused for good is said, anything else tried again."""
        asked = self._asked.pop(frame.req_id, None) if isinstance(frame.req_id, str) else None
        if frame.success is not False or _ALREADY in frame.ret_msg:
            return () if asked is None else self._on_subscribed(asked[0], now_ns)
        reason = f"subscription refused: {frame.ret_msg}"
        if asked is None:
            return (Malformed(reason),)
        is_final = any(mark in frame.ret_msg.lower() for mark in _NOT_LISTED)
        if (book := self._books.get(asked[0])) is not None:
            if is_final:
                return (book.close(reason, refused=True),)
            return (book.try_again(reason, now_ns),)
        if is_final:
            return (FeedRefused(self._instruments[asked[0]], reason),)
        return (Reconnect(reason),)

    def _on_subscribed(self, symbol: str, now_ns: int) -> Sequence[Effect]:
        if self._kind is not FeedKind.TRADES:
            return ()
        missed = TradesMissed(  # what was traded before is not known
            venue=self._venue,
            instrument=self._instruments[symbol],
            ongoing=False,
            ts_recv_ns=now_ns,
            reason="subscribed",
        )
        return (Emit(missed),)
