"""`arb export` on a real server and on files: its rows, and what it says of mistakes."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from shared.embedded import EmbeddedServer
from shared.messages.base import Message, Side
from shared.messages.execution import Fill, OrderEvent
from shared.streams import EXEC_EVENT, STREAM_OF
from shared.watch.link import Link
from tests.decision_builders import make_done, make_fill, make_order
from tests.executor_model import make_plan
from tests.integration.test_cli import arb, arb_meanwhile

DAY_NS = 86_400_000_000_000
T0 = 20_000 * DAY_NS  # 2024-10-04


def fill(plan: str, venue: str, side: Side, price: str, ts_ns: int, **changes: object) -> Fill:
    values = {"price": D(price), "ts_ns": ts_ns, "strategy": "cross_venue", **changes}
    return make_fill(plan, venue, side, "0.10000001", **values)


def history() -> list[Message]:
    """A plan whose first leg was adopted without its record, its fee told later; and a forgery."""
    plan = make_plan("plan00000001", now_ns=T0)
    bought = fill(plan.plan_id, "alpha", Side.BUY, "100.5", T0, strategy="", fee=None)
    orders = [
        make_order(plan.plan_id, venue=venue, side=side)
        for venue, side in (("alpha", Side.BUY), ("beta", Side.SELL))
    ]
    return [
        msgspec.structs.replace(plan, strategy="cross_venue"),
        *orders,
        bought,
        fill(plan.plan_id, "beta", Side.SELL, "101", T0 + 1_500_000_000, fee_asset="BNB"),
        msgspec.structs.replace(bought, fee=D("0.02"), fee_asset="USDT"),
        make_done(plan.plan_id),
        make_order("plan00000002"),
        fill("plan00000002", "alpha", Side.BUY, "99", T0 + DAY_NS),
        fill("nobody", "alpha", Side.BUY, "99", T0),
    ]


async def say(link: Link, messages: list[Message]) -> None:
    for message in messages:
        await link.publish(message, STREAM_OF[type(message)])


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_lots_come_from_the_bus(server: EmbeddedServer, link: Link) -> None:
    await say(link, history())
    done = await arb_meanwhile("export", "lots", "--redis", server.url)
    assert done.returncode == 0, done.stderr
    closed, left = table(done.stdout)
    assert closed["strategy"] == "cross_venue", "of the plan that was approved"
    assert (closed["state"], closed["qty"], closed["held_s"]) == (
        "closed",
        "0.10000001",
        "1.500000000",
    )
    assert (closed["opened"], closed["opened_amount"], closed["opened_fee"]) == (
        "2024-10-04T00:00:00.000000000Z",
        "10.050001005",
        "0.02",
    )
    assert (closed["closed_amount"], closed["closed_fee"], closed["closed_fee_asset"]) == (
        "10.10000101",
        "1",
        "BNB",
    )
    assert closed["profit"] == "0.050000005", "to the last digit, fees apart"
    assert (left["state"], left["opened_price"], left["closed"], left["profit"]) == (
        "open",
        "99",
        "",
        "",
    )
    assert "1 fills that belong to no order of ours are left out" in done.stderr


async def test_a_period_and_json(server: EmbeddedServer, link: Link) -> None:
    await say(link, history())
    day = ["--from", "2024-10-05", "--to", "2024-10-06T00:00:00Z", "--json"]
    done = await arb_meanwhile("export", "fills", *day, "--redis", server.url)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["plan_id"], row["amount"], row["type"]) == ("plan00000002", "9.90000099", "fill")
    before = ["--to", "2024-10-05", "--redis", server.url]
    (lot,) = table((await arb_meanwhile("export", "lots", *before)).stdout)
    assert lot["state"] == "closed", "what was bought later is not there yet"


async def test_what_it_writes_it_reads(server: EmbeddedServer, link: Link, tmp_path: Path) -> None:
    await say(link, history())
    direct = await arb_meanwhile("export", "lots", "--redis", server.url)
    rows = await arb_meanwhile("export", "fills", "--json", "--redis", server.url)
    tail = ["tail", "exec.event", "--since", "0", "--count", "9", "--json", "--redis", server.url]
    tailed = await arb_meanwhile(*tail)
    decisions = [
        {
            "stream": "exec.event",
            "id": "1-1",
            "messages": [json.loads(row) for row in rows.stdout.splitlines()],
        },
        {"stream": "risk.event", "id": "1-2", "messages": [{"type": "risk_report"}]},
    ]
    for text in (rows.stdout, "\n".join(map(json.dumps, decisions))):
        file = tmp_path / "fills.jsonl"
        file.write_text(text)
        done = await arb_meanwhile("export", "lots", "--file", str(file))
        assert (done.returncode, done.stdout) == (0, direct.stdout)
    file.write_text(tailed.stdout)  # without the plans: the adopted leg is nobody's
    done = await arb_meanwhile("export", "lots", "--file", str(file))
    strategies = [row["strategy"] for row in table(done.stdout)]
    assert strategies == ["unknown", "cross_venue", "cross_venue"]  # the last: nobody's order


async def test_a_trimmed_stream_says_so(server: EmbeddedServer, link: Link) -> None:
    await say(link, history())
    await link._redis.xtrim(EXEC_EVENT.key(), maxlen=1, approximate=False)
    done = await arb_meanwhile("export", "lots", "--redis", server.url)
    assert done.returncode == 0
    assert "trimmed" in done.stderr
    assert [row["state"] for row in table(done.stdout)] == ["open"], "its order is trimmed away"


async def test_nothing_is_a_header(server: EmbeddedServer, link: Link) -> None:
    done = await arb_meanwhile("export", "lots", "--redis", server.url)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert "0 rows" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["lots", "--from", "yesterday"], "--from 'yesterday' is not a time; like 2026-11-26"),
        (["lots", "--from", "2026-01-02", "--to", "2026-01-01"], "is later than --to"),
        (["fills", "--csv", "--json"], "--csv and --json"),
        (["fills", "--file", "no-such-file"], "--file no-such-file: cannot be read"),
        (["fills", "--file", "a", "--redis", "redis://127.0.0.1"], "--file and --redis"),
        (["lots", "--file", "bad.jsonl"], "bad.jsonl line 2 is not a JSON object"),
        (["lots", "--file", "odd.jsonl"], "odd.jsonl line 1 holds no message; it takes"),
        (["lots", "--file", "nan.jsonl"], "Fill.qty: NaN is not a number"),
        (["trades"], "No such command 'trades'"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], why: str) -> None:
    good = msgspec.json.encode(fill("p", "alpha", Side.BUY, "1", T0))
    (tmp_path / "bad.jsonl").write_bytes(good + b"\n{")
    (tmp_path / "odd.jsonl").write_text('{"qty": 1}\n')
    (tmp_path / "nan.jsonl").write_bytes(good.replace(b'"0.10000001"', b'"NaN"'))
    done = arb("export", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert why in line


async def test_tail_shows_what_is_of_one_strategy(server: EmbeddedServer, link: Link) -> None:
    other = make_plan("plan00000003", now_ns=T0)
    await say(link, [*history(), msgspec.structs.replace(other, strategy="basis")])
    done = await arb_meanwhile(
        "tail",
        "exec.plan",
        "--since",
        "0",
        "--count",
        "1",
        "--strategy",
        "basis",
        "--redis",
        server.url,
    )
    assert "plan_id=plan00000003" in done.stdout
    assert " strategy=basis " in done.stdout


def test_orders_alone_are_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    orders: list[OrderEvent] = [make_order("p"), make_order("q")]
    file.write_bytes(b"\n".join(map(msgspec.json.encode, orders)))
    done = arb("export", "fills", "--file", str(file))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
