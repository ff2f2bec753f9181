"""The simulated public WebSocket of KuCoin: greeting, topics, books, trades, quotes. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.exchange.rows import rows
from shared.messages.base import Side
from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, is_id, shown
from shared.venues.kucoin.session import BOOKS, QUOTES, TRADES
from shared.venues.kucoin.simulated.tokens import Tokens

PATH = "/endpoint"
MESSAGES_PER_S = 100
SYMBOLS_PER_TOPIC_MAX = 100
BEST, STATS = "/spotMarket/level1", "/market/snapshot"
TOPICS = (BOOKS, TRADES, QUOTES, BEST, STATS)
QUOTE_TICKS, STATS_TICKS = 100 // TICK_MS, 2_000 // TICK_MS
BAD_FORMAT, BAD_TOKEN, NOT_FOUND, BAD_TYPE, TOO_MANY = 400, 401, 404, 415, 509
"""Codes of the venue's errors."""


class MarketStreams:
    """Everything public that the venue pushes."""

    def __init__(
        self, exchange: Exchange, hub: Hub, tokens: Tokens, *, is_generated: bool = True
    ) -> None:
        self.exchange, self.hub, self._tokens = exchange, hub, tokens
        self.is_generated = is_generated  # else the frames come from a recording
        self._last = {name: book.seq for name, book in exchange.books.items()}
        self._traded: dict[str, Print] = {}
        if is_generated:
            exchange.print_listeners.append(self.on_print)
            exchange.book_listeners.append(self.on_book)

    def route(self) -> SocketRoute:
        """Return the path."""
        return SocketRoute(PATH, self._on_text, self._on_open)

    # -- requests --------------------------------------------------------------------------

    def _on_open(self, client: Client) -> None:
        connect_id = client.query.get("connectId") or f"{self.hub.counters['connections']}"
        if not self._tokens.is_good(client.query.get("token", ""), self.hub.now_ms()):
            self._refuse(client, connect_id, BAD_TOKEN, "token is expired")
            client.refuse("token is expired")
            return
        self._send(client, {"id": connect_id, "type": "welcome"})

    def _on_text(self, client: Client, text: str) -> None:
        if client.is_closing or self.hub.too_many_messages(client, MESSAGES_PER_S):
            return
        message = decode_object(text)
        if message is None or not is_id(message.get("id")):
            self._refuse(client, "", BAD_FORMAT, "data format is invalid")
            return
        name, kind, topic = str(message.get("id")), message.get("type"), message.get("topic")
        if kind == "ping":
            self._send(client, {"id": name, "type": "pong"})
        elif kind not in ("subscribe", "unsubscribe"):
            self._refuse(client, name, BAD_TYPE, "type is not supported")
        elif not isinstance(topic, str) or (topics := self._topics(topic)) is None:
            self._refuse(client, name, NOT_FOUND, f"topic {shown(topic)} is not found")
        elif kind == "subscribe" and len(client.topics) + len(topics) > config.CLIENT_STREAMS_MAX:
            self._refuse(client, name, TOO_MANY, "exceed max subscription count limitation")
        else:
            change = self.hub.subscribe if kind == "subscribe" else self.hub.unsubscribe
            for each in topics:
                change(client, each)
            if message.get("response"):
                self._send(client, {"id": name, "type": "ack"})

    def _topics(self, topic: str) -> list[str] | None:
        """Return one topic for each symbol, ``None`` where one of them is not there."""
        name, _, listed = topic.partition(":")
        symbols = listed.split(",")
        if name not in TOPICS or len(symbols) > SYMBOLS_PER_TOPIC_MAX:
            return None
        if not all(symbol in self.exchange.by_symbol for symbol in symbols):
            return None
        return [f"{name}:{symbol}" for symbol in symbols]

    def _refuse(self, client: Client, name: str, code: int, text: str) -> None:
        self._send(client, {"id": name, "type": "error", "code": code, "data": text})

    def _send(self, client: Client, body: dict[str, Any]) -> None:
        self.hub.send(client, msgspec.json.encode(body))

    # -- the market moved ------------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due at this tick."""
        if not self.is_generated:
            return
        for listing in self.exchange.by_instrument.values():
            self._flush(listing, now_ms)
            if tick % QUOTE_TICKS == 0:
                self._quote(listing, now_ms)
            if tick % STATS_TICKS == 0:
                self._tell_stats(listing, now_ms)

    def on_book(self, listing: Listing) -> None:
        """A client's order changed a book."""
        self._flush(listing, self.hub.now_ms())

    def on_print(self, trade: Print) -> None:
        """Publish a trade."""
        listing = trade.listing
        self._traded[listing.symbol] = trade
        data = {
            "symbol": listing.symbol,
            "sequence": str(trade.trade_id),
            "side": trade.side.value,
            "size": listing.qty_text(trade.lots),
            "price": listing.price_text(trade.ticks),
            "takerOrderId": f"{2 * trade.trade_id + 1:024x}",
            "makerOrderId": f"{2 * trade.trade_id:024x}",
            "time": str(trade.ts_ms * 1_000_000),
            "tradeId": str(trade.trade_id),
            "type": "match",
        }
        self._publish(TRADES, listing, "trade.l3match", data)

    def _flush(self, listing: Listing, now_ms: int) -> None:
        name, book = listing.instrument, self.exchange.books[listing.instrument]
        changed, book.changed = book.changed, {}
        before, self._last[name] = self._last[name], book.seq
        topic = f"{BOOKS}:{listing.symbol}"
        if book.seq == before or topic not in self.hub.topics:
            return
        keys = list(changed)
        sides: dict[Side, list[tuple[str, str, str]]] = {Side.BUY: [], Side.SELL: []}
        for index, (side, price) in enumerate(keys):
            # Numbered from the end: earlier changes of the same price are not told.
            number = max(before + 1, book.seq - (len(keys) - 1 - index))
            lots = book.lots_at(side, price)
            row = (listing.price_text(price), listing.qty_text(lots), str(number))
            sides[side].append(row)
        if not keys:  # changed back: only the sequence moves
            sides[Side.SELL].append(("0", "0", str(book.seq)))
        data = {
            "changes": {"asks": sides[Side.SELL], "bids": sides[Side.BUY]},
            "sequenceEnd": book.seq,
            "sequenceStart": before + 1,
            "symbol": listing.symbol,
            "time": now_ms,
        }
        frame = _message(topic, "trade.l2update", data)
        self.hub.publish_delta(topic, frame, None, name)

    def _quote(self, listing: Listing, now_ms: int) -> None:
        book = self.exchange.books[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        if not bid or not ask:
            return
        traded = self._traded.get(listing.symbol)
        data = {
            "sequence": str(book.seq),
            "bestAsk": ask[0][0],
            "bestAskSize": ask[0][1],
            "bestBid": bid[0][0],
            "bestBidSize": bid[0][1],
            "price": listing.price_text(traded.ticks) if traded else bid[0][0],
            "size": listing.qty_text(traded.lots) if traded else "0",
            "time": now_ms,
        }
        self._publish(QUOTES, listing, "trade.ticker", data)
        best = {"asks": ask[0], "bids": bid[0], "timestamp": now_ms}
        self._publish(BEST, listing, "level1", best)

    def _tell_stats(self, listing: Listing, now_ms: int) -> None:
        book = self.exchange.books[listing.instrument]
        bid, ask = book.bids.best(), book.asks.best()
        if bid is None or ask is None:
            return
        traded = self._traded.get(listing.symbol)
        last = traded.ticks if traded else bid
        data = {
            "trading": True,
            "symbol": listing.symbol,
            "buy": float(listing.price(bid)),
            "sell": float(listing.price(ask)),
            "baseCurrency": listing.base,
            "quoteCurrency": listing.quote,
            "symbolCode": listing.symbol,
            "datetime": now_ms,
            "lastTradedPrice": float(listing.price(last)),
        }
        whole = {"sequence": str(book.seq), "data": data}
        self._publish(STATS, listing, "trade.snapshot", whole)

    def _publish(self, name: str, listing: Listing, subject: str, data: Any) -> None:
        topic = f"{name}:{listing.symbol}"
        if topic in self.hub.topics:
            frame = _message(topic, subject, data)
            self.hub.publish(topic, frame, None, listing.instrument)


def _message(topic: str, subject: str, data: Any) -> bytes:
    body = {"topic": topic, "type": "message", "subject": subject, "data": data}
    return msgspec.json.encode(body)
