"""One KuCoin WebSocket connection: frames in, effects out. Pure.

Where to connect is asked first: the answer carries a token, and how often to ping. The venue greets
with ``welcome``; only then may anything be subscribed. Each symbol is subscribed by a request of
its own, so that one that is refused takes no other with it. The client pings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import urlencode, urlsplit

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.kucoin import parse
from shared.venues.kucoin.sequence import SEQUENCE
from shared.venues.port import (
    BestQuote,
    Effect,
    Emit,
    FeedKind,
    FeedRefused,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.rest_join import EARLY_DELTAS_MAX, JoinedBook, Update
from shared.venues.rest_session import RestBooks

BOOKS, TRADES, QUOTES = "/market/level2", "/market/match", "/market/ticker"
BULLET_PATH, BULLET_WEIGHT = "/api/v1/bullet-public", 10
SNAPSHOT_LEVELS = 100
"""The most that the venue shows without a key."""
SNAPSHOT_WEIGHT = 2
ANSWER_TIMEOUT_NS = 10_000_000_000
PING_NS, PONG_TIMEOUT_NS = 18_000_000_000, 10_000_000_000
"""Where the answer with the address was not seen."""
NOT_FOUND = 404
"""The error that says that what was asked for is not there."""


def snapshot_path(symbol: str) -> str:
    """Return the REST path of a symbol's book."""
    return f"/api/v1/market/orderbook/level2_{SNAPSHOT_LEVELS}?symbol={symbol}"


def newer_than(last_id: int, update: Update) -> Update:
    """Leave out what of a delta a book of ``last_id`` contains already."""
    return cast("parse.BookUpdate", update).after(last_id)


