"""Signals with stops through crashes and faults: risk closes what a strategy opened and left."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from services.lab import world
from services.lab.simulate import run_seed
from shared.config_sections import StrategyConfig
from shared.messages.control import Alert
from shared.messages.execution import ApprovedPlan, TradingStateChanged
from shared.messages.rounds import Intent, RoundState, StrategyPosition

OPENS_ONLY = '''
"""Goes long wherever it may for eight seconds, and never closes anything."""
from decimal import Decimal
from shared.messages.arb import Target
from shared.messages.base import BookState
from shared.strategies.port import Params, Strategy
from shared.strategies.signals import Conviction, make_signal

class OpensParams(Params, frozen=True):
    pass

class Opens(Strategy[OpensParams]):
    def set_up(self):
        self.next_ns = 0

    def on_depth(self, view, now_ns):
        if view.state is not BookState.LIVE or not view.asks or now_ns < self.next_ns:
            return []
        if now_ns > 1_700_000_008_000_000_000:
            return []
        self.next_ns = now_ns + 500_000_000
        wanted = Conviction(Target.LONG, Decimal(3), horizon_ms=1_500)
        return [make_signal(self.id, f"r{now_ns}", view, wanted, now_ns=now_ns)]
'''


@pytest.fixture
def opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every world run this strategy beside the built-in one."""
    (tmp_path / "opens.py").write_text(OPENS_ONLY, encoding="utf-8")
    chosen = [
        StrategyConfig(
            id="opens",
            class_=str(tmp_path / "opens.py"),
            directional_notional_max=Decimal(5_000),
            directional_equity=Decimal(100_000),
        ),
        StrategyConfig(id="cross_venue", class_="cross_venue"),
    ]
    config_for = world.config_for
    monkeypatch.setattr(
        world,
        "config_for",
        lambda exchanges, shards: msgspec.structs.replace(
            config_for(exchanges, shards), strategies=chosen
        ),
    )


class Told:
    """What is published in a world about the strategy's rounds."""

    def __init__(self, ran: world.World) -> None:
        self._publish = ran.on_published
        self.codes: Counter[str] = Counter()
        self.opened: set[str] = set()
        self.closed: set[str] = set()
        self.open: dict[str, StrategyPosition] = {}
        self.trading = ""

    def on_published(self, service: str, messages: list[object]) -> None:
        for each in messages:
            if isinstance(each, Alert):
                self.codes[each.code] += 1
            elif isinstance(each, ApprovedPlan) and each.strategy == "opens":
                (self.opened if each.intent is Intent.OPEN else self.closed).add(each.round_id)
            elif isinstance(each, StrategyPosition):
                self.open.pop(each.round_id, None)
                if each.state is not RoundState.CLOSED:
                    self.open[each.round_id] = each
            elif isinstance(each, TradingStateChanged):
                self.trading = each.reason
        self._publish(service, messages)


@pytest.mark.usefixtures("opens")
def test_what_signals_opened_is_closed_by_stops_and_nothing_is_violated() -> None:
    """Where the lab's operator says HALT before a stop is reached, its round stays, and is told."""
    codes: Counter[str] = Counter()
    closed = 0
    for seed in range(1, 14):
        ran = world.World(seed)
        told = Told(ran)
        ran.on_published = told.on_published
        outcome = run_seed(seed, ran)
        codes += told.codes
        assert told.closed <= told.opened
        closed += len(told.closed)
        for violation in outcome.violations:
            assert violation.checker == "flat", outcome.story
            assert told.trading.startswith("OPERATOR: HALT")
            (left,) = told.open.values()
            amount, asset, *_ = violation.text.split()
            assert asset == left.base
            assert abs(Decimal(amount) - left.unhedged) < Decimal("0.0001")  # and rests of others
            assert left.ending
    assert codes["STOP_REACHED"] + codes["STOP_TIME"] > 6
    assert closed > 4
