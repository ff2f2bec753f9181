"""Whatever is said in between: a replay decides the same, and a standby goes on as it was."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from services.risk.engine import RiskEngine
from shared.limit_changes import LIVE, is_looser
from shared.messages.base import Message, TradingState
from shared.messages.control import Alert, Command, CommandKind, LimitsChange
from shared.messages.execution import ApprovedPlan, Denied, RiskReport
from shared.messages.limits import LimitsReport
from tests.decision_builders import (
    MS,
    T0,
    make_command,
    make_config,
    make_limits_change,
    make_opportunity,
    make_risk,
)

NAMES = sorted(LIVE)
CHANGES = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from(["0", "0.5", "1", "20", "3000", "x"]), max_size=3
)
STEPS = st.lists(
    st.one_of(
        CHANGES, st.sampled_from([CommandKind.HALT, CommandKind.RESUME]), st.just("opportunity")
    ),
    max_size=12,
)


def told_by(engine: RiskEngine, now_ns: int) -> tuple[LimitsReport, TradingState]:
    (report,) = [m for m in engine.on_timer(now_ns).messages if isinstance(m, RiskReport)]
    assert report.limits is not None
    return report.limits, report.state


def inputs_of(steps: Sequence[object], engine: RiskEngine) -> list[tuple[Message, int]]:
    """The steps as messages, each of an operator who sees what is in force; taken by ``engine``."""
    inputs: list[tuple[Message, int]] = []
    for number, step in enumerate(steps):
        now_ns = T0 + number * MS
        message: Message = make_opportunity(seq=number, now_ns=now_ns)
        if isinstance(step, CommandKind):
            message = make_command(step, now_ns)
        elif isinstance(step, dict):
            message = make_limits_change(engine, now_ns, number=number, **step)
        before, state = told_by(engine, now_ns)
        engine.on_message(message, now_ns)
        inputs.append((message, now_ns))
        after, _ = told_by(engine, now_ns)
        if not isinstance(message, LimitsChange):
            assert after == before
        elif after.refused:
            assert after.in_force == before.in_force
        elif state is not TradingState.HALTED:
            for name, text in after.in_force.items():
                assert not is_looser(name, before.in_force[name], text), name
    return inputs


def said(engine: RiskEngine, inputs: Sequence[tuple[Message, int]]) -> list[Message]:
    """Decisions and alerts that follow from the inputs."""
    out: list[Message] = []
    for message, now_ns in inputs:
        told_by(engine, now_ns)
        given = engine.on_message(message, now_ns).messages
        out += [m for m in given if isinstance(m, ApprovedPlan | Denied | Alert)]
        told_by(engine, now_ns)
    return out


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, cut=st.integers(0, 12))
def test_a_replay_says_the_same_and_a_standby_goes_on(steps: list[object], cut: int) -> None:
    inputs = inputs_of(steps, make_risk())
    once, again = make_risk(), make_risk()
    assert said(once, inputs) == said(again, inputs)

    first = make_risk()
    said(first, inputs[:cut])
    first.note_loss("all is saved again", T0 + len(steps) * MS)
    standby = RiskEngine(make_config())
    now_ns = T0 + len(steps) * MS
    standby.start(first.checkpoints(), now_ns)
    assert told_by(standby, now_ns)[0] == told_by(first, now_ns)[0]
    commands = [(m, t) for m, t in inputs[:cut] if isinstance(m, Command | LimitsChange)]
    assert said(standby, commands) == [], "what it took before counts once"
