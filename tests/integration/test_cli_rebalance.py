"""`arb rebalance` on a running system: the documented example, what is unknown, and mistakes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from shared.embedded import EmbeddedServer
from shared.messages.balances import Balance
from shared.messages.base import Message
from shared.messages.execution import BalanceReport
from shared.streams import STREAM_OF
from shared.watch.link import Link
from tests.decision_builders import make_info, make_view
from tests.integration.test_cli import arb
from tests.support import ROOT

DOCUMENT = (ROOT / "docs" / "rebalance.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
(SHOWN,) = re.findall(r"```console\n\$ arb rebalance\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "arb.toml"
    path.write_text(EXAMPLE + "\n[risk]\nbook_age_ms_max = 600000\n", encoding="utf-8")
    return str(path)


async def say(link: Link, *messages: Message) -> None:
    for message in messages:
        await link.publish(message, STREAM_OF[type(message)])


def balances(venue: str, **amounts: str) -> BalanceReport:
    held = {asset: Balance(free=D(free), used=D(0)) for asset, free in amounts.items()}
    return BalanceReport(ts_ns=time.time_ns(), venue=venue, balances=held)


def market(venue: str, bid: float, ask: float) -> list[Message]:
    now_ns = time.time_ns()
    view = make_view(venue, "BTC/USDT", bids=[(bid, 5.0)], asks=[(ask, 5.0)], ts_ns=now_ns)
    info = msgspec.structs.replace(make_info(venue, "BTC/USDT", taker_fee_bps=D(10)), ts_ns=now_ns)
    return [view, info]


async def rebalance(server: EmbeddedServer, config: str, *words: str):
    options = ("--redis", server.url, "--config", config)
    return await asyncio.to_thread(arb, "rebalance", *words, *options)


async def example(link: Link) -> None:
    await say(link, balances("binance", BTC="1.5", USDT="2000"))
    await say(link, balances("kraken", BTC="0.5", USDT="40000"))
    await say(link, *market("binance", 49_990, 50_000), *market("kraken", 49_995, 50_005))


async def test_the_documented_example(link: Link, server: EmbeddedServer, config: str) -> None:
    await example(link)
    done = await rebalance(server, config)
    assert (done.returncode, done.stderr) == (0, "")
    told = [line.rstrip() for line in done.stdout.splitlines()]
    assert told == [line.rstrip() for line in SHOWN.splitlines()]


async def test_one_json_object_with_every_figure(
    link: Link, server: EmbeddedServer, config: str
) -> None:
    await example(link)
    done = await rebalance(server, config, "--json", "--only", "transfers")
    found = json.loads(done.stdout)
    assert (done.returncode, found["whole"], found["costs_unknown"]) == (1, False, 1)
    assert (found["cost"], found["cost_known"], found["minutes"]) == (None, "5.00000000", None)
    coins, dollars = found["steps"]
    assert (coins["qty"], coins["arrives"], coins["minutes"]) == ("0.50010000", "0.50000000", "40")
    assert (dollars["asset"], dollars["arrives"], dollars["cost"]) == ("USDT", None, None)
    states = {(row["venue"], row["asset"]): row["state"] for row in found["targets"]}
    assert states["binance", "USDT"] == "unknown"
    before = await link.length(STREAM_OF[BalanceReport].key())
    assert before[0] == 2, "it writes nothing"


async def test_what_is_on_its_way_is_not_proposed_again(
    link: Link, server: EmbeddedServer, config: str
) -> None:
    await example(link)
    await say(link, balances("binance", BTC="1", USDT="20000"))
    await say(link, balances("kraken", BTC="0.5", USDT="20000"))
    again = await rebalance(server, config, "--json")
    assert json.loads(again.stdout)["steps"] != []
    done = await rebalance(server, config, "--arriving", "kraken:BTC:0.4999")
    assert (done.returncode, "nothing to do" in done.stdout) == (0, True)


async def test_balances_that_nobody_told_are_unknown(
    link: Link, server: EmbeddedServer, config: str
) -> None:
    await say(link, balances("binance", BTC="1.5", USDT="20000"))
    old = balances("kraken", BTC="0.5", USDT="40000")
    await say(link, msgspec.structs.replace(old, ts_ns=old.ts_ns - 100 * 10**9))
    await say(link, *market("binance", 49_990, 50_000))
    done = await rebalance(server, config)
    assert (done.returncode, done.stderr) == (1, "")
    assert "BTC at kraken: unknown: kraken reported its balances 10" in done.stdout
    assert "BTC at binance: unknown: its share is of all, and what kraken holds" in done.stdout
    assert "not traded on: BTC/USDT at kraken: no book of it" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--arriving", "kraken:BTC"), "give VENUE:ASSET:QTY"),
        (("--arriving", "kraken:BTC:-1"), "give VENUE:ASSET:QTY"),
        (("--arriving", "kraken:SOL:1"), "SOL at kraken has no target"),
        (("--only", "gifts"), "gifts"),
    ],
)
async def test_a_mistake_is_one_line(server: EmbeddedServer, config: str, words, told) -> None:
    done = await rebalance(server, config, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert told in done.stderr


async def test_without_targets_it_says_what_is_missing(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    path = tmp_path / "arb.toml"
    path.write_text('[venues.kraken]\ninstruments = ["BTC/USDT"]\n', encoding="utf-8")
    done = await rebalance(server, str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no [[inventory.targets]] in the configuration" in done.stderr
