"""A service that is killed between the opening and the closing of a round leaves the round whole.

Nothing else goes wrong here; what else may happen meanwhile is drawn in the worlds of ``arb sim``,
whose report counts the rounds that were closed after a crash (``test_variety.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from services.lab import world as lab_world
from services.lab.kinds import Kind
from services.lab.world import World
from shared.config_sections import StrategyConfig
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan
from shared.messages.rounds import Intent, RoundState, StrategyPosition

BASIS = StrategyConfig(
    id="basis",
    class_="spot_perp_basis",
    params={"open_bps": -20.0, "close_bps": -90.0, "held_hours_max": 0.0004},
)
"""Opens at nearly any basis, and closes by its own time, 1.44 s later."""
SEEDS = (5, 12)
"""In the second one a close is filled in part, and a second plan closes the rest."""
STEP_NS, OPEN_WITHIN_NS, CLOSE_WITHIN_NS = 1_000_000, 12_000_000_000, 20_000_000_000


@pytest.fixture
def basis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every world run that strategy alone."""
    config_for = lab_world.config_for
    monkeypatch.setattr(
        lab_world,
        "config_for",
        lambda exchanges, shards: msgspec.structs.replace(
            config_for(exchanges, shards), strategies=[BASIS]
        ),
    )


class Followed(World):
    """Keeps what risk tells of rounds, and the plans that close them."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Kind.INVERSE)
        self.told: dict[str, StrategyPosition] = {}
        self.closing: list[ApprovedPlan] = []

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Keep them."""
        for each in messages:
            if isinstance(each, StrategyPosition):
                self.told[each.round_id] = each
            elif isinstance(each, ApprovedPlan) and each.intent is Intent.CLOSE:
                self.closing.append(each)
        super().on_published(service, messages)

    def run_to(self, state: RoundState, within_ns: int, round_id: str = "") -> StrategyPosition:
        """Go on until a round, or this one, is in a state; return what is told of it."""
        until_ns = self.kernel.now_ns() + within_ns
        while self.kernel.now_ns() < until_ns:
            self.kernel.run_until(self.kernel.now_ns() + STEP_NS)
            for each in self.told.values():
                if each.state is state and round_id in {"", each.round_id}:
                    return each
        raise AssertionError(f"no round is {state}: {self.told}")


@pytest.mark.usefixtures("basis")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("service", ["scanner", "risk", "executor"])
def test_a_round_is_closed_by_its_strategy_after_a_service_was_killed(
    service: str, seed: int
) -> None:
    world = Followed(seed)
    world.start()
    world.chaos.stop()
    opened = world.run_to(RoundState.OPEN, OPEN_WITHIN_NS)
    assert not world.closing
    killed = [host for host in world.hosts.values() if host.service == service and host.lives]
    assert killed
    for host in killed:
        host.crash()
    closed = world.run_to(RoundState.CLOSED, CLOSE_WITHIN_NS, opened.round_id)
    closing = {plan.strategy for plan in world.closing if plan.round_id == closed.round_id}
    assert closing == {"basis"}
    assert not closed.ending, "by the strategy, not by a stop of risk"
    assert all(not leg.qty for leg in closed.legs)
    assert closed.ts_opened_ns == opened.ts_opened_ns
    assert not world.checkers.violations
