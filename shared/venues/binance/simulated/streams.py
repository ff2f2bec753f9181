"""Binance market streams, spot and futures: subscriptions, depth events, tickers, trades.

One depth feed per instrument and speed collects what changed and writes one event per interval:
``U`` continues the event before on spot; futures events carry ``pu`` and share their ids across all
instruments, so ``U`` is never ``pu + 1``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.matching import MatchingBook
from shared.exchange.orders import Print
from shared.messages.base import Side
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.venues.binance.simulated.subscriptions import SubscriptionRequests

encode = msgspec.json.encode

PARTIAL_DEPTHS = (5, 10, 20)


class DepthFeed:
    """The diff stream of one instrument at one speed."""

    def __init__(
        self, listing: Listing, book: MatchingBook, speed_ms: int, topics: list[str]
    ) -> None:
        self.listing, self.book, self.speed_ms, self.topics = listing, book, speed_ms, topics
        self.due_every = max(1, speed_ms // TICK_MS)
        self.last_u = book.seq
        self._pending: dict[tuple[Side, int], int] = {}

    def add(self, changes: dict[tuple[Side, int], int]) -> None:
        """Collect changed levels."""
        for key, seq in changes.items():
            self._pending.setdefault(key, seq)

    def event(self, now_ms: int, *, futures: bool, wanted: bool) -> bytes | None:
        """End the interval; return its event if anything changed and it has a subscriber."""
        if not self._pending:
            return None
        pending, self._pending = self._pending, {}
        previous, self.last_u = self.last_u, self.book.seq
        if not wanted:
            return None
        bids: list[tuple[str, str]] = []
        asks: list[tuple[str, str]] = []
        for side, price in pending:
            lots = self.book.lots_at(side, price)
            row = (self.listing.price_text(price), self.listing.qty_text(lots))
            (bids if side is Side.BUY else asks).append(row)
        event: dict[str, Any] = {"e": "depthUpdate", "E": now_ms}
        if futures:
            event["T"] = now_ms
        event["s"] = self.listing.symbol
        event["U"] = min(pending.values()) if futures else previous + 1
        event["u"] = self.last_u
        if futures:
            event["pu"] = previous
        event["b"], event["a"] = bids, asks
        return encode(event)


class MarketStreams:
    """Everything public that Binance pushes, for one of its markets."""

    def __init__(
        self,
        exchange: Exchange,
        hub: Hub,
        *,
        futures: bool,
        messages_per_s: int,
        entry_of: Callable[[str], str] = lambda kind: "",
        generated: bool = True,
    ) -> None:
        self.exchange, self.hub, self.futures = exchange, hub, futures
        self.entry_of = entry_of
        self._subscriptions = SubscriptionRequests(hub, messages_per_s, self._is_served)
        self.generated = generated  # else the frames come from a recording
        self._feeds: dict[str, list[DepthFeed]] = {}
        self._best: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
        speeds = (0, 100, 250, 500) if futures else (100, 1000)
        for listing in exchange.by_instrument.values():
            name = listing.symbol.lower()
            book = exchange.books[listing.instrument]
            default = 250 if futures else 1000
            self._feeds[listing.instrument] = [
                DepthFeed(listing, book, speed, _depth_topics(name, speed, default))
                for speed in speeds
            ]
        if generated:
            exchange.book_listeners.append(self.on_book)
            exchange.print_listeners.append(self.on_print)

    # -- connections ---------------------------------------------------------------------

    def routes(self, *paths: str) -> list[SocketRoute]:
        """Return these paths, and what is below them, as ``/ws`` or ``/stream``."""
        on_text, on_open = self._subscriptions.on_text, self._on_open
        every = [*paths, *(f"{path}/{{rest:.*}}" for path in paths)]
        return [SocketRoute(path, on_text, on_open) for path in every]

    def _on_open(self, client: Client) -> None:
        parts = [part for part in client.path.split("/") if part]
        client.session = parts[0] if parts[0] in {"public", "market", "private"} else ""
        client.combined = "ws" not in parts
        names = client.query.get("streams", "").split("/") + parts
        for name in names:
            if "@" in name or name.startswith("!"):
                self._subscriptions.add(client, name)

    def _is_served(self, client: Client, name: str) -> bool:
        entry = self.entry_of(name.partition("@")[2])
        return not entry or entry == client.session

    # -- the market moved ----------------------------------------------------------------

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due at this tick."""
        if not self.generated:
            return
        every_second = tick % (1_000 // TICK_MS) == 0
        for instrument, feeds in self._feeds.items():
            self._flush(instrument, feeds, now_ms, tick)
            listing = feeds[0].listing
            if tick % 2 == 0:
                self._partial_depths(listing, now_ms)
            if every_second:
                self._tickers(listing, now_ms)

    def on_book(self, listing: Listing) -> None:
        """A client's order changed a book: what is sent at once goes out now."""
        self._flush(listing.instrument, self._feeds[listing.instrument], self.hub.now_ms(), None)

    def on_print(self, trade: Print) -> None:
        """Publish a trade."""
        name = trade.listing.symbol.lower()
        hub, instrument = self.hub, trade.listing.instrument
        stamp = {"E": trade.ts_ms, "s": trade.listing.symbol}
        body: dict[str, Any] = {
            "p": trade.listing.price_text(trade.ticks),
            "q": trade.listing.qty_text(trade.lots),
            "T": trade.ts_ms,
            "m": trade.side is Side.SELL,
        }
        if hub.listeners(f"{name}@trade"):
            extra: dict[str, Any] = {"X": "MARKET"} if self.futures else {"M": True}
            event = {"e": "trade", **stamp, "t": trade.trade_id, **body, **extra}
            self._publish(f"{name}@trade", encode(event), instrument)
        if hub.listeners(f"{name}@aggTrade"):
            ids = {"a": trade.trade_id, "f": trade.trade_id, "l": trade.trade_id}
            extra = {"nq": body["q"]} if self.futures else {"M": True}
            event = {"e": "aggTrade", **stamp, **ids, **body, **extra}
            self._publish(f"{name}@aggTrade", encode(event), instrument)

    def _flush(
        self, instrument: str, feeds: list[DepthFeed], now_ms: int, tick: int | None
    ) -> None:
        book = self.exchange.books[instrument]
        changes, book.changed = book.changed, {}
        for feed in feeds:
            if changes:
                feed.add(changes)
            if feed.speed_ms == 0 or (tick is not None and tick % feed.due_every == 0):
                wanted = any(topic in self.hub.topics for topic in feed.topics)
                event = feed.event(now_ms, futures=self.futures, wanted=wanted)
                if event is not None:
                    for topic in feed.topics:
                        if topic in self.hub.topics:
                            self._publish_delta(topic, event, instrument)
        if changes:
            self._book_ticker(feeds[0].listing, book, now_ms)
            if self.futures:
                book.sequence.advance()  # futures ids are never contiguous within one book

    def _book_ticker(self, listing: Listing, book: MatchingBook, now_ms: int) -> None:
        topic = f"{listing.symbol.lower()}@bookTicker"
        if topic not in self.hub.topics:
            return
        bid, ask = book.bids.depth(1), book.asks.depth(1)
        if not bid or not ask or self._best.get(topic) == (bid[0], ask[0]):
            return
        self._best[topic] = (bid[0], ask[0])
        event: dict[str, Any] = {"e": "bookTicker"} if self.futures else {}
        event |= {
            "u": book.seq,
            "s": listing.symbol,
            "b": listing.price_text(bid[0][0]),
            "B": listing.qty_text(bid[0][1]),
            "a": listing.price_text(ask[0][0]),
            "A": listing.qty_text(ask[0][1]),
        }
        if self.futures:
            event |= {"T": now_ms, "E": now_ms}
        self._publish(topic, encode(event), listing.instrument)

    def _partial_depths(self, listing: Listing, now_ms: int) -> None:
        name = listing.symbol.lower()
        for depth in PARTIAL_DEPTHS:
            for topic in (f"{name}@depth{depth}", f"{name}@depth{depth}@100ms"):
                if topic in self.hub.topics:
                    body = self._partial(listing, depth, now_ms)
                    self._publish(topic, encode(body), listing.instrument)

    def _partial(self, listing: Listing, depth: int, now_ms: int) -> dict[str, Any]:
        book = self.exchange.books[listing.instrument]
        bids, asks = book_rows(listing, book, depth)
        if not self.futures:
            return {"lastUpdateId": book.seq, "bids": bids, "asks": asks}
        return {
            "e": "depthUpdate",
            "E": now_ms,
            "T": now_ms,
            "s": listing.symbol,
            "U": book.seq,
            "u": book.seq,
            "pu": book.seq - 1,
            "b": bids,
            "a": asks,
        }

    def _tickers(self, listing: Listing, now_ms: int) -> None:
        name = listing.symbol.lower()
        for kind, event in (("miniTicker", "24hrMiniTicker"), ("ticker", "24hrTicker")):
            topic = f"{name}@{kind}"
            if topic in self.hub.topics:
                body = {"e": event, "E": now_ms, "s": listing.symbol}
                body |= day_statistics(self.exchange, listing)
                if kind == "ticker":
                    body |= _ticker_extra(self.exchange, listing, now_ms)
                self._publish(topic, encode(body), listing.instrument)

    def _publish(self, topic: str, frame: bytes, instrument: str) -> None:
        self.hub.publish(topic, frame, wrap(topic, frame), instrument)

    def publish(self, topic: str, event: dict[str, Any], instrument: str) -> None:
        """Publish any other event of this market, if it has a subscriber."""
        if topic in self.hub.topics:
            self._publish(topic, encode(event), instrument)

    def _publish_delta(self, topic: str, frame: bytes, instrument: str) -> None:
        self.hub.publish_delta(topic, frame, wrap(topic, frame), instrument)


def _depth_topics(name: str, speed_ms: int, default_ms: int) -> list[str]:
    topics = [f"{name}@depth@{speed_ms}ms"]
    return [*topics, f"{name}@depth"] if speed_ms == default_ms else topics


def wrap(topic: str, frame: bytes) -> bytes:
    """Return a frame in its combined-stream form."""
    return b'{"stream":"' + topic.encode() + b'","data":' + frame + b"}"


def book_rows(
    listing: Listing, book: MatchingBook, depth: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return bids and asks as text rows, best first."""
    return (
        [(listing.price_text(p), listing.qty_text(n)) for p, n in book.bids.depth(depth)],
        [(listing.price_text(p), listing.qty_text(n)) for p, n in book.asks.depth(depth)],
    )


def day_statistics(exchange: Exchange, listing: Listing) -> dict[str, str]:
    """Return open, high, low, close and volumes over the remembered prints."""
    prints = exchange.prints[listing.instrument]
    ticks = [p.ticks for p in prints] or [exchange.books[listing.instrument].bids.best() or 0]
    volume = sum(p.lots for p in prints)
    quote = sum(
        (listing.price(p.ticks) * listing.qty(p.lots) for p in prints), start=listing.tick * 0
    )
    return {
        "c": listing.price_text(ticks[-1]),
        "o": listing.price_text(ticks[0]),
        "h": listing.price_text(max(ticks)),
        "l": listing.price_text(min(ticks)),
        "v": listing.qty_text(volume),
        "q": f"{quote:.8f}",
    }


def _ticker_extra(exchange: Exchange, listing: Listing, now_ms: int) -> dict[str, Any]:
    book = exchange.books[listing.instrument]
    bids, asks = book_rows(listing, book, 1)
    bid, ask = (bids or [("0", "0")])[0], (asks or [("0", "0")])[0]
    count = len(exchange.prints[listing.instrument])
    return {
        "p": "0",
        "P": "0",
        "w": bid[0],
        "x": bid[0],
        "Q": bid[1],
        "b": bid[0],
        "B": bid[1],
        "a": ask[0],
        "A": ask[1],
        "O": now_ms - 86_400_000,
        "C": now_ms,
        "F": 0,
        "L": count,
        "n": count,
    }
