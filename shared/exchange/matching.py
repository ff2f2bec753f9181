"""Price-time matching for one instrument: integer ticks and lots, exact. Pure.

A price level is a queue. Background liquidity and clients' orders stand in the same queue, so a
client's order is filled only after what was there before it. Background that is withdrawn leaves
from the back of the queue.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.exchange.depth import is_within_limit, reachable
from shared.messages.base import Side

BACKGROUND = 0  # order id of liquidity that belongs to nobody


@dataclass(frozen=True, slots=True)
class Match:
    """Part of an order taken from one maker (``BACKGROUND`` or a client's order id)."""

    price: int
    lots: int
    maker_id: int


class Sequence:
    """Update ids; one per book (spot) or shared by all books of a venue (futures)."""

    __slots__ = ("value",)

    def __init__(self, start: int) -> None:
        self.value = start

    def advance(self) -> int:
        """Return the next id."""
        self.value += 1
        return self.value


class Level:
    """The queue at one price."""

    __slots__ = ("lots", "queue")

    def __init__(self, background: int = 0) -> None:
        self.lots = background
        self.queue: list[list[int]] = [[BACKGROUND, background]] if background else []
        """[order id, lots], first in front."""

    def background(self) -> int:
        """Return the lots that belong to no client."""
        queue = self.queue
        if len(queue) == 1:  # nearly every level
            return queue[0][1] if queue[0][0] == BACKGROUND else 0
        return sum(lots for owner, lots in queue if owner == BACKGROUND)

    def append(self, owner: int, lots: int) -> None:
        """Stand at the back of the queue."""
        self.lots += lots
        if owner == BACKGROUND and self.queue and self.queue[-1][0] == BACKGROUND:
            self.queue[-1][1] += lots
        else:
            self.queue.append([owner, lots])

    def withdraw_background(self, lots: int) -> None:
        """Take background lots away, from the back."""
        if len(self.queue) == 1 and self.queue[0] == [BACKGROUND, lots]:
            self.queue.clear()
            self.lots -= lots
            return
        for entry in reversed(self.queue):
            if lots == 0:
                break
            if entry[0] == BACKGROUND:
                gone = min(lots, entry[1])
                entry[1] -= gone
                self.lots -= gone
                lots -= gone
        self.queue = [entry for entry in self.queue if entry[1]]

    def shrink_order(self, order_id: int, lots: int) -> None:
        """Make one client's order smaller; it keeps its place."""
        entry = next(entry for entry in self.queue if entry[0] == order_id)
        assert 0 < lots <= entry[1]
        self.lots -= entry[1] - lots
        entry[1] = lots

    def remove_order(self, order_id: int) -> int:
        """Take one client's order out; return its lots."""
        for index, (owner, lots) in enumerate(self.queue):
            if owner == order_id:
                del self.queue[index]
                self.lots -= lots
                return lots
        return 0


class BookSide:
    """Levels of one side; keys are prices signed so that the best is the smallest."""

    __slots__ = ("keys", "levels", "sign")

    def __init__(self, side: Side) -> None:
        self.sign = -1 if side is Side.BUY else 1
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    def best(self) -> int | None:
        """Return the best price in ticks."""
        return self.keys[0] * self.sign if self.keys else None

    def prices(self) -> Iterator[int]:
        """Iterate prices, best first."""
        sign = self.sign
        return (key * sign for key in self.keys)

    def open_level(self, price: int) -> Level:
        """Return the level at a price, made if absent."""
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level()
            insort(self.keys, price * self.sign)
        return level

    def close_level(self, price: int) -> None:
        """Forget an empty level."""
        del self.levels[price]
        del self.keys[bisect_left(self.keys, price * self.sign)]

    def depth(self, limit: int) -> list[tuple[int, int]]:
        """Return (price, lots) of the best ``limit`` levels, best first."""
        levels, sign = self.levels, self.sign
        return [(key * sign, levels[key * sign].lots) for key in self.keys[:limit]]


class MatchingBook:
    """The book of one instrument.

    ``seq`` is the update id of the last change; ``changed`` holds the (side, price) touched since
    somebody last cleared it, in order of first touch.
    """

    def __init__(self, sequence: Sequence) -> None:
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)
        self.sequence = sequence
        self.seq = sequence.advance()
        self.changed: dict[tuple[Side, int], int] = {}  # -> update id of the first change

    def side(self, side: Side) -> BookSide:
        """Return the resting orders of that side."""
        return self.bids if side is Side.BUY else self.asks

    def both_best(self) -> int | None:
        """Return best bid and best ask together, in ticks: twice the middle."""
        bid, ask = self.bids.best(), self.asks.best()
        return None if bid is None or ask is None else bid + ask

    def lots_at(self, side: Side, price: int) -> int:
        """Return what rests at a price."""
        level = self.side(side).levels.get(price)
        return level.lots if level else 0

    def available(self, side: Side, limit: int | None, lots: int) -> list[tuple[int, int]]:
        """Return (price, lots) a taker of ``side`` would get, without taking."""
        book = self.side(side.opposite)
        levels = book.levels
        return reachable(((p, levels[p].lots) for p in book.prices()), side, limit, lots)

    def take(self, side: Side, limit: int | None, lots: int) -> list[Match]:
        """Match a taker against the other side up to its limit; ``None`` is a market order."""
        book = self.side(side.opposite)
        matches: list[Match] = []
        while lots and book.keys:
            price = book.keys[0] * book.sign
            if not is_within_limit(price, side, limit):
                break
            level = book.levels[price]
            while lots and level.queue:
                entry = level.queue[0]
                part = min(lots, entry[1])
                matches.append(Match(price, part, entry[0]))
                entry[1] -= part
                level.lots -= part
                lots -= part
                if not entry[1]:
                    del level.queue[0]
            self._touch(side.opposite, price)
        return matches

    def rest(self, side: Side, price: int, order_id: int, lots: int) -> None:
        """Put a client's order at the back of its price."""
        assert lots > 0
        self.side(side).open_level(price).append(order_id, lots)
        self._touch(side, price)

    def shrink(self, side: Side, price: int, order_id: int, lots: int) -> None:
        """Make a client's order smaller, down to ``lots``; it keeps its place."""
        self.side(side).levels[price].shrink_order(order_id, lots)
        self._touch(side, price)

    def remove(self, side: Side, price: int, order_id: int) -> int:
        """Take a client's order out; return the lots that were left of it."""
        level = self.side(side).levels.get(price)
        lots = level.remove_order(order_id) if level else 0
        if lots:
            self._touch(side, price)
        return lots

    def set_background(self, side: Side, price: int, lots: int) -> list[Match]:
        """Make the background at a price ``lots``; return what it matched of clients' orders."""
        book = self.side(side)
        level = book.levels.get(price)
        current = level.background() if level else 0
        if lots == current:
            return []
        if lots < current and level is not None:
            level.withdraw_background(current - lots)
            self._touch(side, price)
            return []
        add = lots - current
        matches = self._take_crossed(side, price, add)
        for match in matches:
            add -= match.lots
        if add:
            book.open_level(price).append(BACKGROUND, add)
            self._touch(side, price)
        return matches

    def replace_background(self, wanted: Mapping[Side, Mapping[int, int]]) -> None:
        """Make these levels, price -> lots, the whole book.

        Only for a book in which no client's order rests, and levels that do not cross.
        """
        for side, levels in wanted.items():
            book = self.bids if side is Side.BUY else self.asks
            old, sign = book.levels, book.sign
            touched = [price for price in old if price not in levels]
            for price, lots in levels.items():
                level = old.get(price)
                if level is None or level.lots != lots:
                    touched.append(price)
            if not touched:
                continue
            book.levels = {price: Level(lots) for price, lots in levels.items()}
            book.keys = sorted([price * sign for price in levels])
            changed, seq = self.changed, self.sequence.value
            for price in touched:
                seq += 1
                changed.setdefault((side, price), seq)
            self.seq = self.sequence.value = seq

    def _take_crossed(self, side: Side, price: int, lots: int) -> list[Match]:
        """Match what crosses, if anything does: most quotes do not."""
        other = self.asks if side is Side.BUY else self.bids
        if not other.keys or not is_within_limit(other.keys[0] * other.sign, side, price):
            return []
        return self.take(side, price, lots)

    def _touch(self, side: Side, price: int) -> None:
        book = self.side(side)
        level = book.levels.get(price)
        if level is not None and level.lots == 0:
            book.close_level(price)
        self.seq = self.sequence.advance()
        self.changed.setdefault((side, price), self.seq)
