"""``[study]`` of a configuration: the parameter sets of one strategy that are to be tried. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from shared.config_base import Section
from shared.config_parse import check_names
from shared.config_sections import Config, StrategyConfig
from shared.domain.instrument import MarketKey, split_instrument
from shared.errors import ConfigError
from shared.strategies.failure import describe
from shared.strategies.port import Instance, Params
from shared.strategy_files import configured, find_class, load
from shared.wording import counted

SETS_MAX = 1_000
"""Each set is a backtest of its own."""
VALUES_MAX = 200
EXAMPLE = "[study.grid] with edge_bps_min = [1.0, 2.0, 4.0]"
OF_RESEARCH = ("statistics", "walk_forward", "gate")
"""Sections beside ``[study]`` that research reads: they say how results are judged."""


class StudyConfig(Section, frozen=True, kw_only=True):
    """``[study]``: whose parameters, the values of each, and the quote asset of the results.

    ``strategy`` is an id of ``[[strategies]]``, and ``quote`` an asset that the data's markets pay
    in; either may be left out where there is only one. Values of the grid are numbers, or true and
    false; texts are refused by ``grid_of``, which names the parameter.
    """

    strategy: str = ""
    quote: str = ""
    grid: dict[str, list[int | float | bool | str]] = msgspec.field(default_factory=dict)


class ParameterSet(NamedTuple):
    """One set of the grid.

    Attributes:
        values: Of the parameters that the grid varies.
        strategy: Configured with them.
        strategy_hash: Of the strategy's file and all its parameters.
        horizon_ms: How long it holds a round at most, 0 where it does not say.
        warmup_ms: How much it must have seen before it says anything.
    """

    values: dict[str, int | float | bool]
    strategy: StrategyConfig
    strategy_hash: str
    horizon_ms: int
    warmup_ms: int


class Grid(NamedTuple):
    """The sets of a study, how many combinations are invalid, and why the first of them is."""

    detector: str
    sets: list[ParameterSet]
    left_out: int
    why: str

    def config(self, config: Config, number: int) -> Config:
        """Return a configuration that runs one of the sets, beside the other strategies."""
        chosen = self.sets[number].strategy
        strategies = [chosen if each.id == chosen.id else each for each in configured(config)]
        return msgspec.structs.replace(config, strategies=strategies)


def grid_of(config: Config, study: StudyConfig, where: str) -> Grid:
    """Return the parameter sets to try.

    Raises:
        ConfigError: No such strategy or parameter, a value out of range, no grid, or one too large.
    """
    entry = _strategy_of(config, study, where)
    kind, detector, _ = find_class(entry.class_, f"{where}: strategies.{entry.id}")
    axes = _axes_of(study.grid, kind.Params, where)
    sets: list[ParameterSet] = []
    reasons: list[str] = []
    for chosen in itertools.product(*axes.values()):
        values = dict(zip(axes, chosen, strict=True))
        given = msgspec.structs.replace(entry, params=entry.params | values)
        try:
            made = load(given, config.scanner, where)
        except ConfigError as error:  # values that do not go together
            reasons.append(str(error))
            continue
        declared = _declared(made, f"{where}: strategies.{entry.id}")
        sets.append(ParameterSet(values, given, made.strategy_hash, *declared))
    if not sets:
        raise ConfigError(reasons[0])
    if len(sets) < 2:
        why = f"; the others: {reasons[0]}" if reasons else ""
        raise ConfigError(f"{where}: study.grid is of a single set, at least 2{why}")
    return Grid(detector, sets, len(reasons), reasons[0] if reasons else "")


def _strategy_of(config: Config, study: StudyConfig, where: str) -> StrategyConfig:
    there = {each.id: each for each in configured(config)}
    if not study.strategy and len(there) == 1:
        return next(iter(there.values()))
    if study.strategy not in there:
        given = f"no strategy {study.strategy!r}" if study.strategy else "name the strategy"
        raise ConfigError(f"{where}: study.strategy: {given}; there are: {', '.join(there)}")
    return there[study.strategy]


def _declared(made: Instance, place: str) -> tuple[int, int]:
    """Return the horizon and the warm-up that a strategy declares (ms)."""
    assert made.strategy is not None
    try:
        found = made.strategy.horizon_ms(), made.strategy.warmup().span_ms
    except Exception as error:  # tidy-ok: another's code, told in one line
        raise ConfigError(f"{place}: {describe(error)}") from error
    if any(type(each) is not int or each < 0 for each in found):
        raise ConfigError(f"{place}: horizon_ms() and warmup() are {found}; give ms from 0 on")
    return found


def _axes_of(
    grid: Mapping[str, Sequence[int | float | bool | str]], kind: type[Params], where: str
) -> dict[str, list[int | float | bool]]:
    """Check every value against the strategy's own definition of its parameter; return them."""
    if not grid:
        raise ConfigError(f"{where}: no study.grid; give the values to try, like {EXAMPLE}")
    fields = {each.encode_name: each.type for each in msgspec.structs.fields(kind)}
    check_names(grid, fields, where, "study.grid")
    axes: dict[str, list[int | float | bool]] = {}
    count = 1
    for name, values in grid.items():
        if not 1 <= len(values) <= VALUES_MAX or len(set(values)) != len(values):
            raise ConfigError(
                f"{where}: study.grid.{name}: give 1 to {VALUES_MAX} values, each once"
            )
        axes[name] = []
        for value in values:
            if isinstance(value, str):
                raise ConfigError(
                    f"{where}: study.grid.{name} = {value!r}: a grid varies numbers, or true and "
                    "false; a text goes into the params of the strategy, one study for each"
                )
            try:
                msgspec.convert(value, fields[name])
            except msgspec.ValidationError as error:
                raise ConfigError(f"{where}: study.grid.{name} = {value}: {error}") from error
            axes[name].append(value)
        count *= len(values)
    if count > SETS_MAX:
        raise ConfigError(f"{where}: study.grid has {counted(count, 'set')}, at most {SETS_MAX}")
    return axes


def quote_of(study: StudyConfig, markets: Sequence[MarketKey], where: str) -> str:
    """Return the asset that results are told in.

    Raises:
        ConfigError: No market pays in it, or several assets are possible.
    """
    there = sorted({split_instrument(instrument).cash for _, instrument in markets})
    if study.quote in there:
        return study.quote
    if not study.quote and len(there) == 1:
        return there[0]
    given = f"no market pays in {study.quote!r}" if study.quote else "name the asset of the results"
    raise ConfigError(f"{where}: study.quote: {given}; there are: {', '.join(there)}")
