"""`arb why` on a real server: what it reads of the streams, and what it does not know."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time

from shared.embedded import EmbeddedServer
from shared.messages.base import TradingState
from shared.messages.execution import Denied, TradingStateChanged
from shared.streams import ARB_NEARMISS
from shared.watch.link import Link
from tests.decision_builders import (
    make_balances,
    make_beat,
    make_info,
    make_opportunity,
    make_ready,
    make_view,
)
from tests.integration.test_cli import arb_meanwhile, say
from tests.unit.test_why import CORE, miss, state


async def asked_meanwhile(link: Link, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask while services and books go on: the command may take long to start."""
    asked = asyncio.create_task(arb_meanwhile(*arguments))
    while not asked.done():
        now_ns = time.time_ns()
        beats = [make_beat(name, now_ns, gauges={"strategies": 1.0}) for name in CORE]
        views = [make_view(venue, ts_ns=now_ns) for venue in ("alpha", "beta")]
        await say(link, *views, make_ready(now_ns), *beats)
        await asyncio.wait([asked], timeout=0.5)
    return asked.result()


async def test_a_system_without_an_edge_waits_and_says_what_it_lacks(
    link: Link, server: EmbeddedServer
) -> None:
    await say(link, make_info("alpha"), make_info("beta"), miss())
    await say(link, make_balances("alpha"), make_balances("beta"), state())
    done = await asked_meanwhile(link, "why", "--redis", server.url)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "no edge: best -3.00 bps net (gross +17.02, fees" in " ".join(done.stdout.split())
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    asked = await asked_meanwhile(link, "why", "--json", "--redis", server.url)
    told = json.loads(asked.stdout)
    assert (told["verdict"], told["funnel"]["books"]["live"]) == ("WAITS", 2)
    assert told["not_known"] == []


async def test_with_everything_dead_the_last_state_and_the_silence_are_told(
    link: Link, server: EmbeddedServer
) -> None:
    halted = TradingStateChanged(
        ts_ns=1, state=TradingState.HALTED, reason="OPERATOR: HALT by ann", ts_since_ns=1
    )
    offer = make_opportunity()
    denied = Denied(
        ts_ns=1, opportunity_id=offer.opportunity_id, reason="LOT", context={"lot": "1"}
    )
    await say(link, halted, offer, denied, *[miss()] * 3)
    await link._redis.xtrim(ARB_NEARMISS.key(), maxlen=1, approximate=False)
    done = await arb_meanwhile("why", "--redis", server.url, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"]) == (1, "STOPPED")
    texts = [each["text"] for each in told["obstacles"]]
    assert texts[0] == "executor was never heard on this bus"
    assert texts[1].startswith("risk is silent for ")  # by what it wrote into its own stream
    assert "HALTED when risk was heard last: OPERATOR: HALT by ann" in texts
    assert told["funnel"]["frames"]["since_start"] is None
    assert any(text.startswith("arb.nearmiss before the last ") for text in told["not_known"])
    one = await arb_meanwhile("why", offer.opportunity_id, "--redis", server.url)
    assert (one.returncode, one.stdout.splitlines()[0]) == (0, "Denied for LOT: lot 1.")


async def test_mistakes_are_one_line(link: Link, server: EmbeddedServer) -> None:
    for arguments, part in (
        (("none",), "nothing is known of 'none'"),
        (("none", "--minutes", "5"), "--minutes is for all of it"),
        (("--ledger", "x"), "--ledger is for one opportunity or plan"),
        (("--minutes", "0"), "Invalid value for '--minutes'"),
    ):
        done = await arb_meanwhile("why", *arguments, "--redis", server.url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert part in done.stderr
    gone = await arb_meanwhile("why", "--redis", "redis://127.0.0.1:1")
    assert gone.returncode == 1
    assert gone.stdout.startswith("Whether it trades is not known: cannot reach Redis")
