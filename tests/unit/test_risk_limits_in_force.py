"""Limits that an operator changes while risk runs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from shared.limit_changes import limits_hash
from shared.messages.base import Message
from shared.messages.control import Alert, CommandKind
from shared.messages.execution import ApprovedPlan, Denied, RiskReport
from shared.messages.limits import LimitsReport
from tests.decision_builders import (
    SECOND,
    T0,
    make_command,
    make_config,
    make_limits_change,
    make_opportunity,
    make_risk,
)

LATER = T0 + SECOND


def told_by(engine: RiskEngine, now_ns: int = LATER) -> LimitsReport:
    (report,) = [m for m in engine.on_timer(now_ns).messages if isinstance(m, RiskReport)]
    assert report.limits is not None
    return report.limits


def alerts(out: Sequence[Message]) -> list[tuple[str, str]]:
    return [(m.code, m.text) for m in out if isinstance(m, Alert)]


def decided(engine: RiskEngine, seq: int = 1) -> Message:
    out = engine.on_message(make_opportunity(seq=seq), T0).messages
    (decision,) = [m for m in out if isinstance(m, ApprovedPlan | Denied)]
    return decision


def halted() -> RiskEngine:
    engine = make_risk()
    engine.on_message(make_command(CommandKind.HALT), T0)
    return engine


def test_a_tighter_limit_holds_for_the_next_decision() -> None:
    engine = make_risk()
    assert isinstance(decided(engine), ApprovedPlan)
    out = engine.on_message(make_limits_change(engine, order_notional_max="10"), T0).messages
    ((code, text),) = alerts(out)
    told = told_by(engine)
    assert (told.in_force["order_notional_max"], told.refused) == ("10", "")
    named = limits_hash(told.in_force)
    assert code == "LIMITS_CHANGED"
    assert text == f"by ann: order_notional_max 10000 -> 10; limits {named} are in force"
    denied = decided(engine, seq=2)
    assert isinstance(denied, Denied)
    assert denied.reason == DenyReason.ORDER_NOTIONAL


def test_a_limit_that_was_none_is_asked_for() -> None:
    """Rules whose limit is nowhere set are left out: a change puts them back."""
    engine = make_risk(make_config(depeg_bps_max=0.0))
    engine.on_message(make_limits_change(engine, plan_portfolio_bps_max="0.001"), T0)
    denied = decided(engine)
    assert isinstance(denied, Denied)
    assert denied.reason == DenyReason.PORTFOLIO_SHARE


@pytest.mark.parametrize("name", ["venue_notional_max", "daily_loss_max"])
def test_a_looser_limit_is_refused_unless_halted(name: str) -> None:
    engine = make_risk()
    before = told_by(engine, T0)
    looser = {name: "900000"}
    out = engine.on_message(make_limits_change(engine, **looser), T0).messages
    ((code, text),) = alerts(out)
    told = told_by(engine)
    assert code == "LIMITS_REFUSED"
    assert told.refused == f"trading is ACTIVE, and only HALTED allows looser limits: {name}"
    assert told.refused in text
    assert told.in_force == before.in_force

    engine = halted()
    change = make_limits_change(engine, **looser)
    ((code, _),) = alerts(engine.on_message(change, T0).messages)
    told = told_by(engine)
    assert (code, told.in_force[name]) == ("LIMITS_CHANGED", "900000")
    assert (told.command, told.refused) == (change.command_id, "")


def test_one_that_is_refused_refuses_all() -> None:
    engine = make_risk()
    change = make_limits_change(engine, daily_loss_max="1", venue_notional_max="900000")
    engine.on_message(change, T0)
    assert told_by(engine).in_force["daily_loss_max"] == "1000"


def test_what_the_executor_checks_too_is_refused_also_while_halted() -> None:
    engine = halted()
    engine.on_message(make_limits_change(engine, order_notional_max="90000"), T0)
    assert "restart of the executor" in told_by(engine).refused


def test_one_of_another_mode_is_refused() -> None:
    engine = make_risk()
    engine.on_message(make_limits_change(engine, mode="live", daily_loss_max="1"), T0)
    assert told_by(engine).refused == "it is for mode live, this is paper"


def test_one_by_somebody_who_saw_other_limits_is_refused() -> None:
    engine = make_risk()
    old = make_limits_change(engine, daily_loss_max="500")
    engine.on_message(make_limits_change(engine, number=2, daily_loss_max="100"), T0)
    engine.on_message(old, T0)
    told = told_by(engine)
    assert told.in_force["daily_loss_max"] == "100"
    assert told.refused == "risk.daily_loss_max is 100 by now, not 1000; look again"


def test_what_is_in_force_already_is_confirmed() -> None:
    """Risk was down when it was given, and has read the file since."""
    engine = make_risk()
    change = make_limits_change(engine, daily_loss_max="1000")
    change = msgspec.structs.replace(change, before={"daily_loss_max": "7"})
    engine.on_message(change, T0)
    told = told_by(engine)
    assert (told.command, told.refused) == (change.command_id, "")


@pytest.mark.parametrize(("name", "text"), [("daily_loss_max", "x"), ("start_active", "true")])
def test_nonsense_is_refused(name: str, text: str) -> None:
    engine = make_risk()
    engine.on_message(make_limits_change(engine, **{name: text}), T0)
    assert told_by(engine).refused.startswith(f"risk.{name}")


def test_one_told_again_counts_once() -> None:
    engine = make_risk()
    first = make_limits_change(engine, daily_loss_max="100")
    engine.on_message(first, T0)
    engine.on_message(make_command(CommandKind.HALT), T0)
    engine.on_message(make_limits_change(engine, number=2, daily_loss_max="1000"), T0)
    assert not alerts(engine.on_message(first, T0, redelivered=True).messages)
    assert told_by(engine).in_force["daily_loss_max"] == "1000"


def test_an_older_copy_of_the_bus_changes_nothing() -> None:
    engine = halted()
    engine.note_loss("a fail-over lost data", LATER)
    engine.on_message(make_limits_change(engine, T0, venue_notional_max="900000"), LATER)
    assert "before a loss of data" in told_by(engine, LATER + SECOND).refused


def revived(engine: RiskEngine, *, read_ns: int, **limits: D) -> RiskEngine:
    """Another process, which read its file at that time, with what the first one saved."""
    engine.note_loss("so that all is saved again", LATER)
    other = RiskEngine(make_config(**limits), read_ns=read_ns)
    other.start(engine.checkpoints(), LATER)
    return other


def test_a_standby_that_read_its_file_before_takes_the_change_over() -> None:
    engine = make_risk()
    engine.on_message(make_limits_change(engine, order_notional_max="10"), T0)
    other = revived(engine, read_ns=T0 - 1)
    assert told_by(other) == told_by(engine)
    assert other.limits.config.risk.order_notional_max == 10


def test_a_start_reads_the_file() -> None:
    engine = make_risk()
    engine.on_message(make_limits_change(engine, daily_loss_max="100"), T0)
    other = revived(engine, read_ns=T0 + 1, daily_loss_max=D(300))
    assert told_by(other).in_force["daily_loss_max"] == "300"
    # And nothing of the change comes back with a process that knows only an older file.
    assert told_by(revived(other, read_ns=0)).in_force["daily_loss_max"] == "1000"
