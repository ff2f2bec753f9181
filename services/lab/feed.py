"""Market data of the lab's exchanges, on the bus as an ingestor would say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from services.lab.kernel import Kernel
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.bus.port import Input
from shared.errors import BusUnavailable
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.messages.base import BookState, Message, Side
from shared.messages.market import BookDelta, BookSnapshot, InstrumentInfo, Level, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.streams import MD_RESYNC

STATUS_NS = 500_000_000


class Feed:
    """Says every book of every exchange: a snapshot, what changes, its status, its rules."""

    def __init__(
        self,
        kernel: Kernel,
        server: MemoryServer,
        exchanges: Mapping[str, Exchange],
        on_published: Callable[[str, Sequence[Message]], None],
    ) -> None:
        self._kernel, self._exchanges, self._on_published = kernel, exchanges, on_published
        self._bus = MemoryBus(server, service="ingestor")
        self._inbox = self._bus.open([Input(MD_RESYNC)], service="ingestor", instance="ingestor-1")
        self._epochs: dict[tuple[str, str], int] = {}
        self._seqs: dict[tuple[str, str], int] = {}
        self._down: set[tuple[str, str]] = set()
        self.lose_next: set[tuple[str, str]] = set()
        """Books whose next change is lost on the bus."""
        self.truth: dict[tuple[str, str, int], tuple[list[Level], list[Level]]] = {}
        """What each exchange's book was at each number said, best levels first."""

    def books(self) -> list[tuple[str, str]]:
        """Return venue and instrument of every book."""
        return list(self._epochs)

    def start(self) -> None:
        """Say everything once, and statuses and rules again and again."""
        for exchange in self._exchanges.values():
            for listing in exchange.by_instrument.values():
                self._say_whole(listing)
        self._repeat()

    def on_move(self) -> None:
        """The market moved: say what changed."""
        out: list[Message] = []
        for exchange in self._exchanges.values():
            for listing in exchange.by_instrument.values():
                out += self._changes(exchange, listing)
        self._publish(out)

    def close(self, book: tuple[str, str]) -> None:
        """Lose the connection of a book, until it starts over."""
        self._down.add(book)
        self._publish([self._status(book, self._kernel.now_ns())])

    def on_bus_lost(self) -> None:
        """What was said may be lost: every book starts over."""
        self.start_over(list(self._epochs))

    def start_over(self, books: Sequence[tuple[str, str]]) -> None:
        """Give these books new epochs."""
        for venue, instrument in books:
            self._say_whole(self._exchanges[venue].by_instrument[instrument])

    def hear_resyncs(self) -> None:
        """Take what readers lost."""
        try:
            asked = self._inbox.poll().messages
        except BusUnavailable:
            return
        self.start_over(list(dict.fromkeys((m.venue, m.instrument) for m in asked)))  # type: ignore[attr-defined]

    def _repeat(self) -> None:
        now_ns = self._kernel.now_ns()
        out: list[Message] = []
        for venue, instrument in self._epochs:
            out.append(self._status((venue, instrument), now_ns))
            listing = self._exchanges[venue].by_instrument[instrument]
            out.append(InstrumentInfo(rules=rules_of(listing), ts_ns=now_ns))
        self._publish(out)
        self._kernel.after(STATUS_NS, self._repeat)

    def _status(self, book: tuple[str, str], now_ns: int) -> VenueStatus:
        is_down = book in self._down
        return VenueStatus(
            venue=book[0],
            instrument=book[1],
            state=BookState.DOWN if is_down else BookState.LIVE,
            epoch=self._epochs[book],
            reason="disconnected" if is_down else "",
            ts_ns=now_ns,
            source="lab",
        )

    def _say_whole(self, listing: Listing) -> None:
        key, now_ns = (listing.venue, listing.instrument), self._kernel.now_ns()
        self._down.discard(key)
        book = self._exchanges[listing.venue].books[listing.instrument]
        book.changed = {}
        self._epochs[key] = max(now_ns, self._epochs.get(key, 0) + 1)
        self._seqs[key] = book.seq
        bids, asks = self._remember(listing)
        self._publish(
            [
                self._status(key, now_ns),
                BookSnapshot(
                    venue=listing.venue,
                    instrument=listing.instrument,
                    epoch=self._epochs[key],
                    seq=book.seq,
                    bids=bids,
                    asks=asks,
                    ts_recv_ns=now_ns,
                    ts_venue_ns=now_ns,
                ),
            ]
        )

    def _changes(self, exchange: Exchange, listing: Listing) -> list[Message]:
        book, now_ns = exchange.books[listing.instrument], self._kernel.now_ns()
        changed, book.changed = book.changed, {}
        if not changed:
            return []
        key = (listing.venue, listing.instrument)
        seq_prev, self._seqs[key] = self._seqs[key], book.seq
        levels: dict[Side, list[Level]] = {Side.BUY: [], Side.SELL: []}
        for side, ticks in changed:
            levels[side].append(_level(listing, ticks, book.lots_at(side, ticks)))
        self._remember(listing)
        if key in self._down:
            return []
        if key in self.lose_next:
            self.lose_next.discard(key)
            return []
        return [
            BookDelta(
                venue=listing.venue,
                instrument=listing.instrument,
                epoch=self._epochs[key],
                seq_prev=seq_prev,
                seq=book.seq,
                bids=levels[Side.BUY],
                asks=levels[Side.SELL],
                ts_recv_ns=now_ns,
                ts_venue_ns=now_ns,
            )
        ]

    def _remember(self, listing: Listing) -> tuple[list[Level], list[Level]]:
        book = self._exchanges[listing.venue].books[listing.instrument]
        sides = tuple(
            [_level(listing, ticks, lots) for ticks, lots in book.side(side).depth(100)]
            for side in (Side.BUY, Side.SELL)
        )
        self.truth[listing.venue, listing.instrument, book.seq] = sides[0], sides[1]
        return sides[0], sides[1]

    def _publish(self, messages: list[Message]) -> None:
        if not messages:
            return
        try:
            self._bus.apply(None, messages)
        except BusUnavailable:
            return
        self._on_published("ingestor", messages)


def rules_of(listing: Listing) -> InstrumentRules:
    """Return the trading rules of a listing."""
    return InstrumentRules(
        venue=listing.venue,
        instrument=listing.instrument,
        tick_size=listing.tick,
        lot_size=listing.lot,
        qty_min=listing.qty_min,
        notional_min=listing.notional_min,
        taker_fee_bps=listing.taker_bps,
        maker_fee_bps=listing.maker_bps,
        contract_size=Decimal(1),
    )


def _level(listing: Listing, ticks: int, lots: int) -> Level:
    # The quotient of two integers is the float nearest to it, as a decimal text read is.
    return ticks / 10**listing.price_scale, lots / 10**listing.qty_scale
