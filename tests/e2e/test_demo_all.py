"""`arb demo --strategies all`: every built-in strategy at once, on a market that has them all."""

from __future__ import annotations

import pytest

from shared.strategy_files import built_ins
from tests.e2e.test_demo import check_money, check_nothing_naked, running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_every_built_in_strategy_runs_and_the_accounts_are_equal() -> None:
    options = ("--strategies", "all", "--seconds", "45", "--seed", "7", "--json")
    with running("demo", *options) as arb:
        report = arb.report(timeout_s=240)
    assert not report["problems"]
    assert report["orders"]["unknown"] == 0
    assert report["open_orders"] == 0
    assert report["ledger_equal"] is True, report["ledger_differences"]
    check_money(report)
    printed = report["strategies"]
    assert set(printed) == set(built_ins())
    assert printed["lead_lag"].startswith("only watches"), printed
    assert "traded" in {printed["triangular"], printed["conversion"]}, report["near_misses"]
    check_nothing_naked(report)  # rounds may be open, each with its hedge
