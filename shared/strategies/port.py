"""The interface of a strategy: data in, opportunities out; no clock, IO, orders, chance. Pure.

A strategy is a class with parameters. It declares which books it wants, and is called with what
happens to them and with the time; it returns what it found. It keeps its own state and nothing
else: positions, orders and money belong to risk and the executor. The scanner hosts it
(``services/scanner/engine.py``), stamps its name and hash on what it returns, and disables it when
it raises, floods or returns what is not right; the others go on.

Callbacks exist for the data that is on the bus for every venue: depth, rules and time, and for the
positions that risk keeps of what a strategy opened; and for trades, marks and funding of the venues
whose feeds include them; and for bars of a length that it chooses, which the host makes of trades
(``features/bars.py``).
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from shared.messages.arb import Indication, Opportunity, Signal
from shared.messages.inventory import InventoryTold
from shared.messages.market import DepthView, Funding, FundingSettled, Mark, Trade, TradesMissed
from shared.messages.rounds import StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.features.bars import Bar
from shared.strategies.near_misses import NearMisses


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a strategy's parameters.

    Every number has both bounds and its unit in its name, like
    ``edge_bps_min: Annotated[float, Meta(ge=0, le=1_000)] = 20.0``.
    """


BUILT_IN_MODULE = "shared.strategies.built_in."
"""What the module's name of a built-in strategy begins with."""

P = TypeVar("P", bound=Params)
_Tuple = TypeVar("_Tuple", bound=tuple[Any, ...])
Output = Opportunity | Signal | Indication
"""What a strategy may return; an indication is only shown."""
RETRY_NS = 50_000_000
"""From an output that was held back to the next one, in the built-in strategies."""


def _of_its_kind(kind: type[_Tuple]) -> type[_Tuple]:
    """Make inputs of two kinds unequal, which as tuples of the same names would be equal."""

    def equal(this: tuple[Any, ...], other: object) -> bool:
        return isinstance(other, kind) and tuple.__eq__(this, other)

    def unequal(this: tuple[Any, ...], other: object) -> bool:
        return not equal(this, other)

    def hashed(this: tuple[Any, ...]) -> int:
        return hash((kind.__name__, *this))

    for name, method in {"__eq__": equal, "__ne__": unequal, "__hash__": hashed}.items():
        setattr(kind, name, method)
    return kind


@_of_its_kind
class Depth(NamedTuple):
    """An input: views of order books, and the rules of their instruments; empty is every one."""

    venue: str = ""
    instrument: str = ""

    def covers(self, venue: str, instrument: str) -> bool:
        """Tell whether a book belongs to this input."""
        return self.venue in {"", venue} and self.instrument in {"", instrument}


@_of_its_kind
class Trades(NamedTuple):
    """An input: trades, and where some are missing; its venues have ``trades`` in their feeds."""

    venue: str = ""
    instrument: str = ""

    def covers(self, venue: str, instrument: str) -> bool:
        """Tell whether an instrument's trades belong to this input."""
        return self.venue in {"", venue} and self.instrument in {"", instrument}


@_of_its_kind
class FundingOf(NamedTuple):
    """An input: marks and funding of perpetuals; its venues have ``funding`` in their feeds."""

    venue: str = ""
    instrument: str = ""

    def covers(self, venue: str, instrument: str) -> bool:
        """Tell whether a perpetual's funding belongs to this input."""
        return self.venue in {"", venue} and self.instrument in {"", instrument}


@_of_its_kind
class Bars(NamedTuple):
    """An input: closed bars, made of trades by the venue's time; an empty bar has volume 0.

    A bar is closed ``lateness_ms`` after its end on our clock; trades that come later change none.
    One of which trades are missing says so (``Bar.complete``).
    """

    venue: str = ""
    instrument: str = ""
    interval_s: int = 60
    lateness_ms: int = 2_000

    def covers(self, venue: str, instrument: str) -> bool:
        """Tell whether an instrument's bars belong to this input."""
        return self.venue in {"", venue} and self.instrument in {"", instrument}


INTERVAL_S_MAX, LATENESS_MS_MAX = 86_400, 60_000
"""Longest bar, and how long at most its trades are waited for."""

Input = Depth | Trades | FundingOf | Bars


def as_input(given: Any) -> Input:
    """Return what a strategy has declared; a plain pair is a book.

    Raises:
        TypeError: It is no input.
        ValueError: Bars of no length that can be made.
    """
    if isinstance(given, tuple) and type(given) is tuple and len(given) <= len(Depth._fields):
        given = Depth(*given)
    if not isinstance(given, Input):
        raise TypeError(
            f"{given!r:.80} is no input; return Depth(venue, instrument), Trades(...), "
            "FundingOf(...) or Bars(...)"
        )
    found: Input = given
    if not (isinstance(found.venue, str) and isinstance(found.instrument, str)):
        raise TypeError(f"{found!r}: venue and instrument are texts")
    if isinstance(found, Bars):
        _check_bars(found)
    return found


def _check_bars(bars: Bars) -> None:
    for name, value, low, high in (
        ("interval_s", bars.interval_s, 1, INTERVAL_S_MAX),
        ("lateness_ms", bars.lateness_ms, 0, LATENESS_MS_MAX),
    ):
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"Bars of {name} = {value!r}; give an int from {low} to {high}")


def check_deadline(wanted: Any) -> None:
    """Refuse what is no answer to when a strategy's timer is wanted.

    Raises:
        TypeError: It is no time.
    """
    if wanted is not None and type(wanted) is not int:
        raise TypeError(f"next_deadline_ns() is {wanted!r}; return UNIX ns or None")


