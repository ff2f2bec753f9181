"""Gate WebSocket v4, public: book updates, windows of a book, trades, best quotes, ping. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.exchange.rows import rows, side_rows
from shared.messages.base import Side
from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, is_id, shown
from shared.venues.gateio.simulated.market_data import PublicRest

PATH = "/ws/v4/"
MESSAGES_PER_S = 50
BOOKS, WINDOWS, TRADES, QUOTES, TICKERS = (
    "spot.order_book_update",
    "spot.obu",
    "spot.trades",
    "spot.book_ticker",
    "spot.tickers",
)
SPEEDS = {"100ms": 100}
WINDOW_DEPTHS = (50, 400)
MALFORMED, REFUSED = 1, 2
"""Codes of the venue's errors."""

Window = dict[tuple[Side, int], int]


class RequestRefused(Exception):  # noqa: N818 (it is an answer, not a failure)
    """A request is answered with an error."""


class MarketStreams:
    """Everything public that the venue pushes."""

    def __init__(self, public: PublicRest, hub: Hub, *, is_generated: bool = True) -> None:
        self.exchange, self.hub = public.exchange, hub
        self._ticker = public.ticker
        exchange = self.exchange
        self.is_generated = is_generated  # else the frames come from a recording
        self._pending = {name: dict[tuple[Side, int], None]() for name in exchange.by_instrument}
        self._last = {name: book.seq for name, book in exchange.books.items()}
        self._windows: dict[tuple[str, int], tuple[Window, int]] = {}
        self._best: dict[str, tuple[int, int]] = {}
        hub.on_idle_topic = self._on_idle_topic
        if is_generated:
            exchange.print_listeners.append(self.on_print)
            exchange.book_listeners.append(self.on_book)

    def route(self) -> SocketRoute:
        """Return the path."""
        return SocketRoute(PATH, self._on_text)

    # -- requests --------------------------------------------------------------------------

    def _on_text(self, client: Client, text: str) -> None:
        if self.hub.too_many_messages(client, MESSAGES_PER_S):
            return
        message = decode_object(text)
        if message is None or not is_id(message.get("id")):
            self._answer(client, {}, MALFORMED, "invalid request body")
            return
        channel, event = message.get("channel"), message.get("event")
        if channel == "spot.ping":
            self._send(client, {"channel": "spot.pong", "event": "", "result": None})
            return
        payload = message.get("payload")
        if event not in ("subscribe", "unsubscribe") or not isinstance(channel, str):
            self._answer(client, message, MALFORMED, f"unknown event {shown(event)}")
            return
        if not isinstance(payload, list) or not all(isinstance(p, str) for p in payload):
            self._answer(client, message, MALFORMED, "payload must be an array of strings")
            return
        try:
            topics = self._topics(channel, payload)
            self._change(client, event, topics)
        except RequestRefused as error:
            self._answer(client, message, REFUSED, str(error))
            return
        self._answer(client, message)
        if event == "subscribe" and channel == WINDOWS:
            for topic in topics:
                self._whole_window(client, topic)

    def _topics(self, channel: str, payload: list[str]) -> list[str]:
        if channel == BOOKS:
            if len(payload) != 2 or payload[1] not in SPEEDS:
                raise RequestRefused(f"unknown interval: {shown(payload[1:])}")
            return [f"{BOOKS}/{self._known(payload[0])}"]
        if channel == WINDOWS:
            return [self._window_topic(name) for name in payload]
        if channel in (TRADES, QUOTES, TICKERS):
            return [f"{channel}/{self._known(symbol)}" for symbol in payload]
        raise RequestRefused(f"unknown channel {shown(channel)}")

    def _window_topic(self, name: str) -> str:
        kind, _, rest = name.partition(".")
        symbol, _, depth = rest.partition(".")
        if kind != "ob" or depth not in map(str, WINDOW_DEPTHS):
            raise RequestRefused(f"unknown stream: {shown(name)}")
        return f"{WINDOWS}/{self._known(symbol)}/{depth}"

    def _known(self, symbol: str) -> str:
        if symbol not in self.exchange.by_symbol:
            raise RequestRefused(f"unknown currency pair: {shown(symbol)}")
        return symbol

    def _change(self, client: Client, event: str, topics: list[str]) -> None:
        if event == "unsubscribe":
            for topic in topics:
                self.hub.unsubscribe(client, topic)
            return
        if len(client.topics) + len(topics) > config.CLIENT_STREAMS_MAX:
            raise RequestRefused("too many subscriptions")
        for topic in topics:
            self.hub.subscribe(client, topic)

    def _answer(
        self, client: Client, message: dict[str, Any], code: int = 0, text: str = ""
    ) -> None:
        body: dict[str, Any] = {
            name: message[name] for name in ("id", "channel", "event", "payload") if name in message
        }
        if code:
            body |= {"error": {"code": code, "message": text}, "result": {"status": "fail"}}
        else:
            body |= {"result": {"status": "success"}}
        self._send(client, body)

    def _send(self, client: Client, body: dict[str, Any]) -> None:
        self.hub.send(client, msgspec.json.encode(self._stamp() | body))

    def _stamp(self) -> dict[str, Any]:
        now_ms = self.hub.now_ms()
        return {"time": now_ms // 1_000, "time_ms": now_ms}

    # -- the market moved ------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due at this tick."""
        if not self.is_generated:
            return
        for listing in self.exchange.by_instrument.values():
            self._collect(listing)
            if tick % (SPEEDS["100ms"] // TICK_MS) == 0:
                self._flush(listing, now_ms)
            topic = f"{TICKERS}/{listing.symbol}"
            if tick % (1_000 // TICK_MS) == 0 and topic in self.hub.topics:
                frame = self._update(TICKERS, self._ticker(listing))
                self.hub.publish(topic, frame, None, listing.instrument)

    def on_book(self, listing: Listing) -> None:
        """A client's order changed a book."""
        self._collect(listing)

    def on_print(self, trade: Print) -> None:
        """Publish a trade."""
        listing = trade.listing
        topic = f"{TRADES}/{listing.symbol}"
        if topic not in self.hub.topics:
            return
        row = {
            "id": trade.trade_id,
            "create_time": trade.ts_ms // 1_000,
            "create_time_ms": f"{trade.ts_ms}.000",
            "side": trade.side.value,
            "currency_pair": listing.symbol,
            "amount": listing.qty_text(trade.lots),
            "price": listing.price_text(trade.ticks),
        }
        self.hub.publish(topic, self._update(TRADES, row), None, listing.instrument)

    def _collect(self, listing: Listing) -> None:
        book = self.exchange.books[listing.instrument]
        changed, book.changed = book.changed, {}
        self._pending[listing.instrument] |= dict.fromkeys(changed)
        if changed:
            self._quote(listing)

    def _flush(self, listing: Listing, now_ms: int) -> None:
        name, book = listing.instrument, self.exchange.books[listing.instrument]
        pending, self._pending[name] = self._pending[name], {}
        if not pending:
            return
        before, self._last[name] = self._last[name], book.seq
        topic = f"{BOOKS}/{listing.symbol}"
        if topic in self.hub.topics:
            changed = {(side, price): book.lots_at(side, price) for side, price in pending}
            bids, asks = side_rows(listing, changed)
            result = {
                "t": now_ms,
                "e": "depthUpdate",
                "E": now_ms // 1_000,
                "s": listing.symbol,
                "U": before + 1,
                "u": book.seq,
                "b": bids,
                "a": asks,
            }
            self.hub.publish_delta(topic, self._update(BOOKS, result), None, name)
        for (symbol, depth), (window, at) in self._windows.items():
            if symbol == listing.symbol:
                self._move_window(listing, depth, window, at)

    def _quote(self, listing: Listing) -> None:
        topic, book = f"{QUOTES}/{listing.symbol}", self.exchange.books[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        if topic not in self.hub.topics or not bid or not ask:
            return
        result = {
            "t": self.hub.now_ms(),
            "u": book.seq,
            "s": listing.symbol,
            "b": bid[0][0],
            "B": bid[0][1],
            "a": ask[0][0],
            "A": ask[0][1],
        }
        self.hub.publish(topic, self._update(QUOTES, result), None, listing.instrument)

    # -- windows of a book -----------------------------------------------------------------

    def _whole_window(self, client: Client, topic: str) -> None:
        _, symbol, depth_text = topic.split("/")
        depth, listing = int(depth_text), self.exchange.by_symbol[symbol]
        book = self.exchange.books[listing.instrument]
        if not (book.bids.keys or book.asks.keys):  # a recording's may be yet to come
            return
        if (symbol, depth) not in self._windows:
            self._windows[symbol, depth] = (self._window(listing, depth), book.seq)
        window, at = self._windows[symbol, depth]
        bids, asks = side_rows(listing, window)
        result = {
            "t": self.hub.now_ms(),
            "full": True,
            "s": f"ob.{symbol}.{depth}",
            "u": at,
            "b": bids,
            "a": asks,
        }
        self.hub.send(client, self._update(WINDOWS, result), listing.instrument)

    def _window(self, listing: Listing, depth: int) -> Window:
        book = self.exchange.books[listing.instrument]
        sides = ((Side.BUY, book.bids), (Side.SELL, book.asks))
        return {(side, price): n for side, levels in sides for price, n in levels.depth(depth)}

    def _move_window(self, listing: Listing, depth: int, window: Window, at: int) -> None:
        present, seq = (
            self._window(listing, depth),
            self.exchange.books[listing.instrument].seq,
        )
        changed = {key: 0 for key in window if key not in present}
        changed |= {key: lots for key, lots in present.items() if window.get(key) != lots}
        self._windows[listing.symbol, depth] = (present, seq)
        if not changed:
            return
        bids, asks = side_rows(listing, changed)
        result = {
            "t": self.hub.now_ms(),
            "s": f"ob.{listing.symbol}.{depth}",
            "U": at + 1,
            "u": seq,
            "b": bids,
            "a": asks,
        }
        topic = f"{WINDOWS}/{listing.symbol}/{depth}"
        self.hub.publish_delta(topic, self._update(WINDOWS, result), None, listing.instrument)

    def refresh_windows(self, listing: Listing) -> None:
        """A recorded book moved."""
        for (symbol, depth), (window, at) in tuple(self._windows.items()):
            if symbol == listing.symbol:
                self._move_window(listing, depth, window, at)

    def _on_idle_topic(self, topic: str) -> None:
        if topic.startswith(f"{WINDOWS}/"):
            _, symbol, depth = topic.split("/")
            self._windows.pop((symbol, int(depth)), None)

    def _update(self, channel: str, result: Any) -> bytes:
        body = {"channel": channel, "event": "update", "result": result}
        return msgspec.json.encode(self._stamp() | body)
