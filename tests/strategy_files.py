"""Writes strategies of a user's own, good and bad, and configurations that name them."""

from __future__ import annotations

from pathlib import Path

from services.scanner.engine import StrategyHost
from shared.config import load_config
from shared.config_sections import Config
from shared.strategy_files import load_strategies

HEAD = '''"""A strategy of a test."""
from __future__ import annotations
from collections.abc import Sequence
from typing import Annotated
from msgspec import Meta
from shared.messages.arb import Opportunity
from shared.messages.market import DepthView
from shared.strategies.near_misses import Stopped
from shared.strategies.pairs import PairLimits, Pairs
from shared.strategies.port import Depth, Params, Strategy, Warmup

class MineParams(Params):
    edge_bps_min: Annotated[float, Meta(ge=0, le=1_000)] = 2.0

class Mine(Strategy[MineParams]):
'''

VENUES = ("binance", "kraken")
TRADES = """
    def set_up(self) -> None:
        limits = PairLimits(self.params.edge_bps_min, 10_000.0, 2_000, 0, 500)
        self.pairs = Pairs(self.id, limits, self.near_misses)

    def on_rules(self, rules, now_ns):
        self.pairs.take_rules(rules)
        return []

    def on_depth(self, view, now_ns):
        found = [self.pairs.compare(pair, now_ns) for pair in self.pairs.take_view(view)]
        return [each for each in found if isinstance(each, Opportunity)]
"""
"""Body of a strategy that trades what cross-venue would, without its cooldown."""


def write_strategy(
    folder: Path, body: str = TRADES, name: str = "mine.py", head: str = HEAD
) -> str:
    """Write a strategy's file and return its path."""
    path = folder / name
    path.write_text(head + body, encoding="utf-8")
    return str(path)


def write_config(folder: Path, *strategies: str, more: str = "") -> str:
    """Write a configuration with two venues and ``[[strategies]]`` of this text."""
    path = folder / "arb.toml"
    venues = "".join(
        f'[venues.{name}]\ninstruments = ["BTC/USDT", "ETH/USDT"]\n'
        for name in ("binance", "kraken")
    )
    tables = "".join(f"[[strategies]]\n{text}\n" for text in strategies)
    path.write_text(f"{more}\n{venues}{tables}", encoding="utf-8")
    return str(path)


def host_of(folder: Path, *strategies: str) -> tuple[StrategyHost, Config]:
    """Return a host of what a configuration names."""
    config = load_config(write_config(folder, *strategies), {})
    return StrategyHost(load_strategies(config)), config
