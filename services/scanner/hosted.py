"""One strategy that is hosted, and what its host remembers of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from services.scanner.bars import BarMaker
from services.scanner.catch_up import CatchUp
from services.scanner.watched import Failed, Watch, asked
from shared.messages.arb import Indication, Opportunity, Signal, Target
from shared.messages.base import Message
from shared.messages.bounds import AHEAD_NS_MAX
from shared.messages.inventory import InventoryTold
from shared.messages.market import (
    DepthView,
    Funding,
    FundingSettled,
    Mark,
    Trade,
    TradesMissed,
)
from shared.messages.quick_checks import first_flaw
from shared.messages.rounds import Intent, StrategyPosition
from shared.strategies.features.bars import Bar
from shared.strategies.port import (
    BUILT_IN_MODULE,
    Bars,
    Depth,
    FundingOf,
    Instance,
    Output,
    Strategy,
    Trades,
    as_input,
    check_deadline,
)

OUTPUTS_PER_CALL_MAX = 256
"""Opportunities that one call of a strategy may return."""
OUTPUTS_PER_S_MAX = 1_000
"""And that it may return within a second; risk decides about a few thousand."""
TIMER_NS_MIN = 1_000_000
"""A strategy's timer is called at most once in this time."""
COUNTERS_MAX = 32
"""Counters and gauges of one strategy."""
TRADED_MAX = 4_096
"""Instruments whose trades one strategy takes in."""
NAME_LENGTH_MAX, NUMBER_MAX = 64, 2**53
"""Of these."""
_MS, _S = 1_000_000, 1_000_000_000
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE: dict[type, Callable[[bytes], Any]] = {
    kind: msgspec.msgpack.Decoder(kind).decode for kind in (Opportunity, Signal, Indication)
}


Extra = Trade | TradesMissed | Mark | Funding | FundingSettled
"""What is not a book, for strategies that ask for it."""
EXTRAS = frozenset((Trade, TradesMissed, Mark, Funding, FundingSettled))


