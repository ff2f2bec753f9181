"""Follows momentum on closed bars: long above a threshold, short below minus it. Pure.

    m = (SMA_fast - SMA_slow) / SMA_slow

It returns a ``Signal``: risk sizes it by what it may lose at its stop, keeps the stop and the time
with the round, and says what is held (``on_position``). The other direction closes the round first
and opens a new one once that is closed. Spot is not sold short: there, down means out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.domain.instrument import InstrumentKind, MarketKey, is_spot, split_instrument
from shared.domain.rounding import exact
from shared.domain.stops import Exit
from shared.messages.arb import Signal, Target
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.rounds import RoundState, StrategyPosition
from shared.strategies.demo import Demo
from shared.strategies.features.bars import Bar
from shared.strategies.features.momentum import Momentum
from shared.strategies.near_misses import Route, Stopped
from shared.strategies.port import (
    RETRY_NS,
    Bars,
    Depth,
    Input,
    Output,
    Params,
    Strategy,
    Warmup,
)
from shared.strategies.round_plans import KnownBook
from shared.strategies.rounds import CAN_CLOSE, PENDING_NS
from shared.strategies.signals import Conviction, make_signal

_RULE = {"interval_s": 1, "lateness_ms": 500, "fast_bars": 3, "slow_bars": 8, "threshold_bps": 0.5}
_BUDGET = {"directional_notional_max": Decimal(2_000), "directional_equity": Decimal(20_000)}
_EXITS = {"stop_bps": 6.0, "held_minutes_max": 0.2}
DEMO = Demo(params={"instrument": "BTC/USDT:USDT", **_RULE, **_EXITS}, settings=_BUDGET)
MARKETS_MAX = 256
"""Markets followed; more are refused and counted."""
ROUNDS_MAX = 64
"""Rounds of a market that are remembered; one is open unless fills come late."""
_MS, _MINUTE_MS = 1_000_000, 60_000


class MomentumParams(Params, frozen=True, kw_only=True):
    """The rule and its exits; an empty venue or instrument stands for every one.

    ``stop_bps`` is from the entry, ``held_minutes_max`` how long a round is held at most;
    ``pause_bars`` after one that its stop closed nothing is opened.
    """

    venue: str = ""
    instrument: str = ""
    interval_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    lateness_ms: Annotated[int, Meta(ge=0, le=60_000)] = 2_000
    fast_bars: Annotated[int, Meta(ge=1, le=10_000)] = 5
    slow_bars: Annotated[int, Meta(ge=2, le=10_000)] = 20
    threshold_bps: Annotated[float, Meta(ge=0, le=10_000)] = 10.0
    stop_bps: Annotated[float, Meta(ge=0.1, le=9_999)] = 200.0
    held_minutes_max: Annotated[float, Meta(ge=0.01, le=1_000_000)] = 1_440.0
    pause_bars: Annotated[int, Meta(ge=0, le=10_000)] = 0
    book_age_ms_max: Annotated[int, Meta(ge=1, le=60_000)] = 1_000
    signal_ttl_ms: Annotated[int, Meta(ge=1, le=60_000)] = 500


class _Market:
    """One market: its rule, its book, its rounds, and what the newest bar wants."""

    def __init__(self, key: MarketKey, given: MomentumParams, route: Route) -> None:
        self.key, self.route = key, route
        self.base, self.is_spot = split_instrument(key[1]).base, is_spot(key[1])
        self.rule = Momentum(given.fast_bars, given.slow_bars, given.threshold_bps)
        self.book = KnownBook()
        self.rounds: dict[str, StrategyPosition] = {}
        self.wanted: Side | None = None
        self.ts_end_ns: int | None = None  # of the newest bar
        self.pending_ns = 0
        self.pause_bars = 0

    @property
    def held(self) -> Decimal:
        """Signed base units of its rounds."""
        return sum((each.held(*self.key) for each in self.rounds.values()), Decimal(0))

    @property
    def momentum_bps(self) -> float:
        """Of the newest bar; 0 while the averages are not full."""
        return round((self.rule.value() or 0.0) * 1e4, 4)

    def take_bar(self, bar: Bar) -> bool:
        """Take a closed bar in; tell whether there is a hole before it or in it."""
        is_hole = not bar.complete or self.ts_end_ns not in {None, bar.start_ns}
        if is_hole:
            self.rule.restart()
        self.ts_end_ns = bar.start_ns + bar.interval_ns
        self.pause_bars = max(0, self.pause_bars - 1)
        self.wanted = None
        if bar.complete:
            self.rule.take(bar.close)
            self.wanted = self.rule.wanted(float(self.held))
        return is_hole

    def take_position(self, position: StrategyPosition, pause_bars: int) -> None:
        """Take what risk says about a round."""
        if position.state is RoundState.CLOSED:
            if self.rounds.pop(position.round_id, None) is not None:
                self.pending_ns = 0
                if position.ending == Exit.STOP:
                    self.pause_bars = pause_bars
        elif position.round_id in self.rounds or len(self.rounds) < ROUNDS_MAX:
            self.rounds[position.round_id] = position

    def next_step(self, now_ns: int, age_ms_max: int) -> tuple[str, Target] | Stopped | None:
        """Return the round to act on and its target, once nothing else is under way.

        ``None`` where there is nothing to do yet. What is done, or cannot be, is wanted no more.
        """
        wanted = self.wanted
        if wanted is None or now_ns < self.pending_ns:
            return None
        if not self.book.is_live(now_ns, age_ms_max):
            return None
        held = self.held
        if held and wanted.signed(held) > 0:
            self.wanted = None
            return None
        target = Target.LONG if wanted is Side.BUY else Target.SHORT
        is_out = self.is_spot and target is Target.SHORT
        if self.rounds:
            for each in self.rounds.values():
                if each.state in CAN_CLOSE and each.held(*self.key):
                    return each.round_id, Target.FLAT if is_out else target
            return None
        self.wanted = None
        if is_out:
            return Stopped("NO_SHORT", (self.momentum_bps,))
        if self.pause_bars:
            return Stopped("PAUSED", (self.pause_bars,))
        return f"{self.base}.{self.key[0]}.{now_ns // _MS}", target


class MomentumSignal(Strategy[MomentumParams]):
    """See the module's first lines."""

    gates: ClassVar = {
        "THRESHOLD": ("momentum_bps", "needs_bps"),
        "WARMING_UP": ("slow_bars",),
        "HOLE": ("bar_start_ms",),
        "NO_SHORT": ("momentum_bps",),
        "PAUSED": ("pause_bars",),
    }

    def set_up(self) -> None:
        """Begin without bars; refuse what is no rule."""
        given = self.params
        Momentum(given.fast_bars, given.slow_bars, given.threshold_bps)
        self._markets: dict[MarketKey, _Market] = {}
        names = "bars", "holes", "signals_open", "signals_close", "markets_refused"
        self._counts = dict.fromkeys(names, 0)

    def horizon_ms(self) -> int:
        """Return how long a round is held at most."""
        return round(self.params.held_minutes_max * _MINUTE_MS)

    def inputs(self) -> Sequence[Input]:
        """Return the bars it decides on, and the books that it would trade in."""
        given = self.params
        key = given.venue, given.instrument
        return (
            Bars(*key, interval_s=given.interval_s, lateness_ms=given.lateness_ms),
            Depth(*key),
        )

    def warmup(self) -> Warmup:
        """Return the time from the first to the last of the bars that its slow average needs."""
        return Warmup((self.params.slow_bars - 1) * self.params.interval_s * 1_000)

    def on_bar(self, bar: Bar, now_ns: int) -> Sequence[Signal]:
        """Decide by a closed bar; no average spans a hole."""
        market = self._market((bar.venue, bar.instrument))
        if market is None or bar.interval_ns != self.params.interval_s * 1_000 * _MS:
            return ()
        self._counts["bars"] += 1
        if market.take_bar(bar):
            self._counts["holes"] += 1
            self._miss(market, Stopped("HOLE", (bar.start_ns // _MS,)), now_ns)
        if market.rule.value() is None:
            self._miss(market, Stopped("WARMING_UP", (self.params.slow_bars,)), now_ns)
        elif market.wanted is None:
            values = market.momentum_bps, self.params.threshold_bps
            self._miss(market, Stopped("THRESHOLD", values), now_ns)
        return self._act(market, now_ns)

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Signal]:
        """Note the book; what the bar wanted may have waited for it."""
        market = self._market((view.venue, view.instrument))
        if market is None:
            return ()
        market.book.view = view
        return self._act(market, now_ns) if market.wanted is not None else ()

    def on_position(self, position: StrategyPosition, now_ns: int) -> Sequence[Signal]:
        """Take what risk says is held: the rule depends on it."""
        keys = dict.fromkeys((leg.venue, leg.instrument) for leg in position.legs)
        for key, market in self._markets.items():
            if position.round_id in market.rounds:
                keys[key] = None  # also where nothing of it is told any more
        out: list[Signal] = []
        for key in keys:
            known = self._market(key)
            if known is not None:
                known.take_position(position, self.params.pause_bars)
                out += self._act(known, now_ns)
        return out

    def on_held_back(self, held: Output, now_ns: int) -> None:
        """Want what the bar wanted once more."""
        if not isinstance(held, Signal) or held.target is Target.FLAT:
            return
        market = self._market((held.venue, held.instrument))
        if market is not None:
            market.wanted = Side.BUY if held.target is Target.LONG else Side.SELL
            market.pending_ns = min(market.pending_ns, now_ns + RETRY_NS)

    def counters(self) -> Mapping[str, int]:
        """Return bars, holes among them, signals to open and to close, markets refused."""
        return self._counts

    def gauges(self) -> Mapping[str, float]:
        """Return the markets followed, and those whose averages are full."""
        full = sum(each.rule.value() is not None for each in self._markets.values())
        return {"markets": len(self._markets), "markets_full": full}

    def _market(self, key: MarketKey) -> _Market | None:
        """Return a market, made at first sight; ``None`` where it is not wanted."""
        market = self._markets.get(key)
        if market is not None or not Depth(self.params.venue, self.params.instrument).covers(*key):
            return market
        if split_instrument(key[1]).kind is InstrumentKind.INVERSE:
            return None
        if len(self._markets) >= MARKETS_MAX:
            self._counts["markets_refused"] += 1
            return None
        route = self.near_misses.route(key, key)
        market = self._markets[key] = _Market(key, self.params, route)
        return market

    def _act(self, market: _Market, now_ns: int) -> Sequence[Signal]:
        given = self.params
        step = market.next_step(now_ns, given.book_age_ms_max)
        if step is None:
            return ()
        if isinstance(step, Stopped):
            self._miss(market, step, now_ns)
            return ()
        round_id, target = step
        self._counts["signals_close" if round_id in market.rounds else "signals_open"] += 1
        market.pending_ns = now_ns + PENDING_NS
        assert market.book.view is not None
        wanted = Conviction(target, exact(given.stop_bps), horizon_ms=self.horizon_ms())
        ttl_ms = given.signal_ttl_ms
        view = market.book.view
        return [make_signal(self.id, round_id, view, wanted, now_ns=now_ns, ttl_ms=ttl_ms)]

    def _miss(self, market: _Market, stopped: Stopped, now_ns: int) -> None:
        self.near_misses.count(market.route, stopped, now_ns)
