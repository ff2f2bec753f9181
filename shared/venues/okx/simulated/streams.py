"""OKX WebSocket v5, public: books, best prices, trades, tickers, the text ping. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.exchange.rows import rows
from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, is_id, shown
from shared.venues.okx.simulated.market_data import PublicRest, trade_row
from shared.venues.okx.simulated.windows import Window, as_level

PATH = "/ws/v5/public"
BOOKS, BEST, TOP5, TRADES, TICKERS = "books", "bbo-tbt", "books5", "trades", "tickers"
CHANNELS = (BOOKS, BEST, TOP5, TRADES, TICKERS)
TOPS = {BEST: 1, TOP5: 5}
"""Channels that repeat the best levels of a side, whole."""
PERIOD_MS = 100
MESSAGES_PER_S = 50
CONNECTION = "simulated"


class RequestRefused(Exception):  # noqa: N818 (it is an answer, not a failure)
    """A request is answered with an error event."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class MarketStreams:
    """Everything public that the venue pushes."""

    def __init__(self, public: PublicRest, hub: Hub, *, is_generated: bool = True) -> None:
        self.exchange: Exchange = public.exchange
        self.hub, self._public = hub, public
        self.is_generated = is_generated  # else the frames come from a recording
        self.windows: dict[str, Window] = {}
        self._told: dict[str, object] = {}  # topic -> what was sent last, its time aside
        hub.on_idle_topic = self._on_idle_topic
        if is_generated:
            self.exchange.print_listeners.append(self.on_print)

    def route(self) -> SocketRoute:
        """Return the path of the public channels."""
        return SocketRoute(PATH, self._on_text)

    # -- requests --------------------------------------------------------------------------

    def _on_text(self, client: Client, text: str) -> None:
        if self.hub.too_many_messages(client, MESSAGES_PER_S):
            return
        if text == "ping":
            self.hub.send(client, b"pong")
            return
        message = decode_object(text) or {}
        name = message.get("id")
        try:
            op, wanted = self._read(message)
            for channel, symbol in wanted:
                self._check(client, op, channel, symbol)
        except RequestRefused as error:
            body = {"event": "error", "code": error.code, "msg": error.text}
            self._answer(client, body, name if is_id(name) else None)
            return
        for channel, symbol in wanted:
            arg = {"channel": channel, "instId": symbol}
            self._answer(client, {"event": op, "arg": arg}, name)
            topic = f"{channel}:{symbol}"
            if op == "unsubscribe":
                self.hub.unsubscribe(client, topic)
            elif self.hub.subscribe(client, topic):
                self._greet(client, channel, self.exchange.by_symbol[symbol])

    def _read(self, message: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
        op, rows_asked = message.get("op"), message.get("args")
        if op not in ("subscribe", "unsubscribe") or not is_id(message.get("id")):
            raise RequestRefused("60012", f"Invalid request: {shown(message)}")
        if not isinstance(rows_asked, list) or not all(isinstance(r, dict) for r in rows_asked):
            raise RequestRefused("60012", f"Invalid request: {shown(message)}")
        return op, [(str(row.get("channel")), str(row.get("instId"))) for row in rows_asked]

    def _check(self, client: Client, op: str, channel: str, symbol: str) -> None:
        if channel not in CHANNELS or symbol not in self.exchange.by_symbol:
            where = f"channel:{shown(channel)},instId:{shown(symbol)}"
            raise RequestRefused("60018", f"Wrong URL or {where} doesn't exist.")
        if op == "subscribe" and len(client.topics) >= config.CLIENT_STREAMS_MAX:
            raise RequestRefused("60014", "Requests too frequent")

    def _answer(self, client: Client, body: dict[str, Any], name: object) -> None:
        named = {} if name is None else {"id": name}
        self.hub.send(client, msgspec.json.encode({**named, **body, "connId": CONNECTION}))

    def _greet(self, client: Client, channel: str, listing: Listing) -> None:
        """Send what comes first: the snapshot of a book, the present best prices."""
        now_ms = self.hub.now_ms()
        if channel == BOOKS:
            window = self.windows.get(listing.symbol)
            if window is None:
                window = Window(listing, self.exchange.books[listing.instrument])
                self.windows[listing.symbol] = window
            if not window.is_empty():  # a recording's may be yet to come
                self.hub.send(client, window.whole(now_ms), listing.instrument)
        elif channel != TRADES and self.is_generated:
            row = self._row(channel, listing, now_ms)
            self.hub.send(client, _frame(channel, listing, [row]), listing.instrument)

    # -- the market moved ------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due at this tick."""
        if not self.is_generated:
            return
        for listing in self.exchange.by_instrument.values():
            self.exchange.books[listing.instrument].changed = {}
            if tick % (PERIOD_MS // TICK_MS) == 0:
                self._publish(listing, now_ms)

    def _publish(self, listing: Listing, now_ms: int) -> None:
        self.move(listing, now_ms)
        for channel in (BEST, TOP5, TICKERS):
            topic = topic_of(channel, listing)
            if topic not in self.hub.topics:
                continue
            row = self._row(channel, listing, now_ms)
            content = {**row, "ts": ""}
            if self._told.get(topic) != content:
                self._told[topic] = content
                self.hub.publish(topic, _frame(channel, listing, [row]), None, listing.instrument)

    def move(self, listing: Listing, now_ms: int, *, whole: bool = False) -> None:
        """Bring the subscribers of a book to the present, by a snapshot where it began again."""
        window = self.windows.get(listing.symbol)
        if window is None:
            return
        topic = topic_of(BOOKS, listing)
        if whole or window.is_empty():
            self.hub.publish(topic, window.restart(now_ms), None, listing.instrument)
        elif (frame := window.move(now_ms)) is not None:
            self.hub.publish_delta(topic, frame, None, listing.instrument)

    def _row(self, channel: str, listing: Listing, now_ms: int) -> dict[str, Any]:
        if channel == TICKERS:
            return dict(self._public.ticker(listing, now_ms))
        book, depth = self.exchange.books[listing.instrument], TOPS[channel]
        return {
            "asks": [as_level(row) for row in rows(listing, book.asks, depth)],
            "bids": [as_level(row) for row in rows(listing, book.bids, depth)],
            "instId": listing.symbol,
            "ts": str(now_ms),
            "seqId": book.seq,
        }

    def on_print(self, trade: Print) -> None:
        """Publish a trade."""
        topic = topic_of(TRADES, trade.listing)
        if topic in self.hub.topics:
            frame = _frame(TRADES, trade.listing, [trade_row(trade)])
            self.hub.publish(topic, frame, None, trade.listing.instrument)

    def _on_idle_topic(self, topic: str) -> None:
        channel, _, symbol = topic.partition(":")
        self._told.pop(topic, None)
        if channel == BOOKS:
            self.windows.pop(symbol, None)


def topic_of(channel: str, listing: Listing) -> str:
    """Return the name of who listens to a channel of a listing."""
    return f"{channel}:{listing.symbol}"


def _frame(channel: str, listing: Listing, data: list[Any]) -> bytes:
    arg = {"channel": channel, "instId": listing.symbol}
    return msgspec.json.encode({"arg": arg, "data": data})