class KucoinSession(RestBooks):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Venue spelling -> instrument.
        early_max: Deltas of a book that wait for its snapshot.
        snapshot_sizes: Levels that may have been asked for, where it was not this session.
        kind: What this connection is for, books or trades.
        connect_id: Tells this connection from others of the same process.
        is_recorded: Whether what is read may have been altered since the venue sent it: then the
            numbers of changes are checked as well, which the venue says are none to judge by.
    """

    def __init__(
        self,
        venue: str,
        symbols: Mapping[str, str],
        *,
        early_max: int = EARLY_DELTAS_MAX,
        snapshot_sizes: Sequence[int] = (SNAPSHOT_LEVELS,),
        kind: FeedKind = FeedKind.DEPTH,
        connect_id: str = "public",
        is_recorded: bool = False,
    ) -> None:
        self._venue, self._kind, self._instruments = venue, kind, dict(symbols)
        self._connect_id, self._is_recorded = connect_id, is_recorded
        books: dict[str, JoinedBook] = {}
        if kind is FeedKind.DEPTH:
            books = {
                symbol: JoinedBook(
                    venue,
                    instrument,
                    SEQUENCE,
                    snapshot_path(symbol),
                    SNAPSHOT_WEIGHT,
                    sizes=snapshot_sizes,
                    early_max=early_max,
                    newer_than=newer_than,
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books, parse.parse_rest_book)
        self._request_id = 0
        self._asked: dict[str, tuple[str, int]] = {}  # request -> symbol, deadline
        self._ping_ns, self._pong_timeout_ns = PING_NS, PONG_TIMEOUT_NS
        self._next_ping_ns = 0
        self._pinged_ns: int | None = None
        self._welcome_by_ns: int | None = None

    def read_address(self, body: bytes, base: str) -> str:
        """Return the URL to connect to from the answer to ``BULLET_PATH``.

        ``base`` is used instead of the venue's endpoint, where one is configured.

        Raises:
            ParseError: The answer has none.
        """
        bullet = parse.parse_bullet(body)
        server = bullet.servers[0]
        parts = urlsplit(server.endpoint)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ParseError(f"bullet-public: the endpoint is {server.endpoint[:100]!r}")
        self._ping_ns = server.ping_interval_ms * 1_000_000
        self._pong_timeout_ns = server.ping_timeout_ms * 1_000_000
        query = urlencode({"token": bullet.token, "connectId": self._connect_id})
        return f"{base or server.endpoint}?{query}"

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Every book starts over; subscriptions wait for the greeting."""
        self._asked.clear()
        self._welcome_by_ns = now_ns + ANSWER_TIMEOUT_NS
        self._next_ping_ns, self._pinged_ns = now_ns + self._ping_ns, None
        return [effect for book in self._books.values() for effect in book.open(now_ns)]

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        try:
            frame = parse.parse_envelope(raw)
            if frame.type == "message":
                return self._on_message(frame, now_ns)
        except ParseError as error:
            return (Malformed(str(error)),)
        if frame.type == "welcome":
            return self._subscribe(now_ns)
        if frame.type == "pong":
            self._pinged_ns = None
        elif frame.type == "ack":
            return self._on_subscribed(frame, now_ns)
        elif frame.type == "error":
            return self._on_error(frame)
        return ()

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """Nothing: none are asked for."""

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        self._asked.clear()
        self._welcome_by_ns = None
        return self._close_books()

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Give up on a missing greeting, acknowledgement or pong; ping when it is time."""
        if self._welcome_by_ns is not None and now_ns >= self._welcome_by_ns:
            self._welcome_by_ns = None
            return (Reconnect("the venue did not greet"),)
        for symbol, deadline_ns in self._asked.values():
            if now_ns >= deadline_ns:
                self._asked.clear()
                return (Reconnect(f"the subscription of {symbol} was not acknowledged"),)
        if self._pinged_ns is not None and now_ns - self._pinged_ns >= self._pong_timeout_ns:
            waited_ns, self._pinged_ns = now_ns - self._pinged_ns, None
            return (Reconnect(f"no pong for {waited_ns // 10**9} s"),)
        if now_ns < self._next_ping_ns:
            return ()
        self._next_ping_ns = now_ns + self._ping_ns
        if self._pinged_ns is None:
            self._pinged_ns = now_ns
        return (self._request({"type": "ping"}),)

    def _request(self, body: dict[str, object]) -> Send:
        self._request_id += 1
        return Send(json.encode({"id": str(self._request_id), **body}).decode())

    def _subscribe(self, now_ns: int) -> Sequence[Effect]:
        if self._welcome_by_ns is None:
            return ()
        self._welcome_by_ns = None
        topic = TRADES if self._kind is FeedKind.TRADES else BOOKS
        effects: list[Effect] = []
        for symbol in self._instruments:
            request = {"type": "subscribe", "topic": f"{topic}:{symbol}", "response": True}
            effects.append(self._request(request))
            self._asked[str(self._request_id)] = (symbol, now_ns + ANSWER_TIMEOUT_NS)
        return effects

    def _on_message(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        topic, _, symbol = frame.topic.partition(":")
        if topic == BOOKS:
            update = parse.parse_book(frame.data)
            if self._is_recorded:
                update.check_changes()
            book = self._books.get(update.symbol)
            return () if book is None else book.on_update(update, now_ns)
        if topic == TRADES:
            return self._on_trade(parse.parse_trade(frame.data), now_ns)
        if topic == QUOTES and symbol in self._books:
            quote = parse.parse_quote(frame.data)
            bid, ask = (quote.bid, quote.bid_qty), (quote.ask, quote.ask_qty)
            return (BestQuote(self._instruments[symbol], quote.sequence, bid, ask),)
        return ()

    def _on_trade(self, trade: parse.TradePrint, now_ns: int) -> Sequence[Effect]:
        instrument = self._instruments.get(trade.symbol)
        if instrument is None:
            return ()
        if trade.side not in ("buy", "sell"):
            raise ParseError(f"match: side {trade.side!r}")
        message = Trade(
            venue=self._venue,
            instrument=instrument,
            trade_id=trade.trade_id,
            side=Side(trade.side),
            price=trade.price,
            qty=trade.qty,
            ts_recv_ns=now_ns,
            ts_venue_ns=trade.ts_venue,
        )
        return (Emit(message),)

    def _on_error(self, frame: parse.Envelope) -> Sequence[Effect]:
        """Say what is refused for good; anything else, like an expired token, is tried again."""
        reason = f"refused: {frame.code} {parse.text_of(frame.data)[:200]}".rstrip()
        asked = self._asked.pop(str(frame.id), None)
        if asked is None or frame.code != NOT_FOUND:
            return (Reconnect(reason),)
        if self._kind is FeedKind.TRADES:
            return (FeedRefused(self._instruments[asked[0]], reason),)
        return self._books[asked[0]].close(reason, refused=True)

    def _on_subscribed(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        asked = self._asked.pop(str(frame.id), None)
        if asked is None:
            return ()
        if self._kind is not FeedKind.TRADES:
            return self._books[asked[0]].subscribed(now_ns)
        missed = TradesMissed(  # what was traded before is not known
            venue=self._venue,
            instrument=self._instruments[asked[0]],
            ongoing=False,
            ts_recv_ns=now_ns,
            reason="subscribed",
        )
        return (Emit(missed),)
