"""The WebSocket feed: books, trades, tickers, heartbeats. Pure.

``level2`` wants a signed subscription, ``level2_batch`` does not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, shown
from shared.venues.coinbaseexchange.simulated import frames
from shared.venues.coinbaseexchange.simulated.rest import PublicRest

PATH = "/"
REQUESTS_PER_S = 100
HEARTBEAT_MS = 1_000
SIGNED, BOOKS = "level2", "level2_batch"
MATCHES, TICKER, HEARTBEAT = "matches", "ticker", "heartbeat"
CHANNELS = (SIGNED, BOOKS, MATCHES, TICKER, HEARTBEAT)
FAILED = "Failed to subscribe"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one API key of the simulated account; the secret is base64."""

    key: str
    secret: str
    passphrase: str

    def have_signed(self, message: dict[str, Any]) -> bool:
        """Tell whether a subscription is signed with them."""
        text = f"{message.get('timestamp')}GET/users/self/verify"
        wanted = hmac.new(base64.b64decode(self.secret), text.encode(), hashlib.sha256).digest()
        told = {"key": self.key, "passphrase": self.passphrase}
        told["signature"] = base64.b64encode(wanted).decode()
        return all(
            hmac.compare_digest(str(message.get(name)).encode(), value.encode())
            for name, value in told.items()
        )