class Warmup(NamedTuple):
    """How long a strategy is fed before what it returns counts, from its first view on."""

    span_ms: int = 0


class Strategy(Generic[P]):
    """Base of all strategies: ``class Mine(Strategy[MineParams])``.

    Attributes:
        params: Checked parameters.
        id: The name it has in the configuration.
        near_misses: Counts what was looked at and why nothing came of it; see ``near_misses.py``.
        gates: Codes of own reasons, and what the values of each are called.
        by_base: It looks at each base asset apart from all others, and remembers nothing that must
            outlive the scanner. Then several scanners may run it, each for its own shards; of any
            other, one scanner at a time runs it, and reads every shard.
    """

    by_base: ClassVar[bool] = False
    Params: ClassVar[type[Params]] = Params
    gates: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take the parameters' type from ``Strategy[...]``."""
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for kind in typing.get_args(base):
                if isinstance(kind, type) and issubclass(kind, Params):
                    cls.Params = kind
                elif isinstance(kind, type):
                    raise TypeError(
                        f"{kind.__name__} of {cls.__name__} are no parameters; write "
                        f"class {kind.__name__}(Params, frozen=True)"
                    )

    def __init__(self, strategy_id: str, params: P) -> None:
        self.id = strategy_id
        self.params = params
        self.near_misses = NearMisses(self.gates)
        self.set_up()

    def set_up(self) -> None:
        """Prepare own state; ``params`` and ``id`` are there."""

    def inputs(self) -> Sequence[Input]:
        """Return what it wants to see."""
        return (Depth(),)

    def warmup(self) -> Warmup:
        """Return how much it must have seen before it may be believed."""
        return Warmup()

    def horizon_ms(self) -> int:
        """Return how long it holds a round at most (ms); 0: it holds none, or does not say.

        Research keeps that long between what it picks parameters by and what it tests them on.
        """
        return 0

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Output]:
        """Take the rules of an instrument in: tick, lot, least order, fees. They are repeated."""
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Output]:
        """Take the newest view of a book in. It carries its trust: only LIVE prices anything."""
        return ()

    def on_trade(self, trade: Trade, now_ns: int) -> Sequence[Output]:
        """Take a public trade in; wanted by ``Trades``."""
        return ()

    def on_bar(self, bar: Bar, now_ns: int) -> Sequence[Output]:
        """Take a closed bar in; wanted by ``Bars``."""
        return ()

    def on_gap(self, missed: TradesMissed, now_ns: int) -> Sequence[Output]:
        """Trades of an instrument are missing: what was summed up of them is incomplete."""
        return ()

    def on_mark(self, mark: Mark, now_ns: int) -> Sequence[Output]:
        """Take a perpetual's mark and index in; wanted by ``FundingOf``."""
        return ()

    def on_funding(self, funding: Funding | FundingSettled, now_ns: int) -> Sequence[Output]:
        """Take a rate that will settle, or one that has, in; wanted by ``FundingOf``."""
        return ()

    def on_position(self, position: StrategyPosition, now_ns: int) -> Sequence[Output]:
        """Take what risk says about one of its rounds: on every change, and each second.

        This is the only truth about what it holds, also after a restart. Until the rounds that are
        open have been told, nothing that opens one gets out.
        """
        return ()

    def on_inventory(self, told: InventoryTold, now_ns: int) -> Sequence[Output]:
        """Take in what venues hold against what they should, each second where risk keeps to it."""
        return ()

    def on_held_back(self, held: Output, now_ns: int) -> None:
        """Undo what was noted of an output that was not sent, such as the pause after an offer.

        It is one that this strategy returned a moment ago: another opportunity takes its prices
        (gate ``PRICES_TAKEN``), or it would open a round before those that are open are known. It
        may be returned again, by a later call. Of what a warm-up keeps back nothing is told.
        """

    def on_timer(self, now_ns: int) -> Sequence[Output]:
        """Do what is due; called once ``now_ns`` has reached ``next_deadline_ns()``."""
        return ()

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` is wanted (UNIX ns), ``None`` for not at all."""
        return None

    def save(self) -> Any:
        """Return what it must still know after a restart: all its state, unless it overrides this.

        Plain values, messages, and objects of the classes in its own file and in what strategies
        are built from; at most 4 MB (``saved_state.py``).
        """
        return {name: value for name, value in vars(self).items() if name not in {"id", "params"}}

    def restore(self, state: Any, now_ns: int) -> None:
        """Take back what ``save`` returned in a process before, of the same file and parameters.

        Called on a new object, before anything else.
        """
        vars(self).update(state)

    def counters(self) -> Mapping[str, int]:
        """Return what it has counted since its start; values only rise."""
        return {}

    def gauges(self) -> Mapping[str, float]:
        """Return present values."""
        return {}


class Instance(NamedTuple):
    """A configured strategy, ready to run, or why it cannot.

    Attributes:
        id: Its name in the configuration.
        detector: What it is: a built-in's name, or file and class.
        strategy_hash: Of its file and parameters.
        strategy: ``None`` if there is a problem.
        problem: One line for the operator.
        on_disable: What becomes of its rounds when it is disabled: ``close`` or ``keep``.
        code_hash: Of what strategies are built from; a state of other code is not taken back.
    """

    id: str
    detector: str
    strategy_hash: str = ""
    strategy: Strategy[Any] | None = None
    problem: str = ""
    on_disable: str = "close"
    code_hash: str = ""
