"""What an alert or a restart is told as: anew, again or over."""

from __future__ import annotations

from typing import Any

import pytest

from shared.messages.control import Severity
from tests.unit.test_notifier_engine import MINUTE, NOW, Host, S


@pytest.fixture
def host() -> Host:
    return Host()


def sentinel(host: Host, **more: Any) -> None:
    given = {"service": "sentinel", "subject": "orderbook", "text": "silent", **more}
    host.alert("SENTINEL_SERVICE_DEAD", **given)


def test_a_restart_long_after_the_last_one_is_told_at_once_and_counted(host: Host) -> None:
    """As in the soak: 12 minutes after the one before, so that one is not over yet."""
    for _ in range(2):
        host.run(12 * MINUTE)
        host.since_ns["risk"] = host.now_ns
        host.run(2 * S)
    _, again = host.texts()
    assert again.splitlines()[0] == "[arbstream] again: WARNING ArbRestarted risk"
    assert "Times: 2, 1 of them not told yet" in again
    assert host.sent[-1][0] - NOW <= 24 * MINUTE + 4 * S


def test_what_an_alert_says_is_over_is_told_as_over_and_not_as_still(host: Host) -> None:
    sentinel(host)
    host.run(10 * S)
    sentinel(host, severity=Severity.INFO, text="it holds again", over=True)
    host.run(20 * MINUTE)
    began, over = host.texts()
    assert began.startswith("[arbstream] CRITICAL SENTINEL_SERVICE_DEAD orderbook")
    assert over.startswith("[arbstream] over: CRITICAL SENTINEL_SERVICE_DEAD orderbook")
    assert "(10 s)" in over
    sentinel(host)
    assert host.texts()[-1].startswith("[arbstream] CRITICAL SENTINEL_SERVICE_DEAD"), "anew"


def test_the_end_of_what_was_never_told_is_no_news(host: Host) -> None:
    sentinel(host, severity=Severity.INFO, over=True)
    host.run(MINUTE)
    assert host.texts() == []
