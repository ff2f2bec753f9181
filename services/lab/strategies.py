"""The strategies of a world: built-in ones whose inputs the world provides.

The names come from the registry, so that a new built-in strategy takes part by itself. Only what
its thresholds must be for the lab's market stands here, where its defaults would trade nothing.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

import msgspec

from services.lab.drawn_limits import strategy_max_of
from services.lab.kinds import BARRED, HELD, PRINTED, QUOTED, Kind
from shared.config_sections import Config, ScannerConfig, StrategyConfig
from shared.domain.instrument import is_spot
from shared.errors import ConfigError
from shared.strategies.port import Bars, Depth, FundingOf, Input, Trades
from shared.strategy_files import DEFAULT, built_ins, load
from shared.strategy_inputs import inputs_of

CHANCE, ROUNDS_CHANCE = 0.15, 0.85
"""That a strategy runs in a world, and that one does that opens rounds there."""
MADE_FOR = {
    Kind.TRIANGLE: "triangular",
    Kind.CONVERSION: "conversion",
    Kind.TREND: "momentum",
    Kind.CARRY: "funding_carry",
    Kind.INVERSE: "spot_perp_basis",
    Kind.QUOTES: "market_making",
}
"""Who runs in every world of a kind."""
OTHERS_CHANCE = 0.4
"""That another strategy runs in a world that is made for one."""
PLAIN = frozenset(("triangular", "conversion"))
"""Who finds nothing in worlds of pairs, and seldom runs there."""
PLAIN_CHANCE = 0.03
HELD_HOURS = (0.0003, 0.0006, 0.002)
"""How long a round is held at most: from one to seven seconds, so that it ends in its world."""
SEQUENTIAL_CHANCE = 0.3
"""That the legs of a strategy's plans go one after the other."""
BUDGET: dict[str, Any] = {
    "directional_notional_max": Decimal(3_000),
    "directional_equity": Decimal(50_000),
}


def strategies_of(seed: int, config: Config, kind: Kind = Kind.PAIRS) -> list[StrategyConfig]:
    """Return the strategies of a world: who it is made for, and a choice of the others.

    One that is made for all has all whose inputs are there.
    """
    draw = Random(f"{seed}/strategies")
    names = [name for venue in config.venues.values() for name in venue.instruments]
    has_derivatives = not all(map(is_spot, names))
    first = MADE_FOR.get(kind, DEFAULT)
    chosen = [_entry(first, draw)]
    for name in built_ins():
        each = _entry(name, draw)
        wanted = name != first and draw.random() < _chance(name, kind, has_derivatives)
        if wanted and _fits(each, config, kind):
            chosen.append(each)
    if kind in QUOTED:
        quotes, maker = Random(f"{seed}/quoting"), MADE_FOR[Kind.QUOTES]
        chosen = [_quoting(each, quotes) if each.id == maker else each for each in chosen]
    chosen = [_limited(each, seed) for each in chosen]
    turns = Random(f"{seed}/legs")
    return [_in_turn(each) if turns.random() < SEQUENTIAL_CHANCE else each for each in chosen]


def _quoting(entry: StrategyConfig, draw: Random) -> StrategyConfig:
    """Let its quotes rest: near enough to be filled, for a while that ends within the world."""
    params = entry.params | {
        "edge_bps": draw.choice((0.1, 1.0)),
        "worse_bps": 0.05,
        "better_bps": draw.choice((3.0, 15.0)),
        "notional_quote": draw.choice((300.0, 1_500.0)),
        "rest_ms": draw.choice((300, 700, 2_000)),
        "depth_ratio": 1.0,
    }
    return msgspec.structs.replace(entry, legs="maker-taker", params=params)


def _limited(entry: StrategyConfig, seed: int) -> StrategyConfig:
    return msgspec.structs.replace(entry, notional_max=strategy_max_of(seed, entry.id))


