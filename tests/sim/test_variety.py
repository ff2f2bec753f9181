"""What worlds are made of: enough is traded in them, and rounds are opened and closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from services.lab import strategies
from services.lab.life import Life
from services.lab.simulate import run_seed
from services.lab.strategies import strategies_of
from services.lab.world import World
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan
from shared.messages.rounds import Intent

SEEDS = range(1, 13)
PLANS_PER_SEED_MIN, HITS_PER_SEED_MIN = 10, 5


class CountedWorld(World):
    """Counts plans of rounds by what they do, and deaths while a plan is under way."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.intents: Counter[Intent] = Counter()
        self.hits = 0

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Count approved plans."""
        self.intents.update(each.intent for each in messages if isinstance(each, ApprovedPlan))
        super().on_published(service, messages)

    def on_crash(self, host: Life) -> None:
        """Count what dies while a plan is under way."""
        self.hits += self.checkers.has_plans_in_flight
        super().on_crash(host)


@pytest.mark.timeout(200)
def test_worlds_trade_enough_to_be_hit_in_the_middle_of_it() -> None:
    intents: Counter[Intent] = Counter()
    plans = hits = 0
    for seed in SEEDS:
        world = CountedWorld(seed)
        outcome = run_seed(seed, world)
        assert not outcome.violations, outcome.story
        plans, hits, intents = plans + outcome.plans, hits + world.hits, intents + world.intents
    assert plans >= PLANS_PER_SEED_MIN * len(SEEDS)
    assert hits >= HITS_PER_SEED_MIN * len(SEEDS)
    assert intents[Intent.OPEN] > 0
    assert intents[Intent.CLOSE] > 0


def test_built_in_strategies_take_part_where_their_inputs_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strategies, "CHANCE", 1.0)
    monkeypatch.setattr(strategies, "ROUNDS_CHANCE", 1.0)
    world = World(1)
    chosen = [each.id for each in strategies_of(1, world.config)]
    assert chosen[0] == "cross_venue"
    assert {"spot_perp_basis", "triangular", "conversion"} <= set(chosen)
    assert "momentum" not in chosen, "it wants bars of trades, and the lab's venues have books only"
    assert len(chosen) == len(set(chosen))
