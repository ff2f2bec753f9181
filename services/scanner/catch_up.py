"""How far a strategy has caught up with trades from before its inputs were opened. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from shared.domain.instrument import MarketKey
from shared.messages.market import Trade, TradesMissed

HELD_MAX = 200_000
"""Trades of the bus that wait for those of the store, for one strategy and of those that it asks
for: some 16 MB on the wire, as much as the bus keeps of a shard. Of more, the oldest go, as if the
bus had not kept them."""


class Start(NamedTuple):
    """When the known trades of a market begin, without a hole since, and why not earlier."""

    ts_ns: int
    why: str


class CatchUp:
    """A strategy's progress through the trades from before its inputs were opened."""

    __slots__ = (
        *(
            "_shard_of",
            "at_ns",
            "broken",
            "checked",
            "dropped",
            "firsts",
            "from_ns",
            "heard_ns",
            "held",
            "is_cut_off",
            "is_read",
            "is_reading",
            "markets",
        ),
        *("opened_ns", "parts", "problem", "seen", "since", "told_ns", "until"),
    )

    def __init__(
        self, opened_ns: int, seen: Mapping[MarketKey, int], shard_of: Callable[[str], int]
    ) -> None:
        self.opened_ns, self._shard_of = opened_ns, shard_of
        self.at_ns = 0
        self.seen = dict(seen)
        """Instrument -> when the newest trade was received that its state knows."""
        self.firsts: dict[int, int] = {}
        """Shard -> when the oldest trade kept in its stream was received."""
        self.dropped: dict[int, int] = {}
        """Shard -> when the newest trade was received that was dropped: too many waited."""
        self.checked: dict[int, None] = {}
        """Shards of which it is told whether anything is missing."""
        self.markets: tuple[MarketKey, ...] = ()
        """Whose trades its warm-up needs; empty without a warm-up."""
        self.from_ns = opened_ns
        """The time since which it needs them."""
        self.held: deque[Trade | TradesMissed] | None = None
        """What the bus keeps, until it is clear whether the store has to come first."""
        self.is_reading = self.is_read = False
        """The store is asked, or has answered."""
        self.heard_ns = opened_ns
        """When the store was heard last."""
        self.parts = 0
        """How many parts are still to come from the store."""
        self.told_ns = 0
        """When the newest trade was received that came from the store."""
        self.is_cut_off = False
        """The store broke off between two parts: nobody knows what it had of the rest."""
        self.since: Mapping[MarketKey, int] = {}
        self.until: Mapping[MarketKey, int] = {}
        self.problem = ""
        """Why the store does not help."""
        self.broken = Start(0, "")
        """The latest time at which trades are missing, and why."""

    def warm_up(self, markets: tuple[MarketKey, ...], span_ns: int, *, holds: bool) -> None:
        """Need a span of trades; hold what comes until it is clear that it reaches back over it.

        A state that knows all markets, the newest trade of each within the span, needs no more than
        what came since.
        """
        self.markets, self.held = markets, deque() if holds else None
        self.from_ns = self.opened_ns - span_ns
        if all(market in self.seen for market in markets):
            self.from_ns = max(self.from_ns, min(self.seen[market] for market in markets))

    def hold(self, message: Trade | TradesMissed) -> None:
        """Keep a message of the bus until its turn comes."""
        assert self.held is not None
        self.held.append(message)
        if len(self.held) > HELD_MAX:
            oldest = self.held.popleft()
            shard = self._shard_of(oldest.instrument)
            self.dropped[shard] = max(oldest.ts_recv_ns, self.dropped.get(shard, 0))

    def note_missing(self, ts_ns: int, why: str) -> None:
        """Trades are missing at this time."""
        if ts_ns > self.broken.ts_ns:
            self.broken = Start(ts_ns, why)

    def lose_rest(self, problem: str) -> None:
        """The store says no more: it is known up to what came last, and trades are missing there.

        Trades of the bus up to then are known as well, those after it come.
        """
        self.problem, self.parts = problem, 0
        self.since = {m: ts_ns for m, ts_ns in self.since.items() if ts_ns <= self.told_ns}
        self.until = {m: min(self.until[m], self.told_ns) for m in self.since}
        if self.told_ns:
            self.is_cut_off = True
            self.note_missing(self.told_ns, f"only a part of the stored trades came, {problem}")

    def bus_suffices(self) -> bool:
        """Tell whether the bus keeps all trades that are needed."""
        return all(
            self._kept_of(market) <= max(self.from_ns, self.seen.get(market, 0))
            for market in self.markets
        )

    def known_since(self) -> Start:
        """Return when the known trades of all markets begin; 0 where a saved state knows more."""
        starts = [self._start_of(market) for market in self.markets]
        return max([*starts, self.broken], key=lambda start: start.ts_ns)

    def note_first(self, message: Trade | TradesMissed) -> bool:
        """Note what the bus keeps, whose oldest comes first; tell whether this is one."""
        shard = self._shard_of(message.instrument)
        if shard in self.firsts:
            return False
        self.firsts[shard] = message.ts_recv_ns
        return True

    def found(self, since: Mapping[MarketKey, int], until: Mapping[MarketKey, int]) -> None:
        """Take what the store knows of markets of which it has more than the bus.

        What came since the opening is the bus's to tell.
        """
        self.is_read = True
        self.since = {m: ts_ns for m, ts_ns in since.items() if ts_ns < self._kept_of(m)}
        self.until = {m: min(until[m], self.opened_ns) for m in self.since}

    def finds_hole(self, instrument: str) -> bool:
        """Tell, once for a shard, whether trades are missing between what is known and the bus."""
        return self._finds_hole(self._shard_of(instrument))

    def finds_holes(self) -> bool:
        """Tell the same of shards from which nothing has come."""
        known = (self._shard_of(instrument) for _, instrument in (*self.seen, *self.until))
        return any(self._finds_hole(shard) for shard in dict.fromkeys(known))

    def _finds_hole(self, shard: int) -> bool:
        if shard in self.checked:
            return False
        self.checked[shard] = None
        known = [
            market for market in (*self.seen, *self.until) if self._shard_of(market[1]) == shard
        ]
        # Who has seen a trade of a shard has seen all before it, of whatever market.
        newest_ns = max((self.seen.get(market, 0) for market in known), default=0)
        kept_ns = self._kept_since(shard)
        return any(
            self.is_cut_off or kept_ns > self.until.get(market, newest_ns) for market in known
        )

    def covers(self, message: Trade | TradesMissed, *, is_stored: bool) -> bool:
        """Tell whether a message is known already, or comes another way.

        Up to ``until`` trades come from the store, later ones and those since the opening from the
        bus, which is read from before it on.
        """
        market, ts_ns = (message.venue, message.instrument), message.ts_recv_ns
        if ts_ns <= self.seen.get(market, -1):
            return True
        if is_stored:
            return ts_ns >= self.opened_ns or market not in self.until
        return ts_ns < self.opened_ns and ts_ns <= self.until.get(market, -1)

    def starts_behind_the_state(self) -> bool:
        """Tell whether store and bus begin only after what the state knows."""
        return any(
            min(self.since.get(market, self.opened_ns), self._kept_of(market)) > self.seen[market]
            for market in self.markets
            if market in self.seen
        )

    def _start_of(self, market: MarketKey) -> Start:
        name, shard = f"{market[1]} at {market[0]}", self._shard_of(market[1])
        start = Start(self._kept_since(shard), f"the bus keeps no earlier trades of {name}")
        if shard in self.dropped:
            start = Start(start.ts_ns, f"more than {HELD_MAX} trades waited for earlier ones")
        if market in self.since:
            if self.until[market] >= start.ts_ns:
                start = Start(self.since[market], f"the store has no earlier trades of {name}")
            else:
                start = Start(start.ts_ns, f"trades of {name} are missing between store and bus")
        elif self.is_read and not self.problem:
            start = Start(start.ts_ns, f"{start.why}, nor does the store")
        if self.problem:
            start = Start(start.ts_ns, f"{start.why}, {self.problem}")
        is_known = market in self.seen and start.ts_ns <= self.seen[market]
        return Start(0, "") if is_known else start

    def _kept_of(self, market: MarketKey) -> int:
        return self._kept_since(self._shard_of(market[1]))

    def _kept_since(self, shard: int) -> int:
        """Return when the trades of a shard begin: at the opening, if none older is kept."""
        kept_ns = min(self.firsts.get(shard, self.opened_ns), self.opened_ns)
        return max(kept_ns, self.dropped.get(shard, -1) + 1)
