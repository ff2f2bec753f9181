"""Several strategies through crashes and faults, one of a user's own that fails in the middle."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.cli.commands_strategy import source_of_template
from services.lab import world
from services.lab.simulate import run_seed
from shared.config_sections import StrategyConfig
from shared.messages.control import Alert
from shared.messages.execution import ApprovedPlan

FAILS = """
        self.views = getattr(self, "views", 0) + 1
        assert self.views < 60, "on purpose"
        out: list[Opportunity] = []
"""


@pytest.fixture
def strategies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every world run these five, of which two only watch."""
    wide = {"spread_bps_max": 500.0}
    source = source_of_template("Mine")
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    fails = source.replace("\n        out: list[Opportunity] = []\n", FAILS)
    (tmp_path / "fails.py").write_text(fails, encoding="utf-8")
    chosen = [
        StrategyConfig(id="mine", class_=str(tmp_path / "mine.py"), params=wide),
        StrategyConfig(id="fails", class_=str(tmp_path / "fails.py"), params=wide),
        StrategyConfig(id="cross_venue", class_="cross_venue"),
        StrategyConfig(id="triangular", class_="triangular", params={"watch_bps_min": -10_000}),
        StrategyConfig(id="conversion", class_="conversion", params={"watch_bps_min": -10_000}),
    ]
    config_for = world.config_for
    monkeypatch.setattr(
        world,
        "config_for",
        lambda exchanges, shards: msgspec.structs.replace(
            config_for(exchanges, shards), strategies=chosen
        ),
    )


SEEDS, TRADED_MIN = range(1, 7), 3
"""In some worlds nothing is traded: nothing pays, or risk has halted for most of the time."""


@pytest.mark.usefixtures("strategies")
def test_nothing_is_violated_and_the_others_trade() -> None:
    traded = [others_traded(seed) for seed in SEEDS]
    assert sum(traded) >= TRADED_MIN


def others_traded(seed: int) -> bool:
    """Run one world in which a strategy fails; tell whether others traded in it."""
    ran = world.World(seed)
    on_published = ran.on_published
    alerts: list[Alert] = []
    plans: list[ApprovedPlan] = []

    def watch(service: str, messages: list[object]) -> None:
        alerts.extend(m for m in messages if isinstance(m, Alert))
        plans.extend(m for m in messages if isinstance(m, ApprovedPlan))
        on_published(service, messages)

    ran.on_published = watch
    outcome = run_seed(seed, ran)
    assert not outcome.violations, outcome.story
    disabled = [alert for alert in alerts if alert.code == "STRATEGY_DISABLED"]
    assert disabled
    assert {alert.subject for alert in disabled} == {"fails"}
    assert "on purpose (fails.py:" in disabled[0].text
    traded = {plan.strategy for plan in plans}
    assert traded <= {"mine", "cross_venue", "fails"}  # which may trade until it fails
    return bool(traded & {"mine", "cross_venue"})
