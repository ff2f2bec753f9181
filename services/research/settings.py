"""The configuration of a piece of research: one TOML file, every key with its bounds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.research.candle_files import DataConfig
from services.research.candles import DAY_S
from services.research.gate import GateConfig
from services.research.kernel import Costs
from services.research.rules import RULES, RuleParams, make_params
from services.research.walk_forward import Windows
from shared.config_parse import check_names, read_section, read_toml
from shared.errors import ConfigError
from shared.wording import counted

SETS_MAX = 20_000
VALUES_MAX = 1_000
Days = Annotated[float, Meta(ge=0, le=36_500)]


class RuleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[rule]``: which rule, its parameters, and the values that ``arb optimize`` tries."""

    name: str
    params: dict[str, float] = {}
    grid: dict[str, list[float]] = {}


class CostsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[costs]``: the fee of each side, and whether a short keeps its quantity."""

    fee_bps: Annotated[float, Meta(ge=0, le=1_000)] = 10.0
    short: str = "fixed"


class StatisticsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[statistics]``: the grid of returns, the seed of the bootstrap, the ledger of trials."""

    period: str = "1d"
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 7
    bootstrap_samples: Annotated[int, Meta(ge=100, le=100_000)] = 1_000
    blocks: Annotated[int, Meta(ge=2, le=16, multiple_of=2)] = 16
    trials: str = "trials.jsonl"


class WalkForwardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[walk_forward]``: lengths of its windows, in days."""

    train_days: Annotated[float, Meta(gt=0, le=36_500)] = 180.0
    test_days: Annotated[float, Meta(gt=0, le=36_500)] = 30.0
    purge_days: Days = 0.0
    embargo_days: Days = 0.0
    anchored: bool = False

    def windows(self) -> Windows:
        """Return the same in seconds."""
        train, test, purge, embargo = (
            round(days * DAY_S)
            for days in (self.train_days, self.test_days, self.purge_days, self.embargo_days)
        )
        return Windows(train, test, purge_s=purge, embargo_s=embargo, anchored=self.anchored)


class ResearchConfig(msgspec.Struct, frozen=True):
    """All sections; ``where`` is the file's name, for messages."""

    rule: RuleConfig
    data: DataConfig = DataConfig()
    costs: CostsConfig = CostsConfig()
    statistics: StatisticsConfig = StatisticsConfig()
    walk_forward: WalkForwardConfig = WalkForwardConfig()
    gate: GateConfig = GateConfig()

    def trading_costs(self) -> Costs:
        """Return what the engines need."""
        return Costs(self.costs.fee_bps / 1e4, self.costs.short == "rebalanced")


SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "rule": RuleConfig,
    "data": DataConfig,
    "costs": CostsConfig,
    "statistics": StatisticsConfig,
    "walk_forward": WalkForwardConfig,
    "gate": GateConfig,
}


def load_settings(path: Path) -> ResearchConfig:
    """Read a configuration.

    Raises:
        ConfigError: It cannot be read, or a key or value is not right.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error.reason}") from error
    return parse_settings(text, path.name)


def parse_settings(text: str, where: str) -> ResearchConfig:
    """Return the configuration of a TOML text.

    Raises:
        ConfigError: A key or value is not right.
    """
    raw = read_toml(text, where)
    check_names(raw, SECTIONS, where, "")
    if "rule" not in raw:
        raise ConfigError(f'{where}: no [rule]; it needs one, like name = "{next(iter(RULES))}"')
    sections: dict[str, Any] = {
        name: read_section(value, SECTIONS[name], where, name) for name, value in raw.items()
    }
    config = ResearchConfig(**sections)
    if config.costs.short not in {"fixed", "rebalanced"}:
        raise ConfigError(
            f"{where}: costs.short = {config.costs.short!r}: it is 'fixed' (a quantity, as on a "
            "venue) or 'rebalanced' (each bar, free of cost)"
        )
    params_of(config, where)
    return config


def params_of(config: ResearchConfig, where: str) -> RuleParams:
    """Return the parameters of ``arb backtest``.

    Raises:
        ConfigError: They are not right.
    """
    return make_params(config.rule.name, _whole(config.rule.params), where, "rule.params")


def grid_of(config: ResearchConfig, where: str) -> tuple[list[RuleParams], int]:
    """Return the parameter sets to try, and how many of the grid make no sense (fast over slow).

    Raises:
        ConfigError: There is no grid, it is too large, or a value is impossible.
    """
    axes = config.rule.grid
    if not axes:
        raise ConfigError(f"{where}: no rule.grid; give the values to try, like {_EXAMPLE_GRID}")
    for name, values in axes.items():
        if not 1 <= len(values) <= VALUES_MAX or len(set(values)) != len(values):
            raise ConfigError(
                f"{where}: rule.grid.{name}: give 1 to {VALUES_MAX} values, each once"
            )
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > SETS_MAX:
        raise ConfigError(f"{where}: rule.grid has {counted(count, 'set')}, at most {SETS_MAX}")
    sets: list[RuleParams] = []
    for chosen in itertools.product(*axes.values()):
        values_of = config.rule.params | dict(zip(axes, chosen, strict=True))
        if {"fast_bars", "slow_bars"} <= set(values_of) and (
            1 <= values_of["slow_bars"] <= values_of["fast_bars"]
        ):
            continue
        sets.append(make_params(config.rule.name, _whole(values_of), where, "rule.grid"))
    if len(sets) < 2:
        raise ConfigError(
            f"{where}: rule.grid has {counted(len(sets), 'set')} with fast_bars below slow_bars; "
            "at least 2"
        )
    return sets, count - len(sets)


_EXAMPLE_GRID = "grid = { fast_bars = [5, 10], slow_bars = [30, 60] }"


def _whole(values: Mapping[str, float]) -> dict[str, float | int]:
    """Return whole numbers as such: TOML's 10 and 10.0 are both ten bars."""
    return {name: int(v) if float(v).is_integer() else v for name, v in values.items()}


def axes_of(sets: Sequence[RuleParams]) -> dict[str, list[float]]:
    """Return the parameters that differ between sets, with their values in order."""
    names = sets[0].__struct_fields__
    values = {name: sorted({float(getattr(each, name)) for each in sets}) for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}
