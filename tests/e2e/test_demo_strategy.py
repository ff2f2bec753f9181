"""The tutorial, as a new user follows it: a file, six lines, and it trades in the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_demo import check_sound, running
from tests.unit.test_strategy_docs import block

pytestmark = pytest.mark.e2e

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
