"""The simulated public WebSocket v2 of Bitstamp: subscriptions, book changes, trades. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.exchange.rows import side_rows
from shared.messages.base import Side
from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object
from shared.venues.bitstamp.session import BOOKS, TRADES
from shared.venues.bitstamp.simulated.times import BookTimes

PATH = "/"
MESSAGES_PER_S = 100
PREFIXES = (BOOKS, TRADES)


class MarketStreams:
    """Everything public that the venue pushes; topics are the venue's channels."""

    def __init__(
        self, exchange: Exchange, hub: Hub, times: BookTimes, *, is_generated: bool = True
    ) -> None:
        self.exchange, self.hub, self._times = exchange, hub, times
        self.is_generated = is_generated  # else the frames come from a recording
        if is_generated:
            exchange.print_listeners.append(self.on_print)
            exchange.book_listeners.append(self._flush)

    def route(self) -> SocketRoute:
        """Return the path."""
        return SocketRoute(PATH, self._on_text)

    def _on_text(self, client: Client, text: str) -> None:
        if self.hub.too_many_messages(client, MESSAGES_PER_S):
            return
        message = decode_object(text)
        event = None if message is None else message.get("event")
        if message is None or not isinstance(event, str):
            self._refuse(client, "Incorrect JSON format.")
            return
        if event == "bts:heartbeat":
            self._send(client, event, "", {"status": "success"})
            return
        data = message.get("data")
        channel = data.get("channel") if isinstance(data, dict) else None
        if event not in ("bts:subscribe", "bts:unsubscribe"):
            self._refuse(client, "Bad event string.")
        elif not isinstance(channel, str) or not self._is_there(channel):
            self._refuse(client, "Bad subscription string.")
        elif event == "bts:unsubscribe":
            self.hub.unsubscribe(client, channel)
            self._send(client, "bts:unsubscription_succeeded", channel, {})
        elif len(client.topics) >= config.CLIENT_STREAMS_MAX:
            self._refuse(client, "Too many subscriptions.")
        else:
            self.hub.subscribe(client, channel)
            self._send(client, "bts:subscription_succeeded", channel, {})

    def _is_there(self, channel: str) -> bool:
        prefix = next((each for each in PREFIXES if channel.startswith(each)), None)
        return prefix is not None and channel.removeprefix(prefix) in self.exchange.by_symbol

    def _refuse(self, client: Client, text: str) -> None:
        self._send(client, "bts:error", "", {"code": None, "message": text})

    def _send(self, client: Client, event: str, channel: str, data: Any) -> None:
        self.hub.send(client, _frame(event, channel, data))

    # -- the market moved ------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what changed."""
        del tick, now_ms
        if self.is_generated:
            for listing in self.exchange.by_instrument.values():
                self._flush(listing)

    def on_print(self, trade: Print) -> None:
        """Publish a trade."""
        listing = trade.listing
        channel = f"{TRADES}{listing.symbol}"
        if channel not in self.hub.topics:
            return
        price, amount = listing.price_text(trade.ticks), listing.qty_text(trade.lots)
        data = {
            "id": trade.trade_id,
            "timestamp": str(trade.ts_ms // 1_000),
            "microtimestamp": str(trade.ts_ms * 1_000),
            "amount": float(amount),
            "amount_str": amount,
            "price": float(price),
            "price_str": price,
            "type": 0 if trade.side is Side.BUY else 1,
            "buy_order_id": 2 * trade.trade_id,
            "sell_order_id": 2 * trade.trade_id + 1,
        }
        self.hub.publish(channel, _frame("trade", channel, data), None, listing.instrument)

    def _flush(self, listing: Listing) -> None:
        book = self.exchange.books[listing.instrument]
        changed, book.changed = book.changed, {}
        channel = f"{BOOKS}{listing.symbol}"
        if not changed or channel not in self.hub.topics:
            return
        levels = {(side, price): book.lots_at(side, price) for side, price in changed}
        bids, asks = side_rows(listing, levels)
        micros = self._times.of_change(listing.symbol)
        data = {
            "timestamp": str(micros // 1_000_000),
            "microtimestamp": str(micros),
            "bids": bids,
            "asks": asks,
        }
        self.hub.publish_delta(channel, _frame("data", channel, data), None, listing.instrument)


def _frame(event: str, channel: str, data: Any) -> bytes:
    return msgspec.json.encode({"data": data, "channel": channel, "event": event})
