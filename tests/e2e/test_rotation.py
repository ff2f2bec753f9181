"""Secrets are changed while it trades: no plan fails, none is lost, none is carried out twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.acl import USERS
from shared.streams import ALERT
from tests.chaos.judge import Report, judge, wind_down
from tests.own_stack import RUNNING, OwnStack
from tests.rotation import Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[OwnStack]:
    with Deployment(tmp_path) as deployment, OwnStack(tmp_path, deployment) as running:
        running.wait_until_well()
        yield running


def judged(stack: OwnStack) -> Report:
    """Halt and stop it; return what the ledger has, and what is wrong with it."""
    report = Report(0)
    wind_down(stack, report)
    stack.stop()
    judge(stack.ledger_file, report, stack.before, stack.accounts())
    return report


def test_every_redis_password_is_changed_without_a_failed_plan(stack: OwnStack) -> None:
    before = stack.deployment.passwords()
    assert stack.deployment.rotate("begin")[0] == 0
    for name in RUNNING:
        stack.restart(name)
    stack.redis = stack.login()  # the operator's next command reads the new password
    code, said = stack.deployment.rotate("finish")
    assert code == 0, said
    dropped_ns = time.time_ns()
    stack.wait_until_well(dropped_ns)
    assert not any(stack.deployment.accepts(user, before[user]) for user in USERS)
    report = judged(stack)
    assert not report.problems, report.as_json()
    assert sum(report.plans.values()) > len(RUNNING)
    assert not stack.ended, "nobody ended but those who were restarted"


def test_signing_keys_are_changed_without_a_failed_plan(stack: OwnStack) -> None:
    before = stack.command_key()
    for step in ("begin", "switch", "finish"):
        code, said = stack.deployment.rotate("keys", step)
        assert code == 0, said
        for name in ("executor", "risk", "sentinel"):
            stack.restart(name)
        noted = stack.ready()["executor"].notes
        assert ("plan key" in noted) == (step != "finish"), noted
    assert stack.command_key() != before
    assert "ENTRY_UNVERIFIED" not in {alert.code for alert in stack.newest(ALERT)}
    report = judged(stack)
    assert not report.problems, report.as_json()
    assert not stack.ended


def test_keys_of_a_venue_are_changed_without_losing_an_order(stack: OwnStack) -> None:
    """Only Kraken's simulation has several keys: nonces are counted for each."""
    stack.change_venue_key("executor", "kraken", "thirdKey")
    stack.restart("executor")
    assert "key of kraken" in stack.ready()["executor"].notes
    stack.change_venue_key("sentinel", "kraken", "apiKey")
    stack.restart("sentinel")
    stack.change_venue_key("executor", "kraken", "secondKey")
    stack.kill_with_orders_out("executor")
    assert stack.ended == [("executor", -9)]
    report = judged(stack)
    assert not report.problems, report.as_json()
    assert sum(report.plans.values()) > 3
