"""Risk repeats closed rounds for who has lost their end, but not all of them each second."""

from __future__ import annotations

from services.risk.closed_rounds import FIRST_REPEATS
from services.risk.engine import RiskEngine
from services.risk.rounds import ROUNDS_CLOSED_MAX
from shared.messages.base import Certainty
from shared.messages.execution import FundingKnown
from shared.messages.rounds import RoundState, StrategyPosition
from shared.strategies.built_in.spot_perp_basis import SpotPerpBasis
from tests.decision_builders import SECOND, T0, make_risk
from tests.unit.test_risk_rounds import approve, closing, config, execute, opened, opening

MS = SECOND // 1_000


def closed_rounds(count: int) -> RiskEngine:
    """Risk with rounds r0, r1, ... that were opened and closed one after another."""
    engine = make_risk(config(plans_in_flight_max=10_000))
    for number in range(count):
        now_ns = T0 + number * MS
        name = f"r{number}"
        for found in (opening("0.001", round_id=name), closing("0.001", round_id=name)):
            execute(engine, approve(engine, found, now_ns), now_ns)
    return engine


def report(engine: RiskEngine) -> list[StrategyPosition]:
    """The rounds that the next report tells."""
    out = engine.on_timer(T0 + SECOND).messages
    return [each for each in out if isinstance(each, StrategyPosition)]


def ends_told(engine: RiskEngine) -> list[str]:
    told = report(engine)
    assert {each.state for each in told} <= {RoundState.CLOSED}
    return [each.round_id for each in told]


def test_who_lost_the_end_of_rounds_learns_of_each_in_turn() -> None:
    """A strategy that heard nothing of them for a minute, as at a standstill."""
    engine = closed_rounds(ROUNDS_CLOSED_MAX)
    names = {f"r{number}" for number in range(ROUNDS_CLOSED_MAX)}
    lost = [ends_told(engine) for _ in range(60)]
    assert [set(each) for each in lost[:FIRST_REPEATS]] == [names] * FIRST_REPEATS
    assert all(len(each) == 1 for each in lost[FIRST_REPEATS:])
    heard = [ends_told(engine) for _ in range(ROUNDS_CLOSED_MAX)]
    assert {name for each in heard for name in each} == names


def test_a_round_that_closes_later_is_told_beside_the_one_whose_turn_it_is() -> None:
    engine = closed_rounds(ROUNDS_CLOSED_MAX)
    for _ in range(10):
        ends_told(engine)
    for found in (opening("0.001", round_id="new"), closing("0.001", round_id="new")):
        execute(engine, approve(engine, found, T0 + SECOND), T0 + SECOND)
    assert len(engine.ledger.rounds.rounds) == ROUNDS_CLOSED_MAX  # the oldest one is forgotten
    told = [ends_told(engine) for _ in range(FIRST_REPEATS + 40)]
    assert [("new" in each, len(each)) for each in told[:FIRST_REPEATS]] == [(True, 2)] * 3
    assert all(len(each) == 1 for each in told[FIRST_REPEATS:])
    assert "r0" not in {name for each in told for name in each}


def test_a_process_that_starts_repeats_every_closed_round() -> None:
    engine = closed_rounds(5)
    for _ in range(20):
        ends_told(engine)
    another = make_risk(config())
    another.start(engine.checkpoints(), T0 + SECOND)
    assert ends_told(another) == [f"r{number}" for number in range(5)]


def test_a_closed_round_is_told_once_its_funding_is_known() -> None:
    engine = closed_rounds(10)
    for _ in range(5):
        ends_told(engine)
    known = FundingKnown(ts_ns=T0, venue="gamma", ts_known_ns=T0 + 9 * SECOND, reason="")
    engine.on_message(known, T0 + SECOND)
    assert [each.funding_certainty for each in report(engine)] == [Certainty.KNOWN] * 10
    assert len(ends_told(engine)) == 1


def test_a_strategy_that_lost_the_end_of_its_round_does_not_hold_it_for_ever() -> None:
    """It was told that the round is open, then nothing until the first repeats were over."""
    engine = opened()
    strategy = SpotPerpBasis("basis", SpotPerpBasis.Params())
    for told in report(engine):
        strategy.on_position(told, T0 + SECOND)
    assert [*strategy.rounds] == ["r1"]
    execute(engine, approve(engine, closing()))
    for number in range(8):
        name = f"other{number}"
        for found in (opening("0.001", round_id=name), closing("0.001", round_id=name)):
            execute(engine, approve(engine, found, T0 + number * MS), T0 + number * MS)
    for _ in range(FIRST_REPEATS + 1):
        report(engine)
    reports = 0
    while strategy.rounds:
        reports += 1
        for told in report(engine):
            strategy.on_position(told, T0 + SECOND)
    assert 0 < reports <= 9
