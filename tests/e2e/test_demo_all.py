"""`arb demo --strategies all`: every built-in strategy at once, on a market that has them all."""

from __future__ import annotations

import pytest

from shared.strategy_files import built_ins
from tests.e2e.test_demo import check_money, check_nothing_naked, running

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


ONLY_WATCH = {"lead_lag"}
TRADE_INVERSE = ("spot_perp_basis", "funding_carry", "operator", "netted")
"""Whose results in BTC are coins that an inverse contract paid; the operator closes rounds."""


def test_every_built_in_strategy_trades_and_the_accounts_are_equal() -> None:
    options = ("--strategies", "all", "--seconds", "60", "--seed", "7", "--json")
    with running("demo", *options) as arb:
        report = arb.report(timeout_s=240)
    assert not report["problems"]
    assert report["orders"]["unknown"] == 0
    assert report["open_orders"] == 0
    assert report["ledger_equal"] is True, report["ledger_differences"]
    check_money(report)
    printed = report["strategies"]
    trading = set(built_ins()) - ONLY_WATCH
    assert printed.keys() == trading | ONLY_WATCH
    idle = {name: printed[name] for name in trading if printed[name] != "traded"}
    assert not idle, report["near_misses"]
    assert trading <= report["pnl_by_strategy"].keys()
    for name in ONLY_WATCH:
        assert printed[name].startswith("only watches"), printed
        said = [key for key in report["indications"] if key.startswith(f"{name} ")]
        assert said, report["indications"]
    # Rounds may be open, each with its hedge; those of the inverse contract pay in coins.
    earned = [report["pnl_by_strategy"].get(name, {}).get("BTC") for name in TRADE_INVERSE]
    check_nothing_naked(report, {"BTC": sum(each["realized"] for each in earned if each)})