def _in_turn(entry: StrategyConfig) -> StrategyConfig:
    if entry.legs == "maker-taker":
        return entry
    return msgspec.structs.replace(entry, legs="sequential")


def _chance(name: str, kind: Kind, has_derivatives: bool) -> float:
    if kind is Kind.ALL:
        return 1.0
    if kind is not Kind.PAIRS:
        return OTHERS_CHANCE
    if name in PLAIN:
        return PLAIN_CHANCE
    return ROUNDS_CHANCE if name == "spot_perp_basis" and has_derivatives else CHANCE


def _entry(name: str, draw: Random) -> StrategyConfig:
    budget = BUDGET if name == "momentum" else {}
    return StrategyConfig(id=name, class_=name, params=_params(name, draw), **budget)


def _fits(chosen: StrategyConfig, config: Config, kind: Kind) -> bool:
    """Tell whether the world's venues have all that a strategy wants to see."""
    books = [(venue, name) for venue, of in config.venues.items() for name in of.instruments]
    wanted = _wanted(chosen.class_)
    return wanted is not None and all(
        _is_told(each, kind) and any(each.covers(*book) for book in books) for each in wanted
    )


def _is_told(wanted: Input, kind: Kind) -> bool:
    """Tell whether the venues of a world tell of this kind of input at all."""
    if isinstance(wanted, Trades):
        return kind in PRINTED
    if isinstance(wanted, Bars):
        return kind in BARRED
    if isinstance(wanted, FundingOf):
        return kind in HELD
    return isinstance(wanted, Depth)


@cache
def _wanted(name: str) -> list[Input] | None:
    """Return what a strategy wants to see in every world; ``None`` if it needs to be told more."""
    chosen = _entry(name, Random(0))
    try:
        strategy = load(chosen, ScannerConfig(), "lab").strategy
        assert strategy is not None
        return inputs_of(strategy, "lab")
    except ConfigError:
        return None


def _params(name: str, draw: Random) -> dict[str, Any]:
    """Return what a strategy is given in the lab, for the lab's fees and its market."""
    held_hours = draw.choice(HELD_HOURS)
    is_buy_fee_in_base = draw.random() < 0.5
    path = {
        "is_buy_fee_in_base": is_buy_fee_in_base,
        "notional_quote_max": 2_500.0,
        "cooldown_ms": 100,
        "slack_bps": 2.0,
    }
    given: dict[str, dict[str, Any]] = {
        "spot_perp_basis": {
            "open_bps": 32.0,
            "close_bps": 2.0,
            "spot_fee_bps": 4.0,
            "slippage_bps": 0.0,
            "notional_quote_max": 2_000.0,
            "held_hours_max": held_hours,
            "cooldown_ms": 200,
        },
        "triangular": path,
        "conversion": path | {"fx_depth_base_min": 300.0},
        "momentum": {
            "interval_s": 1,
            "lateness_ms": draw.choice((100, 300)),
            "fast_bars": 1,
            "slow_bars": 2,
            "threshold_bps": 1.0,
            "stop_bps": draw.choice((2.0, 6.0, 60.0)),
            "held_minutes_max": held_hours * 60,
        },
        "funding_carry": {
            "settled_count": 1,
            "enter_bps_per_hour": 1_500.0,
            "exit_bps_per_hour": 500.0,
            "exit_count": 1,
            "hold_hours_max": max(held_hours, 0.001),
            "basis_credit_bps_max": 60.0,
            "guard_ms": 100,
            "notional_quote_max": 2_000.0,
            "cooldown_ms": 300,
        },
        "lead_lag": {
            "step_ms": 50,
            "lags_count": 5,
            "window_ms": 1_500,
            "interval_ms": 1_000,
            "grids_count": 1,
            "moves_count_min": 4,
            "stable_count": 2,
        },
        "market_making": {
            "edge_bps": 1.0,
            "worse_bps": 0.5,
            "better_bps": 0.5,
            "refresh_ms": 200,
        },
    }
    return given.get(name, {})
