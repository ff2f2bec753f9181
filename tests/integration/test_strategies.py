"""Strategies in the scanner's own process: faults, several scanners, and what they remember."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.control import Alert, Heartbeat
from shared.messages.market import Trade
from shared.process import parse
from tests.decision_builders import SECOND
from tests.integration.test_cli import arb_meanwhile
from tests.integration.test_scanner_risk import world
from tests.strategy_files import HEAD, TRADES, write_strategy
from tests.support import eventually
from tests.unit.test_warm_up_from_store import rows_of, write_segment

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


async def test_the_others_go_on_and_status_says_why(url: str, tmp_path: Path) -> None:
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
        assert "10 calls within 60 s used more than 20 ms" in disabled()["slow"]
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


SHARED = """
[[strategies]]
id = "cross"
class = "cross_venue"
params = { cooldown_ms = 50 }

[[strategies]]
id = "mine"
class = "mine.py"

[[strategies]]
id = "once"
class = "once.py"
"""
ONCE = TRADES.replace("self.pairs = ", "self.left = 1; self.pairs = ").replace(
    "return [each for each in found if isinstance(each, Opportunity)]",
    "found = [each for each in found if isinstance(each, Opportunity)][: self.left]\n"
    "        self.left -= len(found)\n        return found\n\n"
    "    def on_held_back(self, held, now_ns):\n        self.left += 1",
)
"""Trades once and never again, as long as it remembers that; what is held back does not count."""


HANDED_OVER_S = 60
"""Within this a scanner that came or went has been noticed, and leases have been handed over."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("shards", [1, 2])
async def test_two_scanners_share_strategies_and_their_memory(
    url: str,
    tmp_path: Path,
    shards: int,
) -> None:
    for name, body in {"mine": TRADES, "once": ONCE}.items():
        write_strategy(tmp_path, body, f"{name}.py")
    async with world(url, tmp_path, shards, more=SHARED) as w:
        w.bid = 10_080.0
        for name in ("scanner-a", "scanner-b"):
            await w.spawn("scanner", name)
        for name in ("scanner-a", "scanner-b"):
            await w.is_ready(name)

        def found(strategy: str) -> list[str]:
            return [m.opportunity_id for m in w.all(Opportunity) if m.strategy_id == strategy]

        async def holder(strategy: str) -> str:
            owner = parse(await w.lease_holder(f"scanner:strategy:{strategy}"))
            pid = "" if owner is None else owner.pid
            return next((name for name, each in w.processes.items() if str(each.pid) == pid), "")

        await eventually(lambda: len(found("mine")) > 20 and found("cross"), timeout_s=20)
        await eventually(lambda: len(found("once")) == 1, timeout_s=20)
        by_name: dict[str, str] = {}
        async with asyncio.timeout(HANDED_OVER_S):
            while set(by_name.values()) != {"scanner-a", "scanner-b"}:  # one each
                await asyncio.sleep(0.05)
                by_name = {name: await holder(name) for name in ("mine", "once")}
        w.seen.clear()  # who has just taken over reads the newest views once more
        await eventually(lambda: len(found("mine")) > 50, timeout_s=20)
        assert len(set(found("mine"))) == len(found("mine")), "and none ran twice"
        w.seen.clear()
        assert await w.stop(by_name["once"]) == 0
        (left,) = w.processes
        async with asyncio.timeout(HANDED_OVER_S):
            while await holder("once") != left:
                await asyncio.sleep(0.05)
        w.seen.clear()
        await eventually(lambda: len(found("mine")) > 50, timeout_s=20)
        assert not found("once"), "it knows that it has traded"


WARM = """
[[strategies]]
id = "warm"
class = "warm.py"
"""
BARS_WANTED = 20
WARM_BODY = TRADES.replace("self.pairs = ", "self.bars = 0; self.pairs = ").replace(
    "[each for each in found if isinstance(each, Opportunity)]",
    f"[e for e in found if isinstance(e, Opportunity) and self.bars >= {BARS_WANTED}]",
)
WARM_BODY += """
    def inputs(self):
        return [Depth(), Bars("alpha", "BTC/USDT", 1, 100)]

    def on_bar(self, bar, now_ns):
        self.bars += bar.complete
        return []
"""


