"""The command line against a real server: mistakes are one line, looking and commanding work."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.embedded import EmbeddedServer
from shared.messages.base import BookState, Message
from shared.messages.control import Heartbeat
from shared.messages.market import DepthView, Funding
from shared.services import SERVICES
from shared.streams import ALL, STREAM_OF
from shared.watch.link import Link, open_link
from tests.decision_builders import make_beat, make_info, make_view
from tests.support import ROOT

GOOD = '[venues.kraken]\ninstruments = ["BTC/USDT"]\n'


def environment(**changes: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}
    return {**clean, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **changes}


def arb(
    *arguments: str, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(**environ),
    )


async def arb_meanwhile(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(arb, *arguments)


async def status_of(
    link: Link, server: EmbeddedServer, up: Sequence[str], *, unready: Sequence[str] = ()
) -> tuple[int, dict[str, Any]]:
    """Exit code and answer while these services beat: the command may take longer to start."""
    asked = asyncio.create_task(arb_meanwhile("status", "--json", "--redis", server.url))
    while not asked.done():
        await say(link, *(beat(name, ready=name not in unready) for name in up))
        await asyncio.wait([asked], timeout=0.5)
    return asked.result().returncode, json.loads(asked.result().stdout)


async def say(link: Link, *messages: Message) -> None:
    for message in messages:
        await link.publish(message, STREAM_OF[type(message)])


def beat(service: str, *, ready: bool = True, ts_ns: int | None = None) -> Heartbeat:
    return make_beat(
        service,
        ts_ns or time.time_ns(),
        ready=ready,
        reason="" if ready else "recovering",
        latency={"tick_to_depth": {900: 10}},
    )


MISTAKES = [
    (("tail", "md.nothing"), "md.depth"),
    (("tail", "md.depth", "--since", "yesterday"), "entry id"),
    (("nothing",), "arb --help"),
    (("demo", "--seconds", "soon"), "number"),
    (("demo", "--seconds", "0"), "--seconds"),
    (("demo", "--seconds", "-5"), "--seconds"),
    (("demo", "--seconds", "inf"), "604800"),
    (("demo", "--seconds", "nan"), "604800"),
    (("demo", "--seconds", "1e300"), "604800"),
    (("demo", "--seed", "1.5"), "--seed"),
    (("tail", "md.depth", "--since", "9" * 40), "entry id"),
    (("tail", "md.depth", "--since", "-1"), "entry id"),
    (("tail", "md.depth", "--count", "0"), "--count"),
    (("books", "--levels", "-1"), "--levels"),
    (("replay", "good.toml", "--speed", "inf"), '"max"'),
    (("replay", "good.toml", "--speed", "nan"), '"max"'),
    (("run", "venuesim", "--rate", "inf"), "--rate"),
    (("run", "venuesim", "--rate", "nan"), "--rate"),
    (("run", "venuesim", "--port", "70000"), "--port"),
    (("run", "venuesim", "--host", ""), "--host"),
    (("halt", "--redis", ""), "--redis is empty"),
    (("config", "check", "--config", ""), "--config is empty"),
    (("config", "check", "--config", "host.toml"), "observe.http_host"),
    (("status", "--redis", "redis://127.0.0.1:1/abc"), "database is a number"),
    (("status", "--redis", "redis://127.0.0.1:1/0?password=secret"), "password=***"),
    (("status", "--redis", "redis://127.0.0.1:1/0?foo=secret"), "unknown option"),
    (("status", "--redis", "rediss://127.0.0.1:1/0?ssl_ca_certs=/no/ca.pem"), "/no/ca.pem"),
    (("config", "check", "--config", "ca.toml"), "/no/such/ca.pem"),
    (("status", "--redis", "rediss://127.0.0.1:1/0"), "127.0.0.1:1/0"),
    (("config", "check", "--config", "instrument.toml"), "venues.kraken.instrumentz"),
    (("config", "check", "--config", "type.toml"), "venues.kraken.instruments"),
    (("config", "check", "--config", "section.toml"), "do you mean scanner?"),
    (("config", "check", "--config", "infinite.toml"), "scanner.notional_max = inf"),
    (("config", "check", "--config", "nan.toml"), "scanner.edge_bps_min = nan"),
    (("config", "check", "--config", "rest.toml"), "venues.kraken.rest_url"),
    (("config", "check", "--config", "login.toml"), "venues.kraken.ws_url"),
    (("config", "check", "--config", "flat.toml"), "venues.instruments must be a table"),
    (("run", "nothing"), "orderbook"),
    (("run", "risk", "--fast"), "--config"),
    (("replay", "no-such-file"), "no-such-file"),
    (("replay", "good.toml", "--speed", "fast"), '"max"'),
    (("verify", "no-such-file"), "no-such-file"),
    (("status", "--redis", "redis://127.0.0.1:1/0"), "redis://127.0.0.1:1/0"),
    (("status", "--redis", "unix:///no/such.sock"), "/no/such.sock"),
    (("status", "--redis", "elsewhere"), "redis://"),
    (("halt", "--redis", "redis://u:secret@127.0.0.1:1/0"), "redis://u:***@127.0.0.1:1/0"),
    (("config", "check"), "arb.toml"),
    (("config", "check", "--config", "bad.toml"), "bad.toml"),
    (("config", "check", "--config", "key.toml"), "edge"),
    (("config", "check", "--config", "venue.toml"), "there are:"),
    (("config", "show", "--config", "empty.toml"), "no venue"),
    (("up", "--config", "good.toml"), "or set bus.url of good.toml or ARB_REDIS_URL"),
    (("config", "check", "--config", "latin.toml"), "UTF-8"),
    (("config", "check", "--config", "perpetual.toml"), "this venue has BASE/QUOTE, like BTC/USDT"),
    (("config", "check", "--config", "url.toml"), "bus.url"),
    (("replay", "folder"), "is a directory"),
    (("run", "venuesim", "--port", "soon"), "--port"),
    (("run", "venuesim", "--config", "good.toml"), "--seed"),
]


@pytest.mark.parametrize(("arguments", "holds"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_one_line_that_says_what_would_be_right(
    tmp_path: Path, arguments: tuple[str, ...], holds: str
) -> None:
    url = '[bus]\nurl = "redis://127.0.0.1:1/0"\n'
    (tmp_path / "good.toml").write_text(url + GOOD)
    (tmp_path / "bad.toml").write_text("[bus\n")
    (tmp_path / "key.toml").write_text(GOOD + "[scanner]\nedge = 1\n")
    (tmp_path / "venue.toml").write_text('[venues.nowhere]\ninstruments = ["BTC/USDT"]\n')
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "latin.toml").write_bytes(GOOD.encode() + b"# caf\xe9\n")
    (tmp_path / "perpetual.toml").write_text(GOOD.replace("BTC/USDT", "BTC/USDT:USDT"))
    (tmp_path / "url.toml").write_text('[bus]\nurl = "http://127.0.0.1"\n' + GOOD)
    more = {
        "ca": '[bus]\nurl = "rediss://127.0.0.1:1/0"\ntls_ca_file = "/no/such/ca.pem"\n' + GOOD,
        "instrument": GOOD.replace("instruments", "instrumentz"),
        "type": GOOD.replace('["BTC/USDT"]', '"BTC/USDT"'),
        "section": GOOD + "[scaner]\nedge_bps_min = 1\n",
        "infinite": GOOD + "[scanner]\nnotional_max = inf\n",
        "nan": GOOD + "[scanner]\nedge_bps_min = nan\n",
        "rest": GOOD + 'rest_url = "127.0.0.1:8090"\n',
        "login": GOOD + 'ws_url = "ws://me:secret@127.0.0.1:8090"\n',
        "host": '[observe]\nhttp_host = ""\n' + GOOD,
        "flat": '[venues]\ninstruments = ["BTC/USDT"]\n',
    }
    for name, text in more.items():
        (tmp_path / f"{name}.toml").write_text(text)
    (tmp_path / "folder").mkdir()
    done = arb(*arguments, cwd=tmp_path)
    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert holds in done.stderr
    assert "--redis URL" not in done.stderr or arguments[0] != "up"
    assert "secret" not in done.stderr


async def test_status_is_well_only_with_all_five(link: Link, server: EmbeddedServer) -> None:
    code, found = await status_of(link, server, SERVICES[:-1])
    assert (code, found["missing"]) == (1, ["executor"])
    code, found = await status_of(link, server, SERVICES, unready=["executor"])
    assert (code, found["well"]) == (1, False)
    code, found = await status_of(link, server, SERVICES)
    assert (code, found["well"]) == (0, True)


async def test_services_that_a_clock_set_back_left_ahead_are_seen(
    link: Link, server: EmbeddedServer
) -> None:
    ahead_ns = time.time_ns() + 3_600_000_000_000
    await say(link, *(beat(name, ts_ns=ahead_ns) for name in SERVICES))
    for given in (("--json",), ()):
        done = await arb_meanwhile("status", *given, "--redis", server.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(name in done.stdout for name in SERVICES)
        assert "silent" not in done.stdout and '"missing":["' not in done.stdout


async def test_a_service_that_fell_silent_is_down(link: Link, server: EmbeddedServer) -> None:
    await say(link, beat("risk", ts_ns=time.time_ns() - 60_000_000_000))
    found = json.loads((await arb_meanwhile("status", "--json", "--redis", server.url)).stdout)
    assert [(s["service"], s["up"]) for s in found["services"]] == [("risk", False)]


async def test_status_looks_at_a_redis_that_is_not_ours(link: Link, server: EmbeddedServer) -> None:
    foreign: dict[bytes, bytes] = {b"\xff:\xfe": b"\xff", b"a": b"b"}
    await link._redis.hset("{arb}:position", mapping=foreign)
    done = await arb_meanwhile("status", "--json", "--redis", server.url)
    assert (done.returncode, json.loads(done.stdout)["well"]) == (1, False)


async def test_a_refused_password_is_not_an_unreachable_server(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as closed:
        async with open_link(closed.url) as opened:
            await opened._redis.config_set("requirepass", "sesame")
        for environ in ({}, {"ARB_REDIS_PASSWORD": "wrong"}):
            done = await asyncio.to_thread(arb, "status", "--redis", closed.url, **environ)
            assert done.returncode == 1
            assert "refuses the credentials" in done.stderr
            assert "ARB_REDIS_PASSWORD" in done.stderr
        url = closed.url.replace("unix://", "unix://:sesame@")
        done = await asyncio.to_thread(arb, "status", "--json", "--redis", url)
        assert json.loads(done.stdout)["redis"]["url"] == closed.url.replace("://", "://:***@")
        async with open_link(url) as opened:
            await opened._redis.config_set("requirepass", "")


async def test_books_show_the_newest_view(link: Link, server: EmbeddedServer) -> None:
    old, new = make_view("alpha", seq=1), make_view("alpha", seq=2)
    await say(link, old, make_view("beta"), new)
    found = json.loads((await arb_meanwhile("books", "--json", "--redis", server.url)).stdout)
    newest = found["books"][0]
    assert (newest["venue"], newest["seq"], newest["state"]) == ("alpha", 2, BookState.LIVE)
    only = await arb_meanwhile("books", "--venue", "beta", "--json", "--redis", server.url)
    assert [b["venue"] for b in json.loads(only.stdout)["books"]] == ["beta"]


async def test_funding_shows_what_perpetuals_pay(link: Link, server: EmbeddedServer) -> None:
    nothing = await arb_meanwhile("funding", "--redis", server.url)
    assert nothing.returncode == 0 and "no funding yet" in nothing.stdout
    now_ns = time.time_ns()
    told = Funding(
        venue="alpha",
        instrument="BTC/USDT:USDT",
        mark_price=100.0,
        index_price=99.0,
        rate=0.0001,
        ts_funding_ns=now_ns + 10**12,
        ts_recv_ns=now_ns,
        interval_ns=8 * 3_600 * 10**9,
    )
    await say(link, told)
    shown = await arb_meanwhile("funding", "--redis", server.url)
    assert "1.0000" in shown.stdout and "BTC/USDT:USDT" in shown.stdout
    done = await arb_meanwhile("funding", "--json", "--redis", server.url)
    (row,) = json.loads(done.stdout)["funding"]
    assert (row["rate"], row["interval_h"], row["apr_net"]) == ("0.0001", 8.0, None)


@pytest.mark.parametrize("arguments", [("books",), ("tail", "md.depth")])
async def test_an_unknown_instrument_is_one_line(
    link: Link, server: EmbeddedServer, arguments: tuple[str, ...]
) -> None:
    await say(link, make_view("alpha"), make_info("alpha"))
    done = await arb_meanwhile(*arguments, "--instrument", "DOGE/USDT", "--redis", server.url)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "BTC/USDT" in done.stderr


async def test_tail_decodes_every_stream_that_has_something(
    link: Link, server: EmbeddedServer
) -> None:
    await say(link, make_view("alpha", seq=7), make_info("alpha"), beat("risk"))
    for stream, kind in (
        ("md.depth", "depth"),
        ("md.instrument", "instrument"),
        ("sys.health", "heartbeat"),
    ):
        arguments = ("tail", stream, "--since", "0", "--count", "1", "--redis", server.url)
        row = json.loads((await arb_meanwhile(*arguments, "--json")).stdout)
        assert (row["stream"], row["message"]["type"]) == (stream, kind)
        assert kind in (await arb_meanwhile(*arguments)).stdout
    assert {spec.name for spec in ALL} >= {"md.depth", "sys.health"}


async def test_tail_filters_by_instrument(link: Link, server: EmbeddedServer) -> None:
    other = DepthView(
        venue="alpha",
        instrument="ETH/USDT",
        state=BookState.LIVE,
        epoch=1,
        seq=9,
        bids=[(1.0, 1.0)],
        asks=[(2.0, 1.0)],
        ts_recv_ns=1,
        ts_ns=1,
    )
    await say(link, make_view("alpha"), other)
    done = await arb_meanwhile(
        "tail",
        "md.depth",
        "--since",
        "0",
        "--count",
        "1",
        "--instrument",
        "ETH/USDT",
        "--json",
        "--redis",
        server.url,
    )
    assert json.loads(done.stdout)["message"]["seq"] == 9


async def test_latency_merges_the_processes(link: Link, server: EmbeddedServer) -> None:
    await say(link, beat("orderbook"), beat("scanner"))
    found = json.loads((await arb_meanwhile("latency", "--json", "--redis", server.url)).stdout)
    assert found["latency_us"]["tick_to_depth"]["n"] == 20
    assert found["latency_us"]["tick_to_order"]["p50"] is None


def test_config_show_hides_what_is_secret(tmp_path: Path) -> None:
    (tmp_path / "arb.toml").write_text('[bus]\nurl = "redis://u:hunter2@db:6379/0"\n' + GOOD)
    for arguments in (("config", "show"), ("config", "show", "--json")):
        done = arb(*arguments, cwd=tmp_path, ARB_KRAKEN_API_KEY="hunter2", ARB_LOG_LEVEL="ERROR")
        assert done.returncode == 0, done.stderr
        assert "hunter2" not in done.stdout
        assert "ERROR" in done.stdout, "the environment is merged in"
        assert "ARB_KRAKEN_API_KEY" in done.stdout
