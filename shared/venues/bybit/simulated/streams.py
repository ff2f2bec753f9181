"""Bybit WebSocket v5, public: books of several depths, trades, tickers, ping. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, is_id, shown
from shared.venues.bybit.simulated.market_data import PublicRest
from shared.venues.bybit.simulated.windows import Window
from shared.venues.bybit.symbols import CATEGORIES, category_of

PATH = "/v5/public/"
MESSAGES_PER_S = 200
PERIODS_MS = {1: TICK_MS, 50: TICK_MS, 200: 100, 1000: 200}
"""Depth -> how often its topic is sent; the venue's 10 and 20 ms are less than a tick here."""
REPEAT_MS = 3_000
"""The best bid and ask are sent again after so long without a change."""
TICKER_MS = 100
TICKER_PARTS = (
    "lastPrice",
    "markPrice",
    "indexPrice",
    "fundingRate",
    "nextFundingTime",
    "bid1Price",
    "bid1Size",
    "ask1Price",
    "ask1Size",
)


class RequestRefused(Exception):  # noqa: N818 (it is an answer, not a failure)
    """A request is answered with ``success`` false."""


class MarketStreams:
    """Everything public that the venue pushes."""

    def __init__(self, public: PublicRest, hub: Hub, *, is_generated: bool = True) -> None:
        self.exchange, self.hub, self._public = public.exchange, hub, public
        self.is_generated = is_generated  # else the frames come from a recording
        self.windows: dict[str, Window] = {}
        self._last: dict[str, int] = {}
        self._best: dict[str, tuple[bytes, int]] = {}  # topic -> what was sent last, and when
        self._tickers: dict[str, dict[str, Any]] = {}
        hub.on_idle_topic = self._on_idle_topic
        if is_generated:
            self.exchange.print_listeners.append(self.on_print)

    def routes(self) -> list[SocketRoute]:
        """Return the path of each category."""
        return [SocketRoute(PATH + category, self._on_text) for category in CATEGORIES]

    # -- requests --------------------------------------------------------------------------

    def _on_text(self, client: Client, text: str) -> None:
        if self.hub.too_many_messages(client, MESSAGES_PER_S):
            return
        message = decode_object(text)
        if message is None or not is_id(message.get("req_id")):
            self._answer(client, {}, "error:request format error", success=False)
            return
        op, topics = message.get("op"), message.get("args")
        if op == "ping":
            self._answer(client, message, "pong")
            return
        if op not in ("subscribe", "unsubscribe"):
            self._answer(client, message, f"error:invalid op {shown(op)}", success=False)
            return
        if not isinstance(topics, list) or not all(isinstance(t, str) for t in topics):
            self._answer(client, message, "error:invalid args", success=False)
            return
        try:
            for topic in topics:
                self._check(client, op, topic)
        except RequestRefused as error:
            self._answer(client, message, str(error), success=False)
            return
        self._answer(client, message, "")
        for topic in topics:
            if op == "unsubscribe":
                self.hub.unsubscribe(client, topic)
            elif self.hub.subscribe(client, topic):
                self._greet(client, topic)

    def _check(self, client: Client, op: str, topic: str) -> None:
        kind, _, rest = topic.partition(".")
        depth, _, symbol = rest.rpartition(".")
        is_known = kind in ("publicTrade", "tickers") and not depth
        if kind == "orderbook" and depth.isdecimal() and len(depth) < 6:
            is_known = int(depth) in PERIODS_MS or not self.is_generated
        if not is_known:
            raise RequestRefused(f"error:handler not found,topic:{shown(topic)}")
        listing = self.exchange.by_symbol.get(symbol)
        if listing is None or client.path != PATH + category_of(listing.instrument):
            raise RequestRefused(f"Invalid symbol :[{shown(topic)}]")
        if op == "subscribe" and topic in client.topics:
            raise RequestRefused(f"error:already subscribed,topic:{topic}")
        if op == "subscribe" and len(client.topics) >= config.CLIENT_STREAMS_MAX:
            raise RequestRefused("error:too many args")

    def _answer(
        self, client: Client, message: dict[str, Any], text: str, *, success: bool = True
    ) -> None:
        body = {"success": success, "ret_msg": text, "conn_id": "simulated"}
        body |= {name: message[name] for name in ("req_id", "op") if name in message}
        self.hub.send(client, msgspec.json.encode(body))

    def _greet(self, client: Client, topic: str) -> None:
        """Send the snapshot that comes first."""
        kind, listing = topic.partition(".")[0], self._listing(topic)
        now_ms = self.hub.now_ms()
        if kind == "orderbook":
            window = self.windows.get(topic)
            if window is None:
                book = self.exchange.books[listing.instrument]
                window = Window(topic, listing, book, self._last.get(topic, 0))
                self.windows[topic] = window
            if not window.is_empty():  # a recording's may be yet to come
                self.hub.send(client, window.whole(now_ms), listing.instrument)
        elif kind == "tickers" and self.is_generated:
            whole = self._public.ticker(listing, now_ms)
            self._tickers.setdefault(topic, whole)
            self.hub.send(client, self._frame(topic, "snapshot", whole), listing.instrument)

    def _listing(self, topic: str) -> Listing:
        return self.exchange.by_symbol[topic.rpartition(".")[2]]

    # -- the market moved ------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due at this tick."""
        if not self.is_generated:
            return
        for listing in self.exchange.by_instrument.values():
            self.exchange.books[listing.instrument].changed = {}
        for topic, window in tuple(self.windows.items()):
            depth = int(topic.split(".")[1])
            if tick % (PERIODS_MS[depth] // TICK_MS) == 0:
                self._move(topic, window, depth, now_ms)
        if tick % (TICKER_MS // TICK_MS) == 0:
            for topic in tuple(self._tickers):
                self._tick(topic, now_ms)

    def _move(self, topic: str, window: Window, depth: int, now_ms: int) -> None:
        instrument = window.listing.instrument
        frame = window.move(now_ms)
        if depth != 1:
            if frame is not None:
                self.hub.publish_delta(topic, frame, None, instrument)
            return
        told_ms = self._best.get(topic, (b"", 0))[1]  # only whole books, also of nothing new
        if frame is not None or now_ms - told_ms >= REPEAT_MS:
            whole = window.whole(now_ms)
            self._best[topic] = whole, now_ms
            self.hub.publish(topic, whole, None, instrument)

    def _tick(self, topic: str, now_ms: int) -> None:
        listing = self._listing(topic)
        before, now = self._tickers[topic], self._public.ticker(listing, now_ms)
        self._tickers[topic] = now
        changed = {name: now[name] for name in TICKER_PARTS if before[name] != now[name]}
        if changed:
            frame = self._frame(topic, "delta", {"symbol": listing.symbol, **changed})
            self.hub.publish(topic, frame, None, listing.instrument)

    def on_print(self, trade: Print) -> None:
        """Publish a trade."""
        listing = trade.listing
        topic = f"publicTrade.{listing.symbol}"
        if topic not in self.hub.topics:
            return
        row = {
            "T": trade.ts_ms,
            "s": listing.symbol,
            "S": trade.side.value.capitalize(),
            "v": listing.qty_text(trade.lots),
            "p": listing.price_text(trade.ticks),
            "L": "PlusTick",
            "i": str(trade.trade_id),
            "BT": False,
            "RPI": False,
        }
        self.hub.publish(topic, self._frame(topic, "snapshot", [row]), None, listing.instrument)

    def topics_of(self, listing: Listing) -> list[str]:
        """Return the topics of a listing's books that have subscribers."""
        return [topic for topic, window in self.windows.items() if window.listing is listing]

    def _frame(self, topic: str, kind: str, data: Any) -> bytes:
        body = {"topic": topic, "type": kind, "ts": self.hub.now_ms(), "data": data}
        return msgspec.json.encode(body)

    def _on_idle_topic(self, topic: str) -> None:
        if (window := self.windows.pop(topic, None)) is not None:
            self._last[topic] = window.last
        self._tickers.pop(topic, None)
        self._best.pop(topic, None)