async def test_what_the_stream_keeps_of_trades_warms_a_strategy_up(
    url: str,
    tmp_path: Path,
) -> None:
    head = HEAD.replace("import Depth,", "import Bars, Depth,")
    write_strategy(tmp_path, WARM_BODY, "warm.py", head=head)
    async with world(url, tmp_path, more=WARM) as w:
        w.bid = 10_080.0
        now_ns = SystemClock.now_ns()
        trades = [
            Trade(
                venue="alpha",
                instrument="BTC/USDT",
                trade_id=str(number),
                side=Side.BUY,
                price=10_000.0,
                qty=0.1,
                ts_recv_ns=now_ns + (number - 80) * SECOND // 2,
                ts_venue_ns=now_ns + (number - 80) * SECOND // 2,
            )
            for number in range(60)
        ]
        for begin in range(0, len(trades), 7):
            await w.say(*trades[begin : begin + 7])
        await w.spawn("scanner")
        # Nothing is traded any more: all its bars are of what was traded before.
        await eventually(lambda: w.all(Opportunity), timeout_s=20, what="a strategy that is warm")


STORED = """
[venues.kraken]
instruments = ["BTC/USDT"]

[recorder]
enabled = true
dir = "{root}"

[[strategies]]
id = "warm"
class = "warm.py"
"""
STORED_BODY = TRADES.replace("self.pairs = ", "self.closes = []; self.pairs = ").replace(
    "[each for each in found if isinstance(each, Opportunity)]",
    "[each for each in found if isinstance(each, Opportunity) and len(self.closes) >= 60]",
)
STORED_BODY += """
    def inputs(self):
        return [Depth(), Bars("kraken", "BTC/USDT", 1, 100)]

    def warmup(self):
        return Warmup(span_ms=60_000)

    def on_bar(self, bar, now_ns):
        self.closes += [bar.close] if bar.complete else []
        return []

    def gauges(self):
        right = [min(self.closes[0] + n, 10_119.0) for n, _ in enumerate(self.closes)]
        return {"closes": len(self.closes), "closes_wrong": int(right != self.closes)}
"""


@pytest.mark.parametrize("has_store", [True, False])
async def test_what_the_bus_forgot_comes_from_the_recorders_store(
    url: str,
    tmp_path: Path,
    has_store: bool,
) -> None:
    """120 s in the store, the last 20 of them also on the bus: it trades at once, or waits."""
    head = HEAD.replace("import Depth,", "import Bars, Depth,")
    write_strategy(tmp_path, STORED_BODY, "warm.py", head=head)
    begin_ns = SystemClock.now_ns() // SECOND * SECOND - 120 * SECOND
    trades = [
        Trade(
            venue="kraken",
            instrument="BTC/USDT",
            trade_id=str(number),
            side=Side.BUY,
            price=10_000.0 + number,
            qty=0.1,
            ts_recv_ns=begin_ns + number * SECOND,
            ts_venue_ns=begin_ns + number * SECOND,
        )
        for number in range(1, 120)
    ]
    if has_store:
        write_segment(tmp_path / "data", rows_of(trades, opens=False))
    more = STORED.replace("{root}", str(tmp_path / "data"))
    async with world(url, tmp_path, more=more) as w:
        w.bid = 10_080.0
        await w.say(*trades[-20:])
        await w.spawn("scanner")
        if not has_store:
            await eventually(
                lambda: (beats := w.all(Heartbeat)) and "strategy warm" in beats[-1].notes,
                timeout_s=20,
                what="a strategy that says that it warms up",
            )
            note = w.last(Heartbeat).notes["strategy warm"]
            assert note.startswith("warming up: ")
            told = await eventually(
                lambda: "there is no store at" in w.last(Heartbeat).notes["strategy warm"],
                timeout_s=20,
            )
            assert told
            assert not w.all(Opportunity)
            shown = await arb_meanwhile("status", "--redis", url)
            assert "scanner: strategy warm: warming up: until " in shown.stdout
            config = tmp_path / "listed.toml"  # without the venues that only this test knows
            config.write_text(more)
            listed = await arb_meanwhile(
                "strategy", "list", "--config", str(config), "--redis", url
            )
            assert "warming up: until " in listed.stdout
            assert "there is no store at" in " ".join(listed.stdout.split())
            return
        await eventually(lambda: w.all(Opportunity), timeout_s=30, what="a strategy that is warm")
        w.seen.clear()
        gauges = (await eventually(lambda: w.all(Heartbeat), timeout_s=20))[-1].gauges
        assert gauges["closes"] >= 60
        assert not gauges["closes_wrong"], "every second's close, none twice and none left out"
