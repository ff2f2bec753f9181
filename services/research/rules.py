"""Rules that trade bars, with their parameters; what they decide is written twice, on purpose.

``kernel.py`` decides in compiled code for many parameter sets, ``event_bars.py`` one bar at a time
as it would happen live; a property test holds them equal. Both work on closes in whole *units*, so
that averages of equal prices are equal and no rounding makes a crossing. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from shared.errors import ConfigError

Bars = Annotated[int, Meta(ge=1, le=100_000)]
UNIT_DIGITS = 11
"""Significant digits of the first close; later ones are as fine in absolute terms."""


class SmaCross(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Long from the close at which the fast average rises above the slow one until it is below.

    The first bar with both averages is no crossing: there was no average before it.
    """

    fast_bars: Bars = 10
    slow_bars: Bars = 30


class Momentum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Long or short while the fast average is that far from the slow one on the other side."""

    fast_bars: Bars = 5
    slow_bars: Bars = 20
    threshold_bps: Annotated[float, Meta(ge=0, le=10_000)] = 10.0


RuleParams = SmaCross | Momentum


class Rule(NamedTuple):
    """A rule: its number in compiled code and the type of its parameters."""

    code: int
    params: type[SmaCross] | type[Momentum]


RULES: Mapping[str, Rule] = {"sma_cross": Rule(0, SmaCross), "momentum": Rule(1, Momentum)}


def name_of(params: RuleParams) -> str:
    """Return the name of the rule that has these parameters."""
    return next(name for name, rule in RULES.items() if rule.params is type(params))


def threshold_of(params: RuleParams) -> float:
    """Return the threshold as a share; 0 where the rule has none."""
    return params.threshold_bps / 1e4 if isinstance(params, Momentum) else 0.0


def make_params(name: str, values: Mapping[str, Any], where: str, key: str) -> RuleParams:
    """Return checked parameters; ``where`` and ``key`` say in errors where they were given.

    Raises:
        ConfigError: There is no such rule or parameter, or a value is impossible.
    """
    if name not in RULES:
        raise ConfigError(f"{where}: rule.name = {name!r}: one of {', '.join(RULES)}")
    kind = RULES[name].params
    try:
        found = msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__)
        raise ConfigError(f"{where}: {key}: {error}; {name} has {known}") from error
    if found.fast_bars >= found.slow_bars:
        raise ConfigError(
            f"{where}: {key}: fast_bars = {found.fast_bars} must be below "
            f"slow_bars = {found.slow_bars}"
        )
    return found


def scale_of(first_close: float) -> float:
    """Return the units of one: a power of ten, from the first close alone (nothing later)."""
    return 10.0 ** (UNIT_DIGITS - 1 - math.floor(math.log10(first_close)))
