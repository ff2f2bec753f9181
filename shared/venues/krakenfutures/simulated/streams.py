"""The derivatives' public WebSocket v1: books, trades, tickers, heartbeat. Pure."""

from __future__ import annotations

from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, shown
from shared.venues.krakenfutures.simulated import frames
from shared.venues.krakenfutures.simulated.market_data import PublicRest

PATH = "/ws/v1"
REQUESTS_PER_S = 100
TICKER_MS = HEARTBEAT_MS = 1_000
TRADES_FIRST = 100
"""Trades in the snapshot of a subscription."""
HEARTBEAT = "heartbeat"
BOOK, TRADE, TICKER, TICKER_LITE = "book", "trade", "ticker", "ticker_lite"
OF_PRODUCTS = (BOOK, TRADE, TICKER, TICKER_LITE)


class MarketStreams:
    """Everything public that the venue pushes; topics are ``<feed>/<product>``."""

    def __init__(self, public: PublicRest, hub: Hub, *, is_generated: bool = True) -> None:
        self.exchange: Exchange = public.exchange
        self.hub, self._public = hub, public
        self.is_generated = is_generated  # else the frames come from a recording
        self.seqs = dict.fromkeys(self.exchange.by_symbol, 0)
        """Product -> number of its last change."""
        self._trade_seqs = dict.fromkeys(self.exchange.by_symbol, 0)
        if is_generated:
            self.exchange.print_listeners.append(self._on_print)

    def route(self) -> SocketRoute:
        """Return the one path."""
        return SocketRoute(PATH, self._on_text, self._on_open)

    def is_watched(self, listing: Listing) -> bool:
        """Tell whether somebody has its book."""
        return f"{BOOK}/{listing.symbol}" in self.hub.topics

    # -- requests --------------------------------------------------------------------------

    def _on_open(self, client: Client) -> None:
        self.hub.send(client, frames.event("info", version=1))

    def _on_text(self, client: Client, text: str) -> None:
        if self.hub.too_many_messages(client, REQUESTS_PER_S):
            return
        message = decode_object(text) or {}
        event, feed = message.get("event"), message.get("feed")
        if event not in ("subscribe", "unsubscribe"):
            self._error(client, "Invalid event")
        elif feed == HEARTBEAT:
            change = self.hub.subscribe if event == "subscribe" else self.hub.unsubscribe
            change(client, HEARTBEAT)
            self.hub.send(client, frames.event(f"{event}d", feed=HEARTBEAT))
        elif feed not in OF_PRODUCTS:
            self._error(client, f"Invalid feed {shown(feed)}")
        else:
            self._change(client, str(event), str(feed), message.get("product_ids"))

    def _change(self, client: Client, event: str, feed: str, products: Any) -> None:
        if not isinstance(products, list) or not all(isinstance(p, str) for p in products):
            self._error(client, "Invalid product ids")
            return
        for product in products:
            listing = self.exchange.by_symbol.get(product.upper())
            if listing is None:
                self._error(client, "Invalid product id", [shown(product)])
                continue
            topic = f"{feed}/{listing.symbol}"
            answer = frames.event(f"{event}d", feed=feed, product_ids=[listing.symbol])
            if event == "unsubscribe":
                self.hub.unsubscribe(client, topic)
                self.hub.send(client, answer)
            elif len(client.topics) >= config.CLIENT_STREAMS_MAX:
                self._error(client, "Too many subscriptions", [listing.symbol])
            else:
                if not self.hub.subscribe(client, topic):
                    text = "Already subscribed to feed, re-requesting"
                    self.hub.send(client, frames.event("alert", message=text))
                self.hub.send(client, answer)
                self._greet(client, feed, listing)

    def _error(self, client: Client, text: str, products: list[str] | None = None) -> None:
        named = {"product_ids": products} if products else {}
        self.hub.send(client, frames.event("error", message=text, **named))

    def _greet(self, client: Client, feed: str, listing: Listing) -> None:
        """Send what comes first."""
        now_ms = self.hub.now_ms()
        if feed == BOOK:
            book, seq = self.exchange.books[listing.instrument], self.seqs[listing.symbol]
            if seq or self.is_generated:  # a recording's may be yet to come
                frame = frames.snapshot(listing, book, seq, now_ms)
                self.hub.send(client, frame, listing.instrument)
        elif feed == TRADE and self.is_generated:
            recent = list(self.exchange.prints[listing.instrument])[-TRADES_FIRST:]
            last = self._trade_seqs[listing.symbol]
            rows = [frames.trade(each, last - i) for i, each in enumerate(reversed(recent))]
            body = {"feed": "trade_snapshot", "product_id": listing.symbol, "trades": rows}
            self.hub.send(client, frames.as_frame(body), listing.instrument)
        elif self.is_generated:
            self.hub.send(client, self._ticker(feed, listing, now_ms), listing.instrument)

    # -- the market moved ------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due at this tick."""
        if tick % (HEARTBEAT_MS // TICK_MS) == 0:
            frame = frames.as_frame({"feed": HEARTBEAT, "time": now_ms})
            self.hub.publish(HEARTBEAT, frame, None, "")
        if not self.is_generated:
            return
        for listing in self.exchange.by_instrument.values():
            self._move(listing, now_ms)
            if tick % (TICKER_MS // TICK_MS) == 0:
                for feed in (TICKER, TICKER_LITE):
                    topic = f"{feed}/{listing.symbol}"
                    if topic in self.hub.topics:
                        frame = self._ticker(feed, listing, now_ms)
                        self.hub.publish(topic, frame, None, listing.instrument)

    def _move(self, listing: Listing, now_ms: int) -> None:
        """Send one frame a level: those that went first, so that the book never crosses."""
        book = self.exchange.books[listing.instrument]
        changed, book.changed = book.changed, {}
        topic = f"{BOOK}/{listing.symbol}"
        levels = [(side, price, book.lots_at(side, price)) for side, price in changed]
        for level in sorted(levels, key=lambda level: level[2] > 0):
            self.seqs[listing.symbol] += 1
            seq = self.seqs[listing.symbol]
            if topic in self.hub.topics:
                frame = frames.change(listing, level, seq, now_ms)
                self.hub.publish_delta(topic, frame, None, listing.instrument)

    def _ticker(self, feed: str, listing: Listing, now_ms: int) -> bytes:
        return frames.as_frame({**self._public.ticker(listing, now_ms), "feed": feed})

    def _on_print(self, trade: Print) -> None:
        self._trade_seqs[trade.listing.symbol] += 1
        topic = f"{TRADE}/{trade.listing.symbol}"
        if topic in self.hub.topics:
            frame = frames.as_frame(frames.trade(trade, self._trade_seqs[trade.listing.symbol]))
            self.hub.publish(topic, frame, None, trade.listing.instrument)