class MarketStreams:
    """Everything public that the venue pushes; topics are ``<channel>/<product>``."""

    def __init__(
        self, public: PublicRest, hub: Hub, credentials: Credentials, *, is_generated: bool = True
    ) -> None:
        self.exchange: Exchange = public.exchange
        self.hub, self._public, self._credentials = hub, public, credentials
        self.is_generated = is_generated  # else the frames come from a recording
        self._trade_ids = dict.fromkeys(self.exchange.by_symbol, 0)
        if is_generated:
            self.exchange.print_listeners.append(self._on_print)

    def route(self) -> SocketRoute:
        """Return the one path."""
        return SocketRoute(PATH, self._on_text)

    def is_watched(self, listing: Listing) -> bool:
        """Tell whether somebody has its book."""
        return any(f"{name}/{listing.symbol}" in self.hub.topics for name in (SIGNED, BOOKS))

    # -- requests --------------------------------------------------------------------------

    def _on_text(self, client: Client, text: str) -> None:
        if self.hub.too_many_messages(client, REQUESTS_PER_S):
            return
        message = decode_object(text) or {}
        kind = message.get("type")
        products, channels = message.get("product_ids"), message.get("channels")
        if kind not in ("subscribe", "unsubscribe"):
            self._error(client, "Malformed JSON", f"type {shown(kind)} is not known")
        elif not _are_texts(products) or not _are_texts(channels):
            self._error(client, FAILED, "product_ids and channels must be lists of names")
        else:
            self._change(client, message, list(products or ()), list(channels or ()))

    def _change(
        self, client: Client, message: dict[str, Any], products: list[str], channels: list[str]
    ) -> None:
        for channel in channels:
            if channel not in CHANNELS:
                self._error(client, FAILED, f"{shown(channel)} is not a valid channel")
                return
        for product in products:
            if product not in self.exchange.by_symbol:
                self._error(client, FAILED, f"{shown(product)} is not a valid product")
                return
        is_more = message["type"] == "subscribe"
        if is_more and SIGNED in channels and not self._credentials.have_signed(message):
            self._error(client, "Authentication Failed", "{}")
            return
        topics = [f"{channel}/{product}" for channel in channels for product in products]
        if is_more and len(client.topics) + len(topics) > config.CLIENT_STREAMS_MAX:
            self._error(client, FAILED, "too many subscriptions")
            return
        change = self.hub.subscribe if is_more else self.hub.unsubscribe
        changed = [topic for topic in topics if change(client, topic)]
        self._tell_subscriptions(client)
        if is_more:
            for topic in changed:
                channel, _, product = topic.partition("/")
                self._greet(client, channel, self.exchange.by_symbol[product])

    def _tell_subscriptions(self, client: Client) -> None:
        told: dict[str, list[str]] = {}
        for topic in client.topics:
            channel, _, product = topic.partition("/")
            told.setdefault(channel, []).append(product)
        rows = [{"name": name, "product_ids": products} for name, products in told.items()]
        self.hub.send(client, frames.encoded(type="subscriptions", channels=rows))

    def _error(self, client: Client, text: str, reason: str) -> None:
        self.hub.send(client, frames.encoded(type="error", message=text, reason=reason))

    def _greet(self, client: Client, channel: str, listing: Listing) -> None:
        """Send what comes first."""
        now_ms, name = self.hub.now_ms(), listing.instrument
        book, prints = self.exchange.books[name], self.exchange.prints[name]
        if channel in (SIGNED, BOOKS):
            if self.is_generated or book.bids.keys or book.asks.keys:  # else it is yet to come
                self.hub.send(client, frames.snapshot(listing, book, now_ms), name)
        elif channel == MATCHES and self.is_generated and prints:
            last = self._trade_ids[listing.symbol]
            self.hub.send(client, frames.match(prints[-1], last, book.seq, "last_match"), name)
        elif channel == TICKER and self.is_generated:
            self.hub.send(client, self._ticker(listing, now_ms), name)

    # -- the market moved ------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due at this tick."""
        if not self.is_generated:
            return
        for listing in self.exchange.by_instrument.values():
            self._move(listing, now_ms)
            if tick % (HEARTBEAT_MS // TICK_MS) == 0:
                self._beat(listing, now_ms)

    def _move(self, listing: Listing, now_ms: int) -> None:
        book = self.exchange.books[listing.instrument]
        changed, book.changed = book.changed, {}
        if not changed or not self.is_watched(listing):
            return
        levels = [(side, price, book.lots_at(side, price)) for side, price in changed]
        frame = frames.update(listing, levels, now_ms)
        for name in (SIGNED, BOOKS):
            topic = f"{name}/{listing.symbol}"
            self.hub.publish_delta(topic, frame, None, listing.instrument)

    def _beat(self, listing: Listing, now_ms: int) -> None:
        topic = f"{HEARTBEAT}/{listing.symbol}"
        if topic not in self.hub.topics:
            return
        frame = frames.encoded(
            type="heartbeat",
            sequence=self.exchange.books[listing.instrument].seq,
            last_trade_id=self._trade_ids[listing.symbol],
            product_id=listing.symbol,
            time=frames.stamp(now_ms),
        )
        self.hub.publish(topic, frame, None, listing.instrument)

    def _ticker(self, listing: Listing, now_ms: int) -> bytes:
        told = self._public.ticker(listing)
        return frames.encoded(
            type="ticker",
            sequence=self.exchange.books[listing.instrument].seq,
            product_id=listing.symbol,
            price=told["price"],
            best_bid=told["bid"],
            best_bid_size=told["bid_size"],
            best_ask=told["ask"],
            best_ask_size=told["ask_size"],
            volume_24h=told["volume"],
            time=frames.stamp(now_ms),
            trade_id=self._trade_ids[listing.symbol],
            last_size=told["size"],
        )

    def _on_print(self, trade: Print) -> None:
        listing = trade.listing
        self._trade_ids[listing.symbol] += 1
        trade_id, name = self._trade_ids[listing.symbol], listing.instrument
        sequence = self.exchange.books[name].seq
        if (topic := f"{MATCHES}/{listing.symbol}") in self.hub.topics:
            self.hub.publish(topic, frames.match(trade, trade_id, sequence), None, name)
        if (topic := f"{TICKER}/{listing.symbol}") in self.hub.topics:
            self.hub.publish(topic, self._ticker(listing, trade.ts_ms), None, name)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
