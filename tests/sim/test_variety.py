"""What worlds are made of: enough is traded in them, and rounds are opened and closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count, islice
from typing import Any

import pytest

from services.lab import strategies
from services.lab.kinds import HELD, PRINTED, Kind, kind_of
from services.lab.life import Life
from services.lab.simulate import Outcome, run_seed, summary
from services.lab.strategies import strategies_of
from services.lab.world import World
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan
from shared.messages.rounds import Intent
from shared.services import CORE_SERVICES
from shared.strategy_files import built_ins

SEEDS = range(1, 25)
PLANS_PER_SEED_MIN, HITS_PER_SEED_MIN = 7, 5


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


CARRIES_MAX = 30
TRADED_WITHIN = 200
"""Within so many seeds every built-in strategy has traded, or found something to say."""


@pytest.mark.timeout(400)
def test_every_built_in_strategy_really_trades_or_indicates() -> None:
    outcomes = [run_seed(seed) for seed in range(1, TRADED_WITHIN + 1)]
    report = summary(outcomes, 0.0)
    assert report["violations"] == []
    did = report["plans_by_strategy"].keys() | report["indications"].keys()
    assert did >= set(built_ins())
    assert report["rounds_opened"].get("funding_carry", 0) > 0
    for name in ("momentum", "spot_perp_basis"):
        assert report["rounds_closed"].get(name, 0) > 0, name
    assert set(report["worlds"]) == {kind.value for kind in Kind} - {Kind.ALL.value}


TRENDS_MAX = 60


@pytest.mark.timeout(400)
def test_risk_ends_rounds_that_hit_their_stop_or_their_time() -> None:
    """Most rounds end by what their strategy sees, so several worlds are looked at."""
    ended: set[str] = set()
    for seed in islice((seed for seed in count(1) if kind_of(seed) is Kind.TREND), TRENDS_MAX):
        report = summary([run_seed(seed)], 0.0)
        assert report["violations"] == []
        ended |= report["rounds_ended_by_risk"].keys()
        if ended == {"STOP", "TIME"}:
            return
    pytest.fail(f"{TRENDS_MAX} worlds ended rounds by {sorted(ended)} only")


ALL_SEEDS = range(1, 101)


@pytest.mark.timeout(600)
def test_every_strategy_trades_beside_all_others_and_rounds_live_through_crashes() -> None:
    """A carry is opened in few of these worlds, so they are run until all was seen."""
    outcomes: list[Outcome] = []
    missing: set[str] = set()
    for seed in ALL_SEEDS:
        outcomes.append(run_seed(seed, World(seed, Kind.ALL)))
        report = summary(outcomes, 0.0)
        assert report["violations"] == []
        missing = missing_in(report)
        if not missing:
            break
    assert not missing
    assert report["worlds"] == {"all": len(outcomes)}
    assert set(report["plans_by_strategy"]) == set(built_ins()) - {"lead_lag"}


def missing_in(report: Mapping[str, Any]) -> set[str]:
    """Return what has not happened yet, of what must be seen of every strategy."""
    traded = set(built_ins()) - {"lead_lag"}
    holding = {"funding_carry", "momentum", "spot_perp_basis"}
    wanted = {
        "fills_by_strategy": traded,
        "indications": {"lead_lag"},
        "rounds_opened": holding,
        "rounds_closed_after_crash": {row.name for row in CORE_SERVICES},
    }
    return {f"{key} {name}" for key, names in wanted.items() for name in names - set(report[key])}


@pytest.mark.parametrize("seed", range(1, 30))
def test_a_world_for_all_feeds_every_strategy(seed: int) -> None:
    chosen = {each.id: each for each in World(seed, Kind.ALL).config.strategies}
    assert chosen.keys() == set(built_ins())
    assert chosen["market_making"].legs == "maker-taker"


@pytest.mark.timeout(400)
def test_a_carry_is_opened_paid_and_closed() -> None:
    """Few worlds leave a round alone for long enough, so several are looked at."""
    worlds = (seed for seed in count(1) if kind_of(seed) is Kind.CARRY)
    for seed in islice(worlds, CARRIES_MAX):
        world = World(seed)
        assert not run_seed(seed, world).violations
        is_paid = any(each.paid() for each in world.funding.values())
        if is_paid and "funding_carry" in world.checkers.tally.closed.values():
            return
    pytest.fail(f"{CARRIES_MAX} worlds closed none")


@pytest.mark.timeout(400)
def test_a_round_of_contracts_is_opened_and_closed_in_coins() -> None:
    worlds = (seed for seed in count(1) if kind_of(seed) is Kind.INVERSE)
    for seed in islice(worlds, CARRIES_MAX):
        world = World(seed)
        assert not run_seed(seed, world).violations
        closed = set(world.checkers.tally.closed)
        told = [each for key, each in world.checkers.rounds.told.items() if key in closed]
        if any(len(each.realized) == 2 and len(each.legs) > 1 for each in told):
            return
    pytest.fail(f"{CARRIES_MAX} worlds closed none")


@pytest.mark.timeout(400)
def test_quotes_rest_are_filled_and_leave_nothing() -> None:
    placed = filled = 0
    worlds = (seed for seed in count(1) if kind_of(seed) is Kind.QUOTES)
    for seed in islice(worlds, 8):
        world = World(seed)
        assert not run_seed(seed, world).violations
        placed += world.checkers.quotes.placed
        filled += world.checkers.quotes.filled
    assert placed > 50
    assert filled > 10


def test_strategies_take_part_where_their_inputs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for chance in ("CHANCE", "ROUNDS_CHANCE", "PLAIN_CHANCE", "OTHERS_CHANCE"):
        monkeypatch.setattr(strategies, chance, 1.0)
    for kind, first in {Kind.PAIRS: "cross_venue", **strategies.MADE_FOR}.items():
        seed = next(seed for seed in count(1) if kind_of(seed) is kind)
        chosen = [each.id for each in strategies_of(seed, World(seed).config, kind)]
        assert chosen[0] == first
        assert ("momentum" in chosen) == (kind is Kind.TREND), "it wants bars of trades"
        assert ("market_making" in chosen) == (kind in PRINTED), "it wants trades"
        assert ("funding_carry" in chosen) == (kind in HELD), "it wants rates"
        assert {"cross_venue", "triangular", "conversion", "lead_lag"} <= set(chosen)
        assert len(chosen) == len(set(chosen))
