"""Which strategies a world runs: built-in ones, each where the world has what it wants to see.

The names come from the registry, so that a new built-in strategy takes part by itself. Only what
its thresholds must be for the lab's market stands here, where its defaults would trade nothing.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from shared.config_sections import Config, ScannerConfig, StrategyConfig
from shared.domain.instrument import is_spot
from shared.errors import ConfigError
from shared.strategies.port import Depth, FundingOf, Input
from shared.strategy_files import DEFAULT, built_ins, load
from shared.strategy_inputs import inputs_of

CHANCE, ROUNDS_CHANCE = 0.15, 0.85
"""That a strategy runs in a world, and that one does that opens rounds there."""
HELD_HOURS = (0.0003, 0.0006, 0.002)
"""How long a round is held at most: from one to seven seconds, so that it ends in its world."""


def strategies_of(seed: int, config: Config) -> list[StrategyConfig]:
    """Return the strategies of a world: the default one, and a choice of the others."""
    draw = Random(f"{seed}/strategies")
    names = [name for venue in config.venues.values() for name in venue.instruments]
    has_derivatives = not all(map(is_spot, names))
    chosen = [StrategyConfig(id=DEFAULT, class_=DEFAULT)]
    for name in built_ins():
        if any(isinstance(each, FundingOf) for each in _wanted(name) or ()):
            continue  # the lab's venues tell no rates
        params = _params(name, draw)
        chance = ROUNDS_CHANCE if params and has_derivatives else CHANCE
        wanted = name != DEFAULT and draw.random() < chance
        each = StrategyConfig(id=name, class_=name, params=params)
        if wanted and _fits(each, config):
            chosen.append(each)
    return chosen


def _fits(chosen: StrategyConfig, config: Config) -> bool:
    """Tell whether the world's venues have all that a strategy wants to see: they have books."""
    books = [(venue, name) for venue, of in config.venues.items() for name in of.instruments]
    wanted = _wanted(chosen.class_)
    return wanted is not None and all(
        isinstance(each, Depth) and any(each.covers(*book) for book in books) for each in wanted
    )


@cache
def _wanted(name: str) -> list[Input] | None:
    """Return what a strategy wants to see in every world; ``None`` if it needs to be told more."""
    chosen = StrategyConfig(id=name, class_=name, params=_params(name, Random(0)))
    try:
        strategy = load(chosen, ScannerConfig(), "lab").strategy
        assert strategy is not None
        return inputs_of(strategy, "lab")
    except ConfigError:
        return None


def _params(name: str, draw: Random) -> dict[str, Any]:
    """Return what a strategy is given in the lab, for the lab's fees and its market."""
    held_hours = draw.choice(HELD_HOURS)
    if name == "spot_perp_basis":
        return {
            "open_bps": 32.0,
            "close_bps": 2.0,
            "spot_fee_bps": 4.0,
            "slippage_bps": 0.0,
            "notional_quote_max": 2_000.0,
            "held_hours_max": held_hours,
            "cooldown_ms": 200,
        }
    return {}
