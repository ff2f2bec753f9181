"""Strategies in the scanner's own process: one does not return, one is slow, one works."""

from __future__ import annotations

from pathlib import Path

from shared.messages.arb import Opportunity
from shared.messages.control import Alert
from tests.integration.test_cli import arb_meanwhile
from tests.integration.test_scanner_risk import url, world  # noqa: F401 - a fixture
from tests.strategy_files import TRADES, write_strategy
from tests.support import eventually

STRATEGIES = """
[[strategies]]
id = "cross"
class = "cross_venue"
params = { cooldown_ms = 50 }

[[strategies]]
id = "endless"
class = "endless.py"

[[strategies]]
id = "slow"
class = "slow.py"

[[strategies]]
id = "missing"
class = "missing.py"

[[strategies]]
id = "mine"
class = "mine.py"
"""
ENDLESS = """
    def set_up(self):
        self.seen = 0

    def on_depth(self, view, now_ns):
        self.seen += 1
        while self.seen > 5:
            try:
                pass
            except Exception:
                pass
        return []
"""
SLOW = """
    def on_depth(self, view, now_ns):
        return sum(range(3_000_000)) and []
"""


async def test_the_others_go_on_and_status_says_why(url: str, tmp_path: Path) -> None:  # noqa: F811
    for name, body in {"endless": ENDLESS, "slow": SLOW, "mine": TRADES}.items():
        write_strategy(tmp_path, body, f"{name}.py")
    async with world(url, tmp_path, more=STRATEGIES) as w:
        await w.spawn("scanner")
        await w.is_ready("scanner")

        def disabled() -> dict[str, str]:
            alerts = [m for m in w.all(Alert) if m.code == "STRATEGY_DISABLED"]
            return {alert.subject: alert.text for alert in alerts}

        await eventually(lambda: len(disabled()) == 3, timeout_s=60, what="three disabled")
        assert "DoesNotReturn: a call did not return within 1 s" in disabled()["endless"]
        assert "took more than 20 ms for a call 10 times" in disabled()["slow"]
        assert "missing.py: No such file or directory" in disabled()["missing"]
        w.seen.clear()
        w.bid = 10_080.0
        found = await eventually(
            lambda: {m.strategy_id for m in w.all(Opportunity)} >= {"cross", "mine"}, timeout_s=20
        )
        assert found
        shown = await arb_meanwhile("status", "--redis", url)
        for name, why in {"endless": "DoesNotReturn", "slow": "20 ms", "missing": "cannot"}.items():
            assert f"scanner: strategy {name}: disabled: " in shown.stdout
            assert why in shown.stdout
        assert await w.stop("scanner") == 0
