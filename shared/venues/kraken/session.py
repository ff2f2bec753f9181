"""One Kraken WebSocket v2 connection: frames in, effects out. Pure.

Each book: subscribe -> snapshot -> live while checksums match -> mismatch -> unsubscribe and
subscribe again, backing off if it repeats. The venue numbers nothing, so messages carry a counter
of this session. It says ``heartbeat`` every second; a quiet connection is pinged, and left when it
stays silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Trade
from shared.venues.kraken import parse
from shared.venues.kraken.book import CheckedBook, plain
from shared.venues.port import (
    DROPPED_UNSYNCED,
    BookStatus,
    Checked,
    Dropped,
    Effect,
    Emit,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.rest_join import CALM_NS, backoff_ns

DEPTHS = (10, 25, 100, 500, 1000)
SNAPSHOT_TIMEOUT_NS = 10_000_000_000
QUIET_NS = 3_000_000_000
ANSWER_TIMEOUT_NS = 5_000_000_000

_BOOK = b'{"channel":"book"'
_HEARTBEAT = b'{"channel":"heartbeat"}'


@dataclass(slots=True)
class _Feed:
    """The synchronisation of one book."""

    instrument: str
    symbol: str
    book: CheckedBook
    depth: int
    state: BookState = BookState.DOWN
    epoch: int = 0
    seq: int = 0
    attempt: int = 0
    live_since_ns: int = 0
    # Exactly one of these is set while the book waits: for its snapshot, or to subscribe again.
    snapshot_due_ns: int | None = None
    subscribe_at_ns: int | None = None


class KrakenSession:
    """Subscriptions of one connection; ``symbols`` maps the venue's spelling to instruments.

    ``depth`` is what is subscribed. What the venue grants counts: a recording of another depth is
    read right.
    """

    def __init__(self, venue: str, symbols: Mapping[str, str], depth: int) -> None:
        self._venue = venue
        self._depth = depth
        self._feeds = {
            symbol: _Feed(instrument, symbol, CheckedBook(depth), depth)
            for symbol, instrument in symbols.items()
        }
        self._by_instrument = {feed.instrument: feed for feed in self._feeds.values()}
        self._request_id = 0
        self._heard_ns = 0
        self._pinged_ns: int | None = None
        self._is_online = True

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to all books and trades; every book starts over."""
        self._heard_ns, self._pinged_ns, self._is_online = now_ns, None, True
        effects: list[Effect] = []
        for feed in self._feeds.values():
            feed.attempt = 0
            effects.append(
                self._start(feed, BookState.SYNCING, "connected; waiting for the snapshot", now_ns)
            )
            feed.snapshot_due_ns = now_ns + SNAPSHOT_TIMEOUT_NS
        symbols = list(self._feeds)
        effects.append(self._book_request("subscribe", symbols))
        trades = {"channel": "trade", "symbol": symbols, "snapshot": False}
        effects.append(self._request("subscribe", trades))
        return effects

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._heard_ns, self._pinged_ns = now_ns, None
        if raw == _HEARTBEAT:
            return ()
        try:
            if raw.startswith(_BOOK):
                return self._on_book(raw, now_ns)
            return self._on_other(raw, now_ns)
        except ParseError as error:
            return (Malformed(str(error)),)

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: snapshots come on the connection."""
        return ()

    def on_snapshot_failed(
        self, instrument: str, retry_after_s: float, now_ns: int
    ) -> Sequence[Effect]:
        """Nothing: none is asked for over REST."""
        return ()

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """Subscribe to a book again unless ``epoch`` is already over."""
        feed = self._by_instrument.get(instrument)
        if feed is None or epoch < feed.epoch or feed.state is not BookState.LIVE:
            return ()
        return self._resubscribe(feed, BookState.SYNCING, "a reader lost continuity", now_ns)

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        effects = []
        for feed in self._feeds.values():
            feed.state = BookState.DOWN
            feed.snapshot_due_ns = feed.subscribe_at_ns = None
            effects.append(
                BookStatus(feed.instrument, BookState.DOWN, "connection closed", feed.epoch)
            )
        return effects

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Ping when quiet, leave when silent or a snapshot does not come, subscribe when due."""
        if self._pinged_ns is not None and now_ns - self._pinged_ns >= ANSWER_TIMEOUT_NS:
            self._pinged_ns = now_ns
            return (Reconnect(f"nothing heard for {(now_ns - self._heard_ns) // 10**9} s"),)
        effects: list[Effect] = []
        if self._pinged_ns is None and now_ns - self._heard_ns >= QUIET_NS:
            self._pinged_ns = now_ns
            effects.append(self._request("ping", None))
        for feed in self._feeds.values():
            if feed.snapshot_due_ns is not None and now_ns >= feed.snapshot_due_ns:
                feed.snapshot_due_ns = now_ns + SNAPSHOT_TIMEOUT_NS
                return (Reconnect(f"no snapshot of {feed.instrument} came"),)
            if feed.subscribe_at_ns is not None and now_ns >= feed.subscribe_at_ns:
                feed.subscribe_at_ns = None
                feed.snapshot_due_ns = now_ns + SNAPSHOT_TIMEOUT_NS
                effects.append(self._book_request("subscribe", [feed.symbol]))
        return effects

    def _request(self, method: str, params: dict[str, object] | None) -> Send:
        self._request_id += 1
        request: dict[str, object] = {"method": method}
        if params is not None:
            request["params"] = params
        request["req_id"] = self._request_id
        return Send(json.encode(request).decode())

    def _book_request(self, method: str, symbols: list[str]) -> Send:
        params: dict[str, object] = {
            "channel": "book", "symbol": symbols, "depth": self._depth
        }  # fmt: skip
        if method == "subscribe":
            params["snapshot"] = True
        return self._request(method, params)

    def _start(self, feed: _Feed, state: BookState, reason: str, now_ns: int) -> BookStatus:
        if feed.state is BookState.LIVE and now_ns - feed.live_since_ns > CALM_NS:
            feed.attempt = 0
        feed.state = state
        feed.epoch = max(now_ns, feed.epoch + 1)
        feed.snapshot_due_ns = feed.subscribe_at_ns = None
        return BookStatus(feed.instrument, state, reason, feed.epoch)

    def _resubscribe(self, feed: _Feed, state: BookState, reason: str, now_ns: int) -> list[Effect]:
        status = self._start(feed, state, reason, now_ns)
        delay_ns = backoff_ns(feed.instrument, feed.attempt)
        feed.attempt += 1
        effects: list[Effect] = [status, self._book_request("unsubscribe", [feed.symbol])]
        if delay_ns:
            feed.subscribe_at_ns = now_ns + delay_ns
        else:
            feed.snapshot_due_ns = now_ns + SNAPSHOT_TIMEOUT_NS
            effects.append(self._book_request("subscribe", [feed.symbol]))
        return effects

    def _on_book(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_book(raw)
        if frame.type not in ("snapshot", "update"):
            raise ParseError(f"book: type {frame.type!r}")
        changes = [
            (data, parse.parse_levels(data.bids), parse.parse_levels(data.asks))
            for data in frame.data
        ]
        effects: list[Effect] = []
        for data, bids, asks in changes:
            feed = self._feeds.get(data.symbol)
            if feed is None:
                continue
            if frame.type == "snapshot":
                effects.extend(self._on_whole(feed, data, bids, asks, now_ns))
            else:
                effects.extend(self._on_change(feed, data, bids, asks, now_ns))
        return effects

    def _on_whole(
        self,
        feed: _Feed,
        data: parse.BookData,
        bids: list[parse.TextLevel],
        asks: list[parse.TextLevel],
        now_ns: int,
    ) -> list[Effect]:
        if not self._is_online or feed.subscribe_at_ns is not None:
            return []  # not trusted, or from before the unsubscription
        if feed.state is BookState.LIVE:
            self._start(feed, BookState.SYNCING, "", now_ns)  # unasked: a new epoch all the same
        self._grant(feed, max(len(bids), len(asks), feed.depth))
        feed.book.replace(bids, asks)
        failed = self._prove(feed, data, now_ns)
        if failed:
            return failed
        feed.seq += 1
        feed.state, feed.live_since_ns = BookState.LIVE, now_ns
        feed.snapshot_due_ns = None
        message = BookSnapshot(
            venue=self._venue,
            instrument=feed.instrument,
            epoch=feed.epoch,
            seq=feed.seq,
            bids=plain(bids),
            asks=plain(asks),
            ts_recv_ns=now_ns,
            ts_venue_ns=parse.unix_ns(data.timestamp),
            depth_max=feed.depth,
        )
        checked = Checked(feed.instrument, None if data.checksum is None else True)
        status = BookStatus(feed.instrument, BookState.LIVE, "snapshot received", feed.epoch)
        return [checked, Emit(message), status]

    def _on_change(
        self,
        feed: _Feed,
        data: parse.BookData,
        bids: list[parse.TextLevel],
        asks: list[parse.TextLevel],
        now_ns: int,
    ) -> list[Effect]:
        if feed.state is not BookState.LIVE:
            return [Checked(feed.instrument, None), Dropped(feed.instrument, DROPPED_UNSYNCED)]
        feed.book.apply(bids, asks)
        failed = self._prove(feed, data, now_ns)
        if failed:
            return failed
        seq_prev = feed.seq
        feed.seq += 1
        message = BookDelta(
            venue=self._venue,
            instrument=feed.instrument,
            epoch=feed.epoch,
            seq_prev=seq_prev,
            seq=feed.seq,
            bids=plain(bids),
            asks=plain(asks),
            ts_recv_ns=now_ns,
            ts_venue_ns=parse.unix_ns(data.timestamp),
        )
        return [Checked(feed.instrument, None if data.checksum is None else True), Emit(message)]

    def _prove(self, feed: _Feed, data: parse.BookData, now_ns: int) -> list[Effect]:
        """Compare checksums; on a mismatch nothing is published and the book is asked for again."""
        if data.checksum is None or feed.book.checksum() == data.checksum:
            return []
        resync = self._resubscribe(feed, BookState.GAP, "checksum mismatch", now_ns)
        return [Checked(feed.instrument, False), *resync]

    def _on_other(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_envelope(raw)
        if frame.channel == "book":
            return self._on_book(raw, now_ns)
        if frame.channel == "trade":
            return self._on_trades(raw, now_ns)
        if frame.channel == "status":
            return self._on_status(raw, now_ns)
        if frame.method == "subscribe":
            return self._on_answer(frame)
        return ()

    def _on_trades(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        frame = parse.parse_trades(raw)
        if frame.type != "update":
            return ()  # the last trades from before we came
        effects = []
        for data in frame.data:
            feed = self._feeds.get(data.symbol)
            if feed is None:
                continue
            if data.side not in ("buy", "sell"):
                raise ParseError(f"trade: side {data.side!r}")
            message = Trade(
                venue=self._venue,
                instrument=feed.instrument,
                trade_id=str(data.trade_id),
                side=Side(data.side),
                price=data.price,
                qty=data.qty,
                ts_recv_ns=now_ns,
                ts_venue_ns=parse.unix_ns(data.timestamp),
            )
            effects.append(Emit(message))
        return effects

    def _on_status(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Anything but online takes no orders: its books must not price any."""
        systems = parse.parse_status(raw).data
        is_online = not systems or systems[-1].system == "online"
        if is_online == self._is_online:
            return ()
        self._is_online = is_online
        effects: list[Effect] = []
        for feed in self._feeds.values():
            if is_online:
                reason = "the venue is online again"
                effects.extend(self._resubscribe(feed, BookState.SYNCING, reason, now_ns))
            else:
                reason = f"the venue's system is {systems[-1].system}"
                effects.append(self._start(feed, BookState.DOWN, reason, now_ns))
        return effects

    def _grant(self, feed: _Feed, depth: int) -> None:
        """Keep as many levels as the venue does."""
        granted = next((offered for offered in DEPTHS if offered >= depth), depth)
        if granted != feed.depth:
            feed.depth, feed.book = granted, CheckedBook(granted)

    def _on_answer(self, frame: parse.Envelope) -> Sequence[Effect]:
        """A refused subscription would be refused again: it is only said."""
        if frame.success is not False:
            granted = frame.result
            feed = self._feeds.get(granted.symbol) if granted else None
            if granted and granted.depth and feed and feed.state is not BookState.LIVE:
                self._grant(feed, granted.depth)
            return ()
        reason = f"subscription refused: {frame.error}"
        feed = self._feeds.get(frame.symbol or "")
        if feed is None:
            return (Malformed(reason),)
        if feed.state is BookState.LIVE:
            return ()  # its trades were refused, its book is fine
        feed.state, feed.snapshot_due_ns = BookState.DOWN, None
        return (BookStatus(feed.instrument, BookState.DOWN, reason, feed.epoch),)
