"""A short chaos drill; ``make chaos`` does the long one."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import stack_up
from tests.chaos.drill import run

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(params=["single", "sentinel"])
def stack(request, monkeypatch):
    for name in (
        "COMPOSE_PROJECT_NAME",
        "COMPOSE_FILE",
        "ARB_REDIS_PORT",
        "ARB_METRICS_PORT",
        "ARB_DASHBOARD_PORT",
        "ARB_LEDGER",
    ):
        monkeypatch.setenv(name, "")  # what the drill sets is taken back after it
    with stack_up(with_sentinel=request.param == "sentinel") as up:
        yield up


def test_after_random_faults_the_ledger_is_what_the_venues_say(stack, tmp_path):
    report = run(stack, faults=6, seed=2, pause_s=3.0, directory=tmp_path)
    assert not report.problems, report.as_json()
    assert len(report.faults) == 6
    assert report.fills, "it traded meanwhile"
