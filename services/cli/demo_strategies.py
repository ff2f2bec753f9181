"""What ``arb demo --strategies all`` runs: every built-in strategy, on a market for all of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from shared.config_limits import QuoteLimits, RiskConfig
from shared.config_sections import ScannerConfig, StrategyConfig
from shared.strategies import built_in
from shared.strategies.demo import Demo
from shared.strategy_files import built_ins, load

ALL: Final = "all"
RISK: Final = RiskConfig(
    resting_orders_max=8,
    per_quote={
        "BTC": QuoteLimits(
            order_notional_max=Decimal("0.2"),
            instrument_notional_max=Decimal(2),
            venue_notional_max=Decimal(4),
            total_notional_max=Decimal(8),
            daily_loss_max=Decimal("0.02"),
        )
    },
)
"""The usual limits, and about the same worth of the markets against a coin (simulated: 64,000);
room for a quote on each side of some books."""
RATE_INTERVAL_S: Final = 8 * 3_600
"""What rates are for, however often they settle: eight hours pass in seconds."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Strategies, the simulated market that they are shown on, notes on those that only watch."""

    strategies: Sequence[StrategyConfig] = ()
    venue_arguments: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    one_shard: bool = False


def every_built_in() -> Shown:
    """Return all built-in strategies with their own demo parameters.

    Raises:
        ConfigError: One does not load with them.
    """
    return _built_ins(built_ins())


def one_built_in(name: str) -> Shown:
    """Return one built-in strategy with its own demo parameters.

    Raises:
        ConfigError: It does not load with them.
    """
    return _built_ins([name])


def _built_ins(names: Sequence[str]) -> Shown:
    entries: list[StrategyConfig] = []
    demos: list[Demo] = []
    notes: dict[str, str] = {}
    for name in names:
        demo = _demo_of(name)
        entry = StrategyConfig(id=name, class_=name, params=dict(demo.params), **demo.settings)
        load(entry, ScannerConfig(), f"demo of {name}")
        entries.append(entry)
        demos.append(demo)
        notes[name] = demo.only_watches
    return Shown(entries, _venue_arguments(demos), notes, one_shard=True)


def chosen(entries: Sequence[StrategyConfig]) -> Shown:
    """Return the strategies of a file, on the market that the built-in ones of them need."""
    demos = [_demo_of(entry.class_) for entry in entries if entry.class_ in built_ins()]
    return Shown(entries, _venue_arguments(demos))


def _demo_of(name: str) -> Demo:
    module = importlib.import_module(f"{built_in.__name__}.{name}")
    found: Demo = getattr(module, "DEMO", Demo())
    return found


def _venue_arguments(demos: Sequence[Demo]) -> tuple[str, ...]:
    """Return the options of the simulated venues that are enough for all."""
    options: list[str] = []
    if any(demo.more_markets for demo in demos):
        options.append("--more-markets")
    if any(demo.more_venues for demo in demos):
        options.append("--trading-venues")
    for option, asked in (
        ("--depeg-bps", [demo.depeg_bps for demo in demos]),
        ("--premium-bps", [demo.premium_bps for demo in demos]),
    ):
        if any(asked):
            options += [option, str(max(asked))]
    intervals = [demo.funding_interval_s for demo in demos if demo.funding_interval_s]
    if intervals:
        options += ["--funding-interval-s", str(min(intervals))]
        options += ["--funding-rate-interval-s", str(RATE_INTERVAL_S)]
    return tuple(options)


def strategy_lines(shown: Shown, report: Mapping[str, Any]) -> dict[str, str]:
    """Describe what each strategy did: traded, found nothing, only watches, was disabled."""
    lines = {}
    for entry in shown.strategies:
        earned = report["pnl_by_strategy"].get(entry.id)
        disabled = [text for text in report["alerts"] if f"strategy {entry.id} is disabled" in text]
        if disabled:
            lines[entry.id] = disabled[0]
        elif earned is not None:
            lines[entry.id] = "traded"
        elif shown.notes.get(entry.id):
            lines[entry.id] = f"only watches: {shown.notes[entry.id]}"
        else:
            lines[entry.id] = "found nothing to trade"
    return lines
