"""Kraken WebSocket v2, public: book, ticker, trade, instrument, status, heartbeat, ping."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, is_integer, shown
from shared.venues.kraken.simulated import frames
from shared.venues.kraken.simulated.book import DEPTHS, BookWindow
from shared.venues.kraken.simulated.timestamps import rfc3339

MESSAGES_PER_S = 50
CRC_ERROR = 0xBAD
TRADES_SNAPSHOT = 50


class RequestRefused(Exception):  # noqa: N818 (it is an answer, not a failure)
    """A request is answered with ``success: false``."""


def read_request(text: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the request, or the refusal of what is none."""
    message = decode_object(text)
    if message is None:
        return None, {"error": "Malformed request", "success": False}
    request_id = message.get("req_id", 0)
    if not is_integer(request_id):
        return None, {"error": "Malformed request: req_id", "success": False}
    if not isinstance(message.get("method"), str):
        known = {"req_id": request_id} if "req_id" in message else {}
        return None, {"error": "Malformed request: method", "success": False, **known}
    return message, None


class PublicStreams:
    """``/v2``. The authenticated endpoint shares its request frame (``streams_private``)."""

    def __init__(
        self, exchange: Exchange, hub: Hub, context: Context, *, generated: bool = True
    ) -> None:
        self.exchange, self.hub, self.context = exchange, hub, context
        self._windows: dict[tuple[str, int], BookWindow] = {}
        self._best: dict[str, tuple[int, int]] = {}
        self._quiet: dict[Client, int] = {}
        hub.on_idle_topic = self._on_idle_topic
        self.recorded_depth: dict[str, int] = {}  # books of this depth are sent as recorded
        if generated:
            exchange.book_listeners.append(self.on_book)
            exchange.print_listeners.append(self.on_print)

    # -- connections -------------------------------------------------------------------------

    def route(self) -> SocketRoute:
        """Return the public path."""
        return SocketRoute("/v2", self._on_text, self.on_open)

    def on_open(self, client: Client) -> None:
        """Greet a connection as the venue does."""
        number = self.hub.counters["connections"]
        data = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": 10_000_000_000_000_000_000 - number,
        }
        self.send(client, {"channel": "status", "type": "update", "data": [data]})

    def _on_text(self, client: Client, text: str) -> None:
        time_in = self.now_text()
        if self.hub.too_many_messages(client, MESSAGES_PER_S):
            return
        message = self.decode(client, text)
        if message is None or self.answered_ping(client, message, time_in):
            return
        method, params = message.get("method"), message.get("params")
        if method not in {"subscribe", "unsubscribe"} or not isinstance(params, dict):
            self.fail(client, message, time_in, f"Unsupported method: {shown(method)}")
            return
        self.change_subscriptions(client, message, time_in)

    def decode(self, client: Client, text: str) -> dict[str, Any] | None:
        """Return the request, or answer that it is none."""
        message, refusal = read_request(text)
        if refusal is not None:
            self.send(client, refusal)
        return message

    def answered_ping(self, client: Client, message: dict[str, Any], time_in: str) -> bool:
        """Answer a ping."""
        if message.get("method") != "ping":
            return False
        self._answer(client, message, time_in, {"method": "pong"})
        return True

    def change_subscriptions(self, client: Client, message: dict[str, Any], time_in: str) -> None:
        """Subscribe or unsubscribe: one acknowledgement per symbol."""
        params, method = message["params"], str(message["method"])
        channel = shown(params.get("channel"))
        if channel not in {"book", "ticker", "trade", "instrument"}:
            self.fail(client, message, time_in, f"Channel not supported: {channel}")
            return
        symbols = params.get("symbol", []) if channel != "instrument" else ["*"]
        if not isinstance(symbols, list) or not symbols:
            self.fail(client, message, time_in, "Symbol(s) not found")
            return
        for one in symbols:
            symbol = shown(one)
            try:
                self._change(client, message, channel, symbol)
            except RequestRefused as error:
                self.fail(client, message, time_in, str(error), symbol=symbol)
                continue
            result: dict[str, Any] = {"channel": channel, "snapshot": True}
            if channel != "instrument":
                result["symbol"] = symbol
            if channel == "book":
                result["depth"] = params.get("depth", 10)
            if channel == "ticker":
                result["event_trigger"] = params.get("event_trigger", "trades")
            self.succeed(client, message, time_in, result)
            if method == "subscribe" and params.get("snapshot", True):
                self._snapshot(client, channel, symbol, params)

    def _change(self, client: Client, message: dict[str, Any], channel: str, symbol: str) -> None:
        topic = self._topic(channel, symbol, message["params"])
        if message["method"] == "unsubscribe":
            if not self.hub.unsubscribe(client, topic):
                raise RequestRefused("Subscription Not Found")
            return
        if len(client.topics) >= config.CLIENT_STREAMS_MAX:
            raise RequestRefused("Exceeded maximum number of subscriptions")
        if channel == "book" and any(t.startswith(f"book/{symbol}/") for t in client.topics):
            raise RequestRefused("Already subscribed")
        if not self.hub.subscribe(client, topic):
            raise RequestRefused("Already subscribed")
        if channel == "book":
            self._window(symbol, message["params"].get("depth", 10))

    def _topic(self, channel: str, symbol: str, params: dict[str, Any]) -> str:
        if channel == "instrument":
            return "instrument"
        if symbol not in self.exchange.by_instrument:
            raise RequestRefused(f"Currency pair not supported {symbol}")
        if channel == "book":
            depth = params.get("depth", 10)
            if not is_integer(depth) or depth not in DEPTHS:
                raise RequestRefused("Depth not supported")
            return f"book/{symbol}/{depth}"
        if channel == "ticker":
            if params.get("event_trigger", "trades") not in ("trades", "bbo"):
                raise RequestRefused("Event trigger not supported")
            return f"ticker/{symbol}/{params.get('event_trigger', 'trades')}"
        return f"{channel}/{symbol}"

    def _snapshot(self, client: Client, channel: str, symbol: str, params: dict[str, Any]) -> None:
        if channel == "instrument":
            self.send(client, frames.instruments(self.exchange))
            return
        listing = self.exchange.by_instrument[symbol]
        if channel == "book":
            depth = params.get("depth", 10)
            window = self._window(symbol, depth)
            if depth == self.recorded_depth.get(symbol):
                window.restart()  # nothing else keeps it up to date
            book = self.exchange.books[symbol]
            if book.bids.keys or book.asks.keys:  # a recording's may be yet to come
                self.hub.send(client, window.snapshot(self._crc_error(symbol)), symbol)
        elif channel == "ticker":
            self.hub.send(
                client, frames.ticker(self.exchange, listing, "snapshot", self.now_text()), symbol
            )
        else:
            prints = list(self.exchange.prints[symbol])[-TRADES_SNAPSHOT:]
            if prints:  # clients do not expect an empty one
                self.hub.send(client, frames.trades(prints, "snapshot"), symbol)

    def _window(self, symbol: str, depth: int) -> BookWindow:
        window = self._windows.get((symbol, depth))
        if window is None:
            listing, book = self.exchange.by_instrument[symbol], self.exchange.books[symbol]
            window = self._windows[symbol, depth] = BookWindow(listing, book, depth)
        return window

    def _on_idle_topic(self, topic: str) -> None:
        kind, _, rest = topic.partition("/")
        if kind == "book":
            symbol, _, depth = rest.rpartition("/")
            self._windows.pop((symbol, int(depth)), None)

    # -- the market moved ----------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what changed, and a heartbeat to who heard nothing for a second."""
        for instrument in self.exchange.by_instrument:
            self.flush(instrument)
        if tick % (1_000 // TICK_MS) == 0:
            for client in self.hub.clients:
                if client.topics and self._quiet.get(client) == client.frames_sent:
                    self.hub.send(client, b'{"channel":"heartbeat"}')
            self._quiet = {client: client.frames_sent for client in self.hub.clients}

    def on_book(self, listing: Listing) -> None:
        """A client's order changed a book."""
        self.flush(listing.instrument)

    def on_print(self, trade: Print) -> None:
        """Publish a trade, and the ticker it triggers."""
        instrument = trade.listing.instrument
        if f"trade/{instrument}" in self.hub.topics:
            frame = frames.trades([trade], "update")
            self.hub.publish(f"trade/{instrument}", frame, None, instrument)
        topic = f"ticker/{instrument}/trades"
        if topic in self.hub.topics:
            self._ticker(topic, trade.listing)

    def flush(self, instrument: str) -> None:
        """Publish what changed in a book."""
        book = self.exchange.books[instrument]
        if not book.changed:
            return
        book.changed = {}
        listing = self.exchange.by_instrument[instrument]
        self._update(instrument)
        topic = f"ticker/{instrument}/bbo"
        best = (book.bids.best() or 0, book.asks.best() or 0)
        if topic in self.hub.topics and self._best.get(instrument) != best:
            self._best[instrument] = best
            self._ticker(topic, listing)

    def _update(self, instrument: str, crc_error: int = 0) -> None:
        stamp = self.now_text()
        for (symbol, depth), window in self._windows.items():
            if symbol == instrument and depth != self.recorded_depth.get(symbol):
                frame = window.update(stamp, crc_error or self._crc_error(instrument))
                if frame is not None:
                    self.hub.publish_delta(f"book/{symbol}/{depth}", frame, None, instrument)

    def _ticker(self, topic: str, listing: Listing) -> None:
        frame = frames.ticker(self.exchange, listing, "update", self.now_text())
        self.hub.publish(topic, frame, None, listing.instrument)

    def publish_snapshots(self, instrument: str, *, every: bool = False) -> None:
        """Start windows again, ``every`` one or only those that are not sent it as recorded."""
        for (symbol, depth), window in self._windows.items():
            if symbol == instrument and (every or depth != self.recorded_depth.get(symbol)):
                window.restart()
                self.hub.publish(f"book/{symbol}/{depth}", window.snapshot(), None, instrument)

    def break_off(self, instrument: str) -> None:
        """Tell subscribers by a checksum that fails that what they have is not the book."""
        self._update(instrument, CRC_ERROR)

    def _crc_error(self, instrument: str) -> int:
        fault = self.context.faults.take(("checksum",), self.hub.venue, instrument)
        return CRC_ERROR if fault else 0

    def now_text(self) -> str:
        """Return the venue's time as text."""
        return rfc3339(self.context.venue_ns(self.hub.venue))

    def send(self, client: Client, body: dict[str, Any]) -> None:
        """Send one client a message."""
        self.hub.send(client, msgspec.json.encode(body))

    def succeed(
        self, client: Client, message: dict[str, Any], time_in: str, result: dict[str, Any]
    ) -> None:
        """Acknowledge a request."""
        body = {"method": message["method"], "result": result, "success": True}
        self._answer(client, message, time_in, body)

    def fail(
        self, client: Client, message: dict[str, Any], time_in: str, text: str, **extra: Any
    ) -> None:
        """Refuse a request."""
        body = {"error": text, "method": message.get("method"), "success": False, **extra}
        self._answer(client, message, time_in, body)

    def _answer(
        self, client: Client, message: dict[str, Any], time_in: str, body: dict[str, Any]
    ) -> None:
        body |= {"time_in": time_in, "time_out": self.now_text()}
        if "req_id" in message:
            body["req_id"] = message["req_id"]
        self.send(client, body)
