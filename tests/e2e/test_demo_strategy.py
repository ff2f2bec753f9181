"""The tutorial, as a new user follows it: a file, six lines, and it trades in the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_demo import check_sound, running
from tests.unit.test_strategy_docs import block

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BROKEN = """
from shared.strategies.port import Params, Strategy

class BrokenParams(Params, frozen=True):
    pass

class Broken(Strategy[BrokenParams]):
    def on_depth(self, view, now_ns):
        raise ValueError("on purpose")
"""


def test_a_strategy_of_ones_own_trades_beside_one_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "tight_books.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    lines = block("toml") + '\n[[strategies]]\nid = "broken"\nclass = "broken.py"\n'
    (tmp_path / "arb.toml").write_text(lines, encoding="utf-8")
    options = ("--seconds", "20", "--seed", "11", "--json")
    with running("demo", *options, "--strategies", str(tmp_path / "arb.toml")) as arb:
        report = arb.report()
    check_sound(report)
    assert report["plans"]["approved"] > 0
    assert report["fills"] > 0
    assert set(report["pnl_by_strategy"]) == {"tight-1"}
    disabled = [text for text in report["alerts"] if "STRATEGY_DISABLED" in text]
    assert len(disabled) == 1
    assert "broken.py:9" in disabled[0]


DIES = """
from decimal import Decimal
from shared.messages.arb import Target
from shared.messages.base import BookState
from shared.strategies.port import Depth, Params, Strategy
from shared.strategies.signals import Conviction, make_signal

class DiesParams(Params, frozen=True):
    pass

class Dies(Strategy[DiesParams]):
    def set_up(self):
        self.next_ns = 0

    def inputs(self):
        return [Depth("", "BTC/USDT:USDT")]

    def on_depth(self, view, now_ns):
        if view.state is not BookState.LIVE or now_ns < self.next_ns:
            return []
        self.next_ns = now_ns + 2_000_000_000
        wanted = Conviction(Target.LONG, Decimal("0.5"))
        return [make_signal(self.id, f"r{now_ns}", view, wanted, now_ns=now_ns)]

    def on_position(self, position, now_ns):
        if any(leg.qty for leg in position.legs):
            raise ValueError("on purpose")
        return []
"""
DIES_LINES = """
[[strategies]]
id = "dies"
class = "dies.py"
on_disable = "keep"
directional_notional_max = 20000
directional_equity = 100000
"""


def test_the_stop_of_a_strategy_that_died_closes_its_round(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES, encoding="utf-8")
    (tmp_path / "arb.toml").write_text(DIES_LINES, encoding="utf-8")
    options = ("--seconds", "20", "--seed", "7", "--json")
    with running("demo", *options, "--strategies", str(tmp_path / "arb.toml")) as arb:
        report = arb.report()
    alerts = report["alerts"]
    assert sum("STRATEGY_DISABLED" in text for text in alerts) == 1
    assert sum("STOP_REACHED" in text for text in alerts) == 1
    # One opened and one closed; on a busy machine a price may move away first: another try.
    outcomes = report["plans"]["outcomes"]
    assert outcomes["FILLED"] >= 2
    assert set(outcomes) <= {"FILLED", "UNFILLED", "EXPIRED", "UNWOUND"}
    assert report["positions"] == []
    assert report["ledger_equal"]
    assert not report["problems"]
