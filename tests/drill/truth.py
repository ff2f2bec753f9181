"""What each simulated book was, and when: read from the control port, asked by the judge. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from math import inf
from typing import Any

SHOWN = 20
"""Levels of a side that a view has."""
BEYOND = 10
"""More of them are read: a level taken away lets the next one be seen."""
STATES_KEPT = 2_000
"""Of a book: more than a minute, where every tick changes it."""
NUMBERED = frozenset(("binance", "binanceusdm", "gateio", "kucoin"))
"""Venues whose own numbers views carry; of the others it is the session's, or the topic's."""
TOLD_SINGLY = frozenset(("krakenfutures",))
"""Venues that tell a change level by level: a view may be between two states of a tick."""
FLOATS_KEPT = 20_000
NEAR = 100
"""How many states back a view between two states is looked for."""

Side = tuple[tuple[float, float], ...]
Key = tuple[str, str]


@dataclass(slots=True)
class State:
    """What a book was from ``start_ns`` until ``end_ns`` (``None``: it still is)."""

    start_ns: int
    bids: Side
    asks: Side
    seq_first: int
    seq_last: int
    end_ns: int | None = None

    @property
    def shown(self) -> tuple[Side, Side]:
        """The levels that a view of it has."""
        return self.bids[:SHOWN], self.asks[:SHOWN]

    def age_ns(self, now_ns: int) -> int:
        """How long ago the book was last like this."""
        return 0 if self.end_ns is None else max(0, now_ns - self.end_ns)


class BookTruth:
    """The states of one book, newest last."""

    def __init__(self, tick: Decimal, lot: Decimal, numbered: bool, told_singly: bool) -> None:
        self._price = lru_cache(FLOATS_KEPT)(lambda count: float(tick * count))
        self._qty = lru_cache(FLOATS_KEPT)(lambda count: float(lot * count))
        self.is_numbered, self._told_singly = numbered, told_singly
        self._states: deque[State] = deque()
        self.first: State | None = None
        """The first state that was ever read."""
        self._by_levels: dict[tuple[Side, Side], list[State]] = {}

    def add(self, ts_ns: int, seq: int, bids: list[list[int]], asks: list[list[int]]) -> None:
        """Take the next state; one that shows the same levels as the last goes on with that."""
        sides = self._side(bids), self._side(asks)
        key = sides[0][:SHOWN], sides[1][:SHOWN]
        if self._states:
            last = self._states[-1]
            if last.shown == key:
                (last.bids, last.asks), last.seq_last = sides, seq
                return
            last.end_ns = ts_ns
        state = State(ts_ns, *sides, seq, seq)
        self._states.append(state)
        self.first = self.first or state
        self._by_levels.setdefault(key, []).append(state)
        if len(self._states) > STATES_KEPT:
            old = self._states.popleft()
            same = self._by_levels[old.shown]
            same.remove(old)
            if not same:
                del self._by_levels[old.shown]

    @property
    def last(self) -> State | None:
        """The newest state known."""
        return self._states[-1] if self._states else None

    def find(self, bids: Side, asks: Side, now_ns: int, seq: int | None = None) -> State | None:
        """Return the last state until then that shows these levels; ``None``: there was none.

        Levels may come back: where one of several states has the number ``seq``, it is that.
        """
        same = reversed(self._by_levels.get((bids, asks), ()))
        found = _of_number((s for s in same if s.start_ns <= now_ns), seq)
        if found is not None:
            return found
        sizes = len(bids), len(asks)
        if min(sizes) < SHOWN:  # a view stops where its snapshot ended
            there = (s for s in reversed(self._states) if s.start_ns <= now_ns)
            bid, ask = sizes
            found = _of_number(
                (s for s in there if (s.bids[:bid], s.asks[:ask]) == (bids, asks)), seq
            )
            if found is not None:
                return found
        if not self._told_singly:
            return None
        newer: State | None = None
        for state in islice(reversed(self._states), NEAR):
            if (
                newer is not None
                and newer.start_ns <= now_ns
                and _between(bids, state.bids, newer.bids, -1)
                and _between(asks, state.asks, newer.asks, 1)
            ):
                return newer
            newer = state
        return None

    def had(self, is_asks: bool, levels: Side, since_ns: int, until_ns: int) -> bool:
        """Tell whether these were the best levels of a side at some moment between the two."""
        for state in reversed(self._states):
            if state.end_ns is not None and state.end_ns < since_ns:
                return False
            side = state.asks if is_asks else state.bids
            if state.start_ns <= until_ns and side[: len(levels)] == levels:
                return True
        return False

    def _side(self, levels: list[list[int]]) -> Side:
        price, qty = self._price, self._qty
        return tuple([(price(at), qty(lots)) for at, lots in levels])


def _of_number(states: Iterable[State], seq: int | None) -> State | None:
    """Return the state that has the number, else the first one."""
    first = None
    for state in states:
        if seq is None or state.seq_first <= seq <= state.seq_last:
            return state
        first = first or state
    return first


def _between(shown: Side, older: Side, newer: Side, sign: int) -> bool:
    """Tell whether a side is on the way from one state to the next, each level of one of both.

    ``sign``: 1 where the best price is the lowest.
    """
    before, after = dict(older), dict(newer)
    whole = SHOWN + BEYOND
    ends = [sign * side[-1][0] for side in (older, newer) if len(side) == whole]
    end = min(ends, default=inf)  # beyond it nothing is known
    for price, qty in shown:
        if sign * price <= end and qty not in {before.get(price), after.get(price)}:
            return False
    worst = sign * shown[-1][0] if len(shown) == SHOWN else end
    prices = {price for price, _ in shown}
    kept = (p for p, qty in older if after.get(p) == qty and sign * p <= min(worst, end))
    return all(price in prices for price in kept)


class Truth:
    """All books of all simulated venues, and when faults happened."""

    def __init__(self) -> None:
        self.books: dict[Key, BookTruth] = {}
        self.until_ns = 0
        """Everything before this moment is known."""
        self.last = 0
        self.lost = 0
        self.happened: dict[tuple[str, str], int] = {}
        """Kind and venue -> when it happened last, UNIX ns."""

    def take(self, answer: Mapping[str, Any]) -> None:
        """Take an answer of ``/control/truth``."""
        for venue, instruments in answer["books"].items():
            for name, book in instruments.items():
                if (venue, name) not in self.books:
                    self.books[venue, name] = BookTruth(
                        Decimal(book["tick"]),
                        Decimal(book["lot"]),
                        venue in NUMBERED,
                        venue in TOLD_SINGLY,
                    )
        self.lost += answer["lost"]
        for _, venue, name, ts_ns, seq, bids, asks in answer["states"]:
            self.books[venue, name].add(ts_ns, seq, bids, asks)
        for ts_ns, kind, venue in answer["happened"]:
            self.happened[kind, venue] = ts_ns
        self.last, self.until_ns = answer["last"], answer["ts_ns"]