class Hosted:
    """A strategy that runs, or ran until it was disabled."""

    __slots__ = (
        "bar_maker",
        "bars",
        "by_base",
        "catch_up",
        "code_hash",
        "deadline_ns",
        "detector",
        "funding",
        "hash",
        "history_ns",
        "id",
        "inputs",
        "is_built_in",
        "knows_rounds",
        "near_misses",
        "on_depth",
        "on_disable",
        "on_rules",
        "outputs",
        "strategy",
        "traded",
        "trades",
        "ts_ready_ns",
        "ts_window_ns",
        "wants_timer",
        "warming",
        "warmup_ns",
    )

    def __init__(self, instance: Instance, strategy: Strategy[Any]) -> None:
        self.id, self.detector, self.hash = instance.id, instance.detector, instance.strategy_hash
        self.code_hash = instance.code_hash
        self.on_disable = instance.on_disable
        self.inputs: Sequence[Depth] = ()
        self.trades: Sequence[Trades] = ()
        self.funding: Sequence[FundingOf] = ()
        self.bars: Sequence[Bars] = ()
        self.warmup_ns = self.history_ns = 0
        self.forget()
        self.adopt(strategy)
        self.by_base = type(strategy).by_base
        self.is_built_in = type(strategy).__module__.startswith(BUILT_IN_MODULE)
        self.wants_timer = type(strategy).next_deadline_ns is not Strategy.next_deadline_ns

    def forget(self) -> None:
        """Forget everything that the host remembers of it."""
        self.ts_ready_ns: int | None = None  # known from its first view on
        self.ts_window_ns = self.outputs = 0  # what it returned in the present second
        self.deadline_ns: int | None = None
        self.traded: dict[tuple[str, str], int] = {}
        """Instrument -> when its newest trade was received."""
        self.bar_maker = BarMaker(self.bars)
        self.catch_up: CatchUp | None = None  # while what was traded before is read
        self.warming = ""
        """Until when it warms up and why, for operators."""
        self.knows_rounds = False
        """Whether risk has listed all open rounds since it began here: only then it may open."""

    def adopt(self, strategy: Strategy[Any]) -> None:
        """Call this object from now on."""
        self.strategy, self.near_misses = strategy, strategy.near_misses
        self.on_depth, self.on_rules = strategy.on_depth, strategy.on_rules

    def begin_anew(self) -> None:
        """Replace the strategy by a new object without state."""
        self.forget()
        self.adopt(type(self.strategy)(self.id, self.strategy.params))

    def declare(self, watch: Watch | None) -> str:
        """Read its declared inputs; return what is wrong with them, empty if nothing is."""
        try:
            with asked(self.id, watch):
                wanted = [as_input(each) for each in self.strategy.inputs()]
                self.inputs = tuple(each for each in wanted if isinstance(each, Depth))
                self.trades = tuple(each for each in wanted if isinstance(each, Trades))
                self.funding = tuple(each for each in wanted if isinstance(each, FundingOf))
                self.bars = tuple(each for each in wanted if isinstance(each, Bars))
                self.warmup_ns = int(self.strategy.warmup().span_ms) * _MS
                self.bar_maker = BarMaker(self.bars)
                self.history_ns = self.warmup_ns + self._bars_cut_ns()
        except Failed as error:
            return str(error)
        return ""

    def _bars_cut_ns(self) -> int:
        """Return how much earlier trades must begin for whole bars from the warm-up's begin on.

        The bar in which they begin is incomplete, and one that is not over yet is not closed.
        """
        lengths = [2 * each.interval_s * _S + each.lateness_ms * _MS for each in self.bars]
        return max(lengths, default=0)

    def begin_warmup(self, now_ns: int) -> None:
        """Begin its warm-up, with the first input that comes for it."""
        if self.ts_ready_ns is None:
            self.ts_ready_ns = now_ns + self.warmup_ns

    def is_warming_up(self, now_ns: int) -> bool:
        """Tell whether its outputs are still discarded."""
        return bool(self.warmup_ns) and (self.ts_ready_ns is None or now_ns < self.ts_ready_ns)

    def told(self, name: str, watch: Watch | None) -> dict[str, float]:
        """Return its ``counters`` or ``gauges``; nothing if that fails.

        The process asks for them, not an input of the engine. So what would have ended the process
        comes back as one.
        """
        try:
            with asked(self.id, watch):
                return numbers_of(getattr(self.strategy, name)())
        except Failed as error:
            if error.would_end and watch is not None:
                watch.report(self.id, f"{name}(): {error}")
            return {}

    def missed(self, watch: Watch | None) -> dict[str, int]:
        """Return its near misses by gate; nothing if it has changed what counts them."""
        try:
            with asked(self.id, watch):
                return {str(gate): int(n) for gate, n in self.near_misses.totals.items()}
        except Failed:
            return {}

    def wants(self, message: Extra) -> bool:
        """Tell whether it asked for such a message beside books."""
        wanted = self.trades if type(message) in {Trade, TradesMissed} else self.funding
        return any(each.covers(message.venue, message.instrument) for each in wanted)

    def bars_of(self, message: Trade | TradesMissed, now_ns: int) -> list[Bar]:
        """Add a trade or gap to its bars; return the bars that are over."""
        if isinstance(message, Trade):
            return self.bar_maker.on_trade(message, now_ns)
        return self.bar_maker.on_missed(message, now_ns)

    def note(self, message: Extra) -> None:
        """Remember up to when it has seen trades."""
        if isinstance(message, Trade | TradesMissed):
            market = message.venue, message.instrument
            if market in self.traded or len(self.traded) < TRADED_MAX:
                self.traded[market] = max(message.ts_recv_ns, self.traded.get(market, 0))

    def on_extra(self, message: Extra, now_ns: int) -> Sequence[Any]:
        """Call its callback for such a message."""
        strategy = self.strategy
        if isinstance(message, Trade):
            return strategy.on_trade(message, now_ns)
        if isinstance(message, TradesMissed):
            return strategy.on_gap(message, now_ns)
        if isinstance(message, Mark):
            return strategy.on_mark(message, now_ns)
        return strategy.on_funding(message, now_ns)

    def on_bar(self, bar: Bar, now_ns: int) -> Sequence[Any]:
        """Hand over a bar that is closed."""
        return self.strategy.on_bar(bar, now_ns)

    def on_position(self, position: StrategyPosition, now_ns: int) -> Sequence[Any]:
        """Tell it about a round of its own."""
        return self.strategy.on_position(position, now_ns)

    def on_inventory(self, told: InventoryTold, now_ns: int) -> Sequence[Any]:
        """Tell it what venues hold."""
        return self.strategy.on_inventory(told, now_ns)

    def on_held_back(self, held: Sequence[Message], now_ns: int) -> Sequence[Any]:
        """Tell it which of its outputs were not sent.

        Raises:
            TypeError: It answers with outputs.
        """
        for each in held:
            if self.strategy.on_held_back(each, now_ns):  # type: ignore[arg-type,func-returns-value]
                raise TypeError("on_held_back() returned something; offer again in another call")
        return ()

    def on_timer(self, nothing: None, now_ns: int) -> Sequence[Any]:
        """Call its timer, as the other callbacks are called."""
        return self.strategy.on_timer(now_ns)

    def note_deadline(self, now_ns: int) -> None:
        """Ask it for its next deadline.

        Raises:
            TypeError: That is no time.
        """
        wanted = self.strategy.next_deadline_ns()
        check_deadline(wanted)
        self.deadline_ns = None if wanted is None else max(wanted, now_ns + TIMER_NS_MIN)

    def stamped(self, found: Sequence[Any], now_ns: int) -> list[Output]:
        """Return the outputs of a call with the strategy's name and hash.

        Raises:
            TypeError: One is no opportunity and no signal.
            ValueError: One has an impossible value, or there are too many.
        """
        if type(found) not in {list, tuple}:
            raise TypeError(f"returned a {type(found).__name__}; return a list of Opportunity")
        if len(found) > OUTPUTS_PER_CALL_MAX:
            raise ValueError(f"{len(found)} outputs at once; {OUTPUTS_PER_CALL_MAX} are allowed")
        if now_ns - self.ts_window_ns >= _S:
            self.ts_window_ns, self.outputs = now_ns, 0
        self.outputs += len(found)
        if self.outputs > OUTPUTS_PER_S_MAX:
            raise ValueError(f"more than {OUTPUTS_PER_S_MAX} outputs within a second")
        stamped: list[Output] = []
        for each in found:
            if type(each) not in _DECODE:
                kind = type(each).__name__
                raise TypeError(f"returned a {kind} in its list, not an Opportunity")
            # Nothing but what the wire can carry gets out of here. Of the built-in strategies'
            # values the types are known, so they need not be written and read to find out.
            stamped.append(
                msgspec.structs.replace(
                    each if self.is_built_in else _DECODE[type(each)](_ENCODE(each)),
                    ts_ns=now_ns,
                    detector=self.detector,
                    strategy_id=self.id,
                    strategy_hash=self.hash,
                )
            )
        if flaw := first_flaw(stamped, now_ns + AHEAD_NS_MAX):
            raise ValueError(flaw)
        return stamped


def own_copy(view: DepthView) -> DepthView:
    """Return a copy of a view, so that a user's strategy cannot change it for others."""
    return msgspec.structs.replace(view, bids=view.bids[:], asks=view.asks[:])


def numbers_of(told: Mapping[str, Any]) -> dict[str, float]:
    """Return those of a strategy's counters that may be shown."""
    return {
        name: value + 0
        for name, value in islice(told.items(), COUNTERS_MAX)
        if name.isidentifier() and len(name) <= NAME_LENGTH_MAX and abs(value) < NUMBER_MAX
    }


def opens_round(found: Output) -> bool:
    """Tell whether an output would open a position; a signal may, unless it is FLAT."""
    if isinstance(found, Indication):
        return False
    if isinstance(found, Signal):
        return found.target is not Target.FLAT
    return found.intent is Intent.OPEN
