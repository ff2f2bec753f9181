"""Strategies whose callbacks are not what a host can call: one line each, and the others trade."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.messages.arb import Opportunity
from shared.messages.base import Message
from shared.messages.control import Alert
from shared.strategies.callbacks import CALLBACKS
from shared.strategies.port import Strategy
from tests.decision_builders import T0, make_info, make_view
from tests.strategy_files import host_of, write_strategy

MINE, CROSS = 'id = "mine"\nclass = "mine.py"', 'id = "cross"\nclass = "cross_venue"'
RIGHT = "write def on_depth(self, view, now_ns)"
FLAWS = {
    "async": (
        "async def on_depth(self, view, now_ns): return []",
        f"on_depth is async, and nothing waits for it; {RIGHT}",
    ),
    "async set_up": ("async def set_up(self): self.x = 1", "set_up is async, and nothing waits"),
    "async inputs": ("async def inputs(self): return []", "inputs is async, and nothing waits"),
    "async generator": (
        "async def on_depth(self, view, now_ns): yield 1",
        "on_depth is async, and nothing waits",
    ),
    "generator": (
        "def on_depth(self, view, now_ns): yield 1",
        f"on_depth is a generator (yield); {RIGHT} and return a list",
    ),
    "too few arguments": (
        "def on_depth(self, view): return []",
        "on_depth cannot be called: too many positional arguments; " + RIGHT,
    ),
    "too many arguments": (
        "def on_timer(self, now_ns, more): return []",
        "on_timer cannot be called: missing a required argument: 'more'",
    ),
    "static": (
        "@staticmethod\n    def on_depth(view, now_ns): return []",
        f"on_depth is no method (staticmethod); {RIGHT}",
    ),
    "a property that ends the process": (
        "@property\n    def on_depth(self): raise SystemExit(2)",
        f"on_depth is no method (property); {RIGHT}",
    ),
    "a number": ("on_rules = 5", "on_rules is no method (int); write def on_rules(self, rules"),
    "by_base as a text": ("by_base = 'no'", "by_base is no bool; write by_base: ClassVar = True"),
    "another id": ("def set_up(self): self.id = 'cross'", "it changed self.id, which it is given"),
    "no params": ("def set_up(self): self.params = None", "it changed self.params, which it is"),
    "no near misses": (
        "def set_up(self): self.near_misses = None",
        "it changed self.near_misses, which counts for its host",
    ),
    "a time of near misses that is none": (
        "def on_depth(self, view, now_ns): self.near_misses.next_ns = 'soon'; return []",
        "it changed near_misses.next_ns",
    ),
}


@pytest.mark.parametrize(("body", "line"), FLAWS.values(), ids=FLAWS)
def test_each_gets_one_line_and_the_other_trades(tmp_path: Path, body: str, line: str) -> None:
    write_strategy(tmp_path, f"    {body}\n")
    host, _ = host_of(tmp_path, MINE, CROSS)
    out: list[Message] = list(host.start({}, T0).messages)
    for venue in ("alpha", "beta"):
        out += host.on_message(make_info(venue), T0).messages
    ask = make_view("alpha", asks=[(10_000.0, 1.0)], bids=[(1.0, 1.0)])
    bid = make_view("beta", bids=[(10_050.0, 1.0)], asks=[(1e6, 1.0)])
    for view in (ask, bid):
        out += host.on_message(view, T0).messages
    due_ns = host.next_deadline_ns()
    out += host.on_timer(due_ns or T0).messages
    (alert,) = [each for each in out if isinstance(each, Alert)]
    assert alert.subject == "mine"
    assert line in alert.text
    assert "\n" not in alert.text
    assert [each.strategy_id for each in out if isinstance(each, Opportunity)] == ["cross"]
    assert host.counters()["opportunities"] == 1


def test_counts_that_a_strategy_has_spoilt_harm_nobody(tmp_path: Path) -> None:
    write_strategy(
        tmp_path,
        "    def on_depth(self, view, now_ns): self.near_misses.totals = None; return []\n",
    )
    host, _ = host_of(tmp_path, MINE, CROSS)
    host.on_message(make_view("alpha"), T0)
    assert host.counters()["depth_views"] == 1


def test_every_callback_is_looked_at() -> None:
    public = {name for name in vars(Strategy) if not name.startswith("_")}
    assert public - {"Params", "by_base", "gates"} == set(CALLBACKS)
