"""What a process logs of what it publishes: plans that end, the trading state, alerts."""

from __future__ import annotations

import json
import logging
from decimal import Decimal

import msgspec
import pytest

from shared.logs import JsonFormatter
from shared.messages.base import TradingState
from shared.messages.control import Alert, Severity
from shared.messages.execution import PlanOutcome, TradingStateChanged
from shared.runtime.log_lines import LogLines
from tests.decision_builders import T0, make_done, make_view


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    """Publish messages and return the lines that they make, as an operator reads them."""
    caplog.set_level(logging.INFO)
    teller, form = LogLines(), JsonFormatter("executor", "executor-1")

    def publish(*messages) -> list[dict]:
        caplog.clear()
        teller.published(messages)
        told = [json.loads(form.format(record)) for record in caplog.records]
        return [
            {k: v for k, v in line.items() if k not in {"ts", "service", "instance"}}
            for line in told
        ]

    return publish


def test_a_plan_that_ends_is_a_line(lines) -> None:
    done = msgspec.structs.replace(
        make_done("a3f16a01e59b", T0, realized=Decimal("1.25")), strategy="cross_venue"
    )
    (line,) = lines(make_view("alpha", "BTC/USDT"), done)
    assert line["event"] == "plan_done" and line["level"] == "info"
    told = {name: line[name] for name in ("plan", "strategy", "outcome", "realized", "quote")}
    assert told == {
        "plan": "a3f16a01e59b",
        "strategy": "cross_venue",
        "outcome": done.outcome,
        "realized": "1.25",
        "quote": done.quote,
    }
    failed = msgspec.structs.replace(
        done, outcome=PlanOutcome.FAILED, residual={"BTC": Decimal("0.5")}, reason="no book"
    )
    (line,) = lines(failed)
    assert (line["level"], line["residual"], line["reason"]) == (
        "warning",
        {"BTC": "0.5"},
        "no book",
    )


def test_the_trading_state_is_a_line_when_it_changes(lines) -> None:
    def state(which: TradingState, reason: str) -> TradingStateChanged:
        return TradingStateChanged(ts_ns=T0, state=which, reason=reason, ts_since_ns=T0)

    halted = state(TradingState.HALTED, "WAITING: the executor is silent for 3 s")
    assert [line["reason"] for line in lines(halted)] == [halted.reason]
    assert not lines(halted, state(TradingState.HALTED, "WAITING: the executor is silent for 4 s"))
    (line,) = lines(state(TradingState.ACTIVE, ""))
    assert (line["event"], line["state"]) == ("trading", "ACTIVE")


def test_an_alert_is_a_line_of_its_severity(lines) -> None:
    alert = Alert(
        ts_ns=T0, service="risk", severity=Severity.CRITICAL, code="DATA_LOST", text="it is gone"
    )
    (line,) = lines(alert)
    assert line == {"level": "error", "event": "alert", "code": "DATA_LOST", "text": "it is gone"}
    (line,) = lines(msgspec.structs.replace(alert, over=True))
    assert (line["level"], line["over"]) == ("info", True)
