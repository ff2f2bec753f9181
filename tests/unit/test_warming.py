"""Cache warming: it decides as what counts would, and changes nothing."""

from __future__ import annotations

import asyncio
import os

import pytest

from services.executor.warming import PlanWarming
from services.risk.warming import DecisionWarming
from services.scanner.warming import OfferWarming
from shared.clock import SystemClock
from shared.config import parse_config
from shared.errors import ConfigError
from shared.messages.arb import Opportunity
from shared.messages.execution import ApprovedPlan, PlanOutcome
from shared.processors import keep_to
from shared.runtime.warming import CacheWarming
from shared.strategies.built_in.cross_venue import CrossVenue, CrossVenueParams
from shared.strategies.port import Instance
from tests.decision_builders import T0, make_opportunity, make_risk, make_rules, make_view
from tests.support import eventually
from tests.unit.test_executor_engine import make_world, run_plan

MS = 1_000_000


def test_risk_warmed_between_two_opportunities_decides_and_saves_the_same() -> None:
    warmed, other = make_risk(), make_risk()
    warming = DecisionWarming(warmed.decider)
    warming(T0)  # nothing has come yet
    for number in range(3):
        found = make_opportunity(opportunity_id=f"o{number}", now_ns=T0 + number)
        assert warmed.on_message(found, T0 + number) == other.on_message(found, T0 + number)
        for _ in range(3):
            warming(T0 + number)
        assert warmed.checkpoints() == other.checkpoints()
        assert (warmed.counters(), warmed.gauges()) == (other.counters(), other.gauges())


def test_warming_goes_all_the_way_to_a_plan_and_reserves_nothing() -> None:
    engine = make_risk()
    engine.on_message(make_opportunity(qty=1_000.0), T0)
    assert engine.counters()["plans_denied"] == 1
    again = make_opportunity(opportunity_id="another", now_ns=T0 + MS)
    assert isinstance(engine.decider.decide_idly(again, T0 + MS), ApprovedPlan)
    assert not engine.ledger.reservations
    assert engine.counters()["plans_approved"] == 0


def test_executor_warmed_before_and_after_plans_has_the_same_record() -> None:
    records = []
    for warms in (True, False):
        world = make_world()
        warming = PlanWarming(world.engine, world.config)
        for _ in range(3):
            done = run_plan(world)
            assert done.outcome is PlanOutcome.FILLED
            for _ in range(3 if warms else 0):
                warming(world.now_ns)
        saved, _, _ = world.history[-1]
        records.append((world.messages, saved, world.engine.checkpoints(), world.sent))
        assert world.engine.last_plan is not None
    assert records[0] == records[1]


def test_scanner_offers_the_same_after_warming_and_notes_nothing() -> None:
    found, counted = [], []
    for warms in (True, False):
        strategy = CrossVenue("pairs", CrossVenueParams(cooldown_ms=0))
        warming = OfferWarming([Instance("pairs", "cross_venue", strategy=strategy)])
        for venue in ("alpha", "beta"):
            strategy.on_rules(make_rules(venue), T0)
        strategy.on_depth(make_view("alpha", bids=[(9_990.0, 1.0)], asks=[(9_900.0, 1.0)]), T0)
        for number in range(3):
            view = make_view("beta", bids=[(10_000.0, 1.0)], asks=[(10_010.0, 1.0)], seq=number)
            found.append(strategy.on_depth(view, T0 + number))
            for _ in range(3 if warms else 0):
                warming(T0 + number)
                assert isinstance(strategy.offer_of_last(T0 + number), Opportunity)
        counted.append((strategy.counters(), strategy.gauges()))
    assert found[:3] == found[3:]
    assert all(found)
    assert counted[0] == counted[1]


async def test_rounds_come_while_no_step_is_under_way_and_end_when_told() -> None:
    rounds: list[int] = []
    busy = [True]
    warming = CacheWarming(rounds.append, 0.001, SystemClock(), lambda: busy[0])
    warming.start()
    await asyncio.sleep(0.02)
    assert not rounds
    busy[0] = False
    await eventually(lambda: len(rounds) >= 3)
    warming.stop()
    done = len(rounds)
    await asyncio.sleep(0.02)
    assert len(rounds) == done


def test_after_a_step_it_works_no_more_than_once_per_interval() -> None:
    rounds: list[int] = []
    warming = CacheWarming(rounds.append, 3_600.0, SystemClock(), lambda: True)
    for _ in range(3):
        warming.after_step()
    assert len(rounds) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_processors_that_are_not_there_are_refused_by_name() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ConfigError, match=r"process.processors.risk = \[4096\]; .* may use "):
        keep_to((4096,), "process.processors.risk")
    with pytest.raises(ConfigError, match="may use"):
        keep_to((), "process.processors.risk")
    assert os.sched_getaffinity(0) == before


def test_processors_of_an_unknown_service_are_refused() -> None:
    text = "[process]\nprocessors = { scaner = [1] }\n"
    with pytest.raises(ConfigError, match=r"process\.processors names scaner"):
        parse_config(text, "arb.toml")
