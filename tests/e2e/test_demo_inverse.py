"""Rounds of an inverse perpetual in the demo: our accounts in coins are the venues' own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_demo import check_money, running

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

# It opens at nearly any basis, and closes by time: what counts is that rounds happen.
BASIS = """
[[strategies]]
id = "inverse"
class = "spot_perp_basis"

[strategies.params]
perp_instrument = "BTC/USD:BTC"
open_bps = -20.0
close_bps = -90.0
held_hours_max = 0.004
"""


def test_rounds_of_an_inverse_perpetual_are_accounted_as_the_venues_do(tmp_path: Path) -> None:
    file = tmp_path / "arb.toml"
    file.write_text(BASIS, encoding="utf-8")
    options = ("--strategies", str(file), "--seconds", "25", "--seed", "7", "--json")
    with running("demo", *options) as arb:
        report = arb.report(timeout_s=240)
    assert not report["problems"]
    assert report["orders"]["unknown"] == 0
    assert report["ledger_equal"] is True, report["ledger_differences"]
    check_money(report)
    earned = report["pnl_by_strategy"]["inverse"]
    assert set(earned) == {"BTC", "USD"}, "the perpetual in coins, the spot in dollars"
    assert report["pnl"]["BTC"]["fees"] > 0
