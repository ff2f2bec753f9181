"""The configuration of a piece of research: one TOML file, every key with its bounds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.research.candle_files import DataConfig
from services.research.candles import DAY_S, length_s
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
GAPS, NO_LENGTH = ("purge", "embargo"), "0s"
"""What of a walk-forward may be left out altogether, and how."""
NO_HORIZON = (
    "a rule needs none: each return is of one period and marked at its end, so none in training "
    "reaches into a test"
)


class RuleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[rule]``: which rule, its parameters, and the values that ``arb optimize`` tries."""

    name: str
    params: dict[str, float] = {}
    grid: dict[str, list[float]] = {}


STAKE_PER_CAPITAL_MAX = 200
"""As much as the highest ``leverage`` of a backtest."""


class CostsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[costs]``: the fee of each side, whether a short keeps its quantity, spread and size.

    ``spread_bps`` is that of the book around a price. Entries are worth ``stake_quote``, of a
    ``capital_quote``, in multiples of ``lot_base``; without a stake they are all of equity.
    """

    fee_bps: Annotated[float, Meta(ge=0, le=1_000)] = 10.0
    short: str = "fixed"
    spread_bps: Annotated[float, Meta(ge=0, le=1_000)] = 0.0
    stake_quote: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    capital_quote: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    lot_base: Annotated[float, Meta(ge=0, le=1e12)] = 0.0

    def identity(self) -> dict[str, object]:
        """Return what identifies a trial: fields of old ledgers, and newer ones where set."""
        always: dict[str, object] = {"fee_bps": self.fee_bps, "short": self.short}
        return always | {
            name: value for name, value in msgspec.structs.asdict(self).items() if value
        }

    def check(self, where: str) -> None:
        """Refuse costs that cannot be meant.

        Raises:
            ConfigError: With the key and what would be right.
        """
        if self.short not in {"fixed", "rebalanced"}:
            raise ConfigError(
                f"{where}: costs.short = {self.short!r}: it is 'fixed' (a quantity, as on a "
                "venue) or 'rebalanced' (each bar, free of cost)"
            )
        if self.stake_quote and not self.capital_quote:
            raise ConfigError(f"{where}: costs.stake_quote needs costs.capital_quote")
        if self.stake_quote > STAKE_PER_CAPITAL_MAX * self.capital_quote:
            raise ConfigError(
                f"{where}: costs.stake_quote = {self.stake_quote:g} is more than "
                f"{STAKE_PER_CAPITAL_MAX} times costs.capital_quote = {self.capital_quote:g}, "
                "which no venue lends; both are in quote units"
            )
        if self.stake_quote and self.short == "rebalanced":
            raise ConfigError(f'{where}: costs.stake_quote needs costs.short = "fixed"')
        if not self.stake_quote and (self.capital_quote or self.lot_base):
            raise ConfigError(
                f"{where}: costs.capital_quote and costs.lot_base need costs.stake_quote: without "
                "it every entry is all of equity"
            )


class StatisticsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[statistics]``: the grid of returns, the seed of the bootstrap, the ledger of trials."""

    period: str = "1d"
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 7
    bootstrap_samples: Annotated[int, Meta(ge=100, le=100_000)] = 1_000
    blocks: Annotated[int, Meta(ge=2, le=16, multiple_of=2)] = 16
    trials: str = "trials.jsonl"


class WalkForwardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[walk_forward]``: lengths of its windows, in days or as text like 4h, which overrides.

    A purge that is left out is the maximum holding time of a round; "0s" is none.
    """

    train_days: Annotated[float, Meta(gt=0, le=36_500)] = 180.0
    test_days: Annotated[float, Meta(gt=0, le=36_500)] = 30.0
    purge_days: Days | None = None
    embargo_days: Days = 0.0
    anchored: bool = False
    train: str = ""
    test: str = ""
    purge: str = ""
    embargo: str = ""

    def windows(self, horizon_s: int = 0) -> Windows:
        """Return the same in seconds; ``horizon_s`` is how long a round is held at most.

        Raises:
            ConfigError: A text is no length of time, or a length is less than a second.
        """
        train, test, purge, embargo = map(self._seconds, ("train", "test", "purge", "embargo"))
        return Windows(
            train or 0,
            test or 0,
            purge_s=horizon_s if purge is None else purge,
            embargo_s=embargo or 0,
            anchored=self.anchored,
        )

    def _seconds(self, name: str) -> int | None:
        """Return a length; ``None`` is one that is not given."""
        text: str = getattr(self, name)
        if text == NO_LENGTH and name in GAPS:
            return 0
        if text:
            return length_s(text, f"walk_forward.{name}")
        days: float | None = getattr(self, f"{name}_days")
        if days and days * DAY_S < 1:
            raise ConfigError(
                f"walk_forward.{name}_days = {days:g} is less than a second; give days, or a text "
                f'like walk_forward.{name} = "4h"'
            )
        return None if days is None else round(days * DAY_S)

    @property
    def has_purge(self) -> bool:
        """Tell whether the purge is given."""
        return bool(self.purge) or self.purge_days is not None

    def gaps_told(self, horizon_s: int = 0, *, why: str = NO_HORIZON) -> dict[str, Any]:
        """Return purge and embargo for a report; ``why`` is that of a purge left out."""
        windows = self.windows(horizon_s)
        return {
            "purge_s": windows.purge_s,
            "purge_why": "as configured" if self.has_purge else why,
            "embargo_s": windows.embargo_s,
        }


class StudySettings(msgspec.Struct, frozen=True):
    """The sections of a study of strategies that say how its sets are judged."""

    statistics: StatisticsConfig = StatisticsConfig()
    walk_forward: WalkForwardConfig = WalkForwardConfig()
    gate: GateConfig = GateConfig()


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
        given = self.costs
        return Costs(
            fee=given.fee_bps / 1e4,
            rebalanced=given.short == "rebalanced",
            half_spread=given.spread_bps / 2e4,
            stake=given.stake_quote,
            lot=given.lot_base,
            capital=given.capital_quote or 1.0,
        )


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
    return parse_settings(_read(path), path.name)


def load_study_settings(path: Path) -> StudySettings:
    """Read how a study of strategies is judged; what it runs is for the lab to read.

    Raises:
        ConfigError: It cannot be read, or a key or value is not right.
    """
    raw = read_toml(_read(path), path.name)
    given = {
        name: read_section(raw[name], SECTIONS[name], path.name, name)
        for name in StudySettings.__struct_fields__
        if name in raw
    }
    sections: dict[str, Any] = given
    settings = StudySettings(**sections)
    settings.walk_forward.windows()  # what is wrong with a length is told before anything runs
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error.reason}") from error


def parse_settings(text: str, where: str) -> ResearchConfig:
    """Return the configuration of a TOML text.

    Raises:
        ConfigError: A key or value is not right.
    """
    raw = read_toml(text, where)
    if "strategies" in raw and "rule" not in raw:
        raise ConfigError(
            f"{where}: no [study]; give the values to try, like [study.grid] with "
            "edge_bps_min = [1.0, 2.0, 4.0]"
        )
    check_names(raw, SECTIONS, where, "")
    if "rule" not in raw:
        raise ConfigError(f'{where}: no [rule]; it needs one, like name = "{next(iter(RULES))}"')
    sections: dict[str, Any] = {
        name: read_section(value, SECTIONS[name], where, name) for name, value in raw.items()
    }
    config = ResearchConfig(**sections)
    config.costs.check(where)
    config.walk_forward.windows()  # what is wrong with a length is told before anything runs
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
