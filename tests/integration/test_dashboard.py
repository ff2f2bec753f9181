"""The dashboard as a process: who is refused, a slow reader, fifty tabs, commands, Redis killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from services.dashboard.channel import CLIENTS_MAX, FRAME_BYTES_MAX, REQUEST_BYTES_MAX
from services.dashboard.files import AuditFile
from services.dashboard.server import CONNECTIONS_MAX
from shared.audit import verify
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.base import BookState
from shared.messages.control import CommandKind
from shared.messages.market import DepthView
from shared.sql_ledger.database import open_to_write
from shared.sql_ledger.rows import rows_of
from shared.streams import CTL_COMMAND, SYS_AUDIT
from shared.watch.link import open_link
from tests.integration.processes import ServiceProcess
from tests.support import ROOT, eventually

CONFIG = (
    '[bus]\nurl = "{url}"\n[dashboard]\nport = 0\noperator = {operator}\n'
    '[venues.kraken]\ninstruments = ["BTC/USDT"]\n'
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path / "valkey")
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARB_DASHBOARD_DIR", str(tmp_path / "dashboard"))
    monkeypatch.setenv("ARB_KEYS_DIR", str(tmp_path / "keys"))
    return tmp_path / "dashboard"


class Browser:
    """What a test does as a browser: it sends a cookie and its own Origin."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self.http, self.cookie = url, http, ""
        self.name = f"arb_session_{urlsplit(url).port}"

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        own = {"Origin": self.url, "X-Arb": "1", "Cookie": f"{self.name}={self.cookie}"}
        headers = {k: v for k, v in (own | options.pop("headers", {})).items() if v is not None}
        async with self.http.request(method, self.url + path, headers=headers, **options) as reply:
            text = await reply.text()
            if (cookie := reply.cookies.get(self.name)) and cookie.value:
                assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
                assert bool(cookie["secure"]) == self.url.startswith("https:")
                self.cookie = cookie.value
            assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
            return reply.status, json.loads(text) if text.startswith("{") else text

    async def sign_in(self, folder: Path, role: str = "viewer") -> int:
        token = (folder / f"{role}.token").read_text().strip()
        return (await self.ask("POST", "/api/v1/session", json={"token": token}))[0]

    def live(self, **headers: str) -> Any:
        own = {"Origin": self.url, "Cookie": f"{self.name}={self.cookie}"}
        return self.http.ws_connect(f"{self.url}/api/v1/live", headers=own | headers)

    async def overview(self) -> dict[str, Any]:
        code, frame = await self.ask("GET", "/api/v1/snapshot?topic=overview")
        assert code == 200, frame
        cells: dict[str, Any] = frame["topics"]["overview"]["cells"]
        return cells


@asynccontextmanager
async def dashboard(
    tmp_path: Path, server: EmbeddedServer, *, operator: bool = False, more: str = ""
) -> AsyncIterator[tuple[ServiceProcess, Browser]]:
    config = CONFIG.format(url=server.url, operator=str(operator).lower())
    config = config.replace("port = 0", f"port = 0\n{more}")

    with ServiceProcess("dashboard", tmp_path, config) as running:

        def served() -> str:
            urls = [e["url"] for e in running.events() if e["event"] == "dashboard_served"]
            return urls[0] if urls else ""

        url = await eventually(served, timeout_s=20)
        unverified = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=unverified
        ) as http:
            yield running, Browser(url, http)


async def test_who_is_no_browser_of_ours_is_refused(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server) as (running, browser):
        ask = browser.ask
        assert await ask("GET", "/healthz") == (200, "ok")
        code, page = await ask("GET", "/", headers={"Accept-Encoding": "gzip"})
        assert (code, "<script" in page) == (200, True)
        assert (await ask("GET", "/api/v1/me"))[0] == 401
        assert (await ask("POST", "/api/v1/session", json={"token": "x" * 43}))[0] == 401
        assert await browser.sign_in(folder) == 204
        assert (await ask("GET", "/api/v1/me"))[1]["role"] == "viewer"
        halt = {"action": "halt"}
        for status, method, path, options in (
            (421, "GET", "/api/v1/me", {"headers": {"Host": "evil.example.com"}}),
            (400, "GET", "/api/v1/me?token=in-the-url", {}),
            (400, "GET", "/?access_token=in-the-url", {}),
            (401, "GET", "/api/v1/me", {"headers": {"Cookie": f"{browser.name}=forged"}}),
            (403, "POST", "/api/v1/command", {"json": halt}),
            (403, "POST", "/api/v1/command", {"json": halt, "headers": {"X-Arb": None}}),
            (403, "POST", "/api/v1/command", {"json": halt, "headers": {"Origin": None}}),
            (403, "POST", "/api/v1/command", {"json": halt, "headers": {"Origin": "http://a.b"}}),
            (
                403,
                "POST",
                "/api/v1/command",
                {"json": halt, "headers": {"Sec-Fetch-Site": "cross-site"}},
            ),
            (403, "DELETE", "/api/v1/session", {"headers": {"X-Arb": None}}),
            (413, "POST", "/api/v1/session", {"data": b"x" * 2_000}),
            (400, "POST", "/api/v1/session", {"data": b"{"}),
            (400, "GET", "/api/v1/snapshot?topic=secrets", {}),
            (404, "GET", "/static/../../../../etc/passwd", {}),
            (404, "GET", "/static/%2e%2e/engine.py", {}),
            (405, "PUT", "/api/v1/me", {}),
        ):
            code, told = await ask(method, path, **options)
            assert code == status, (path, options, told)
            assert "error" in told
        for headers in (
            {"Origin": "http://evil.example.com"},
            {"Cookie": f"{browser.name}=forged"},
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await browser.live(**headers)
        tries = [await ask("POST", "/api/v1/session", json={"token": "x" * 43}) for _ in range(5)]
        assert tries[-1][0] == 429, "five wrong tokens a minute"
        assert await browser.sign_in(folder) == 204, "which keep no right one out"
        assert (await ask("DELETE", "/api/v1/session"))[0] == 204
        assert (await ask("GET", "/api/v1/me"))[0] == 401
        assert running.end(signal.SIGTERM) == 0
    entries, flaw = verify((folder / "audit.jsonl").read_bytes().splitlines(keepends=True))
    assert not flaw
    outcomes = {entry.outcome for entry in entries}
    assert {"refused: host", "refused: token_in_url", "refused: role", "done"} <= outcomes
    written = (folder / "audit.jsonl").read_text()
    assert not [secret for secret in ("in-the-url", "x" * 43) if secret in written]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7"])
def test_others_reach_it_only_by_tls_or_a_proxy(tmp_path: Path, host: str) -> None:
    config = f'[dashboard]\nhost = "{host}"\n[venues.kraken]\ninstruments = ["BTC/USDT"]\n'
    with ServiceProcess("dashboard", tmp_path, config) as running:
        assert running.process.wait(60) == 2
        (line,) = running.log.read_text().splitlines()
        assert "without TLS" in line


async def test_over_tls(tmp_path: Path, server: EmbeddedServer, folder: Path) -> None:
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout key.pem -out cert.pem "
        "-subj /CN=localhost",
        shell=True,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    files = f'tls_cert_file = "{tmp_path}/cert.pem"\ntls_key_file = "{tmp_path}/key.pem"'
    async with dashboard(tmp_path, server, more=files) as (_, browser):
        assert browser.url.startswith("https://")
        assert await browser.sign_in(folder) == 204
        async with browser.live() as live:
            assert (await live.receive_json())["type"] == "hello"
    wrong = files.replace("cert.pem", "none.pem")
    config = CONFIG.format(url=server.url, operator="false").replace("port = 0", wrong)
    with ServiceProcess("dashboard", tmp_path, config, instance="wrong") as running:
        assert running.process.wait(60) == 2
        assert "dashboard.tls_cert_file" in running.log.read_text().splitlines()[-1]


async def test_it_answers_before_there_is_a_redis(tmp_path: Path, folder: Path) -> None:
    absent = EmbeddedServer(tmp_path / "valkey")
    async with dashboard(tmp_path, absent, operator=True) as (running, browser):
        await browser.sign_in(folder, "operator")
        cells = await browser.overview()
        assert (cells["is_bus_read"], cells["bus_as_of_ms"], cells["state"]) == (False, None, None)
        code, told = await browser.ask("POST", "/api/v1/command", json={"action": "halt"})
        assert (code, "arb kill" in told["error"] or "start it" in told["error"]) == (503, True)
        absent.start()

        async def is_read() -> bool:
            return bool((await browser.overview())["is_bus_read"])

        await eventually(is_read, timeout_s=30)
        assert running.end(signal.SIGTERM) == 0
    absent.stop()


def test_the_command_line_verifies_a_trail(folder: Path) -> None:
    folder.mkdir()
    audit = AuditFile(folder, 1)
    for number in range(3):
        audit.add(number, "operator-1", "127.0.0.1", "halt", "confirmed")
    audit.close()

    code, told = arb_audit("verify", str(audit.path))
    assert (code, told["well"], told["entries"]) == (0, True, 3)
    assert told["compared_with"] == []
    assert {*told["not_compared_with"]} == {"stream", "ledger"}
    audit.path.write_bytes(audit.path.read_bytes().replace(b"127.0.0.1", b"127.0.0.2", 1))
    code, told = arb_audit("verify", str(audit.path))
    assert (code, told["well"], told["entries"]) == (1, False, 0)
    assert told["flaw"] == "line 1 was changed"


def arb_audit(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "audit", *arguments, "--json"],
        cwd=ROOT,
        env={**os.environ, "ARB_CONFIG": "none.toml", "ARB_REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


async def test_an_end_that_was_cut_off_is_told_by_the_stream_and_the_ledger(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server) as (running, browser):
        assert (await browser.ask("POST", "/api/v1/session", json={"token": "x" * 43}))[0] == 401
        assert await browser.sign_in(folder) == 204
        assert running.end(signal.SIGTERM) == 0
    (tmp_path / "again").mkdir()
    async with dashboard(tmp_path / "again", server) as (running, browser):
        assert await browser.sign_in(folder) == 204
        assert running.end(signal.SIGTERM) == 0
    path, verified = folder / "audit.jsonl", ("verify", str(folder / "audit.jsonl"))
    code, told = await asyncio.to_thread(arb_audit, *verified, "--redis", server.url)
    assert (code, told["entries"], told["on_record"]) == (0, 3, 3), told
    async with open_link(server.url) as link:
        items = [item.message for item in await link.newest(SYS_AUDIT, count=9)]
    assert len(items) == 3, "what a dashboard finds on the stream it does not say again"
    ledger = str(tmp_path / "ledger.sqlite")
    with closing(open_to_write(Path(ledger))) as there:
        for _ in range(2):
            there.write([row for item in items for row in rows_of(item, "e")], {})
    code, listed = await asyncio.to_thread(
        arb_audit, "--redis", server.url, "--ledger", ledger, "--who", "-", "--refused"
    )
    assert (code, [row["outcome"] for row in listed["audit"]]) == (0, ["refused: token"])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    for source in (("--redis", server.url), ("--ledger", ledger)):
        code, told = await asyncio.to_thread(arb_audit, *verified, *source)
        assert (code, told["entries"], told["well"]) == (1, 2, False)
        assert told["flaw"].startswith("its end was cut off: 1 entry on record missing here")
    assert arb_audit(*verified)[0] == 0, "its chain alone does not tell"


async def test_a_request_that_is_none_ends_the_channel_with_a_reason(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server) as (running, browser):
        await browser.sign_in(folder)
        odd = '{"type":"pause","' + "é" * 99 + '":1}'
        for text, code in (("{", 1008), (odd, 1008), ("x" * (REQUEST_BYTES_MAX + 1), 1009)):
            async with browser.live() as live:
                assert (await live.receive_json())["type"] == "hello"
                await live.send_str(text)
                closed = await live.receive()
                assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, code)
                assert closed.extra
        async with browser.live() as live:
            await live.receive_json()
            await live.send_str("x" * 1_000_000)
            assert (await live.receive()).data == 1009
        async with browser.live() as live:
            await live.receive_json()
            await live.send_bytes(b"{}")
            assert (await live.receive()).data == 1003
        async with browser.live() as live:
            await live.receive_json()
            await live.send_str('{"x":' + "[" * 3_000 + "]" * 3_000 + ',"type":"pause"}')
            assert (await live.receive()).data == 1008
        assert "Traceback" not in running.log.read_text()


async def test_what_a_proxy_hands_on_is_no_address_until_it_is_one(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    more = 'behind_proxy = true\nallowed_hosts = ["arb.example.com"]'
    async with dashboard(tmp_path, server, more=more) as (running, browser):
        port = urlsplit(browser.url).port

        async def signs_in(*lines: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = [b"POST /api/v1/session HTTP/1.1", b"Host: arb.example.com", *lines]
            head += [b"Origin: https://arb.example.com", b"X-Arb: 1", b"Connection: close"]
            body = b'{"token":"wrong"}'
            head.append(b"Content-Length: %d" % len(body))
            writer.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
            answer = await reader.read()
            writer.close()
            return answer.split(b" ")[1]

        assert await signs_in(b"X-Forwarded-For: \xff\xfe") == b"401"
        assert await signs_in(b"X-Forwarded-For: 1.1.1.1, 10.0.0.7") == b"401"
        two = (b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-For: 2001:db8::7")
        assert await signs_in(*two) == b"401", "a proxy may add a line of its own"
        assert await signs_in(b"Content-Encoding: gzip") == b"401"
        assert running.end(signal.SIGTERM) == 0
        assert "Traceback" not in running.log.read_text()
    entries, flaw = verify((folder / "audit.jsonl").read_bytes().splitlines(keepends=True))
    told = [entry.address for entry in entries if entry.outcome == "refused: token"]
    assert (told, flaw) == (["127.0.0.1", "10.0.0.7", "2001:db8::7", "127.0.0.1"], "")


async def test_too_many_connections_are_told_so_and_go(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    async with dashboard(tmp_path, server) as (_, browser):
        port = urlsplit(browser.url).port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            told = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert told.startswith(b"HTTP/1.1 503 "), told
            assert b"too many connections to the dashboard" in told
        finally:
            for _, each in held:
                each.close()

        async def is_free() -> bool:
            return (await browser.ask("GET", "/api/v1/me"))[0] == 401

        await eventually(is_free, what="who goes makes room")


async def test_a_restart_is_told_as_why_the_session_is_over(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server) as (_, browser):
        assert await browser.sign_in(folder) == 204
        cookie = browser.cookie
    again = tmp_path / "again"
    again.mkdir()
    async with dashboard(again, server) as (_, browser):
        assert (await browser.ask("GET", "/api/v1/me"))[1]["error"] == "sign in"
        browser.cookie = cookie
        code, told = await browser.ask("GET", "/api/v1/me")
        assert (code, "was started again" in told["error"]) == (401, True)


async def test_fifty_tabs_are_twenty_and_the_rest_is_told(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server) as (_, browser):
        await browser.sign_in(folder)
        tabs = [await browser.live() for _ in range(50)]
        first = [await tab.receive() for tab in tabs]
        hellos = [m for m in first if m.type is aiohttp.WSMsgType.TEXT]
        assert len(hellos) == CLIENTS_MAX
        refused = [m for m in first if m.type is aiohttp.WSMsgType.CLOSE]
        assert {(m.data, m.extra) for m in refused} == {
            (1013, "too many clients; close another tab")
        }
        for tab in tabs:
            await tab.close()

        async def is_free() -> bool:
            async with browser.live() as tab:
                return (await tab.receive()).type is aiohttp.WSMsgType.TEXT

        await eventually(is_free, what="who goes makes room")


def view(bid: float) -> DepthView:
    now_ns = SystemClock.now_ns()
    return DepthView(
        venue="kraken",
        instrument="BTC/USDT",
        state=BookState.LIVE,
        epoch=1,
        seq=1,
        bids=[(bid, 1.0)],
        asks=[(bid + 1, 1.0)],
        ts_recv_ns=now_ns,
        ts_ns=now_ns,
    )


async def test_a_slow_reader_gets_the_newest_and_costs_no_memory(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="test", instance="t")
    async with dashboard(tmp_path, server) as (running, browser):
        await browser.sign_in(folder)
        topics = ["books", "settings", "overview", "health"]
        async with browser.live() as slow, browser.live() as fast:
            for tab in (slow, fast):
                await tab.receive_json()
                await tab.send_json({"type": "sub", "topics": topics})

            async def frame_of(tab: Any) -> dict[str, Any]:
                frame: dict[str, Any] = json.loads((await tab.receive()).data)
                return frame

            held = await frame_of(slow)  # and it is not acknowledged
            process = psutil.Process(running.process.pid)
            before = process.memory_info().rss
            bids = 0.0
            for number in range(1, 400):
                await bus.publish([view(float(number))])

            async def bid_of(tab: Any) -> float:
                nonlocal bids
                frame = await frame_of(tab)
                assert len(json.dumps(frame)) <= FRAME_BYTES_MAX
                await tab.send_json({"type": "ack", "n": frame["n"]})
                rows = frame["topics"].get("books", {}).get("rows", {})
                if rows:
                    bids = float(rows["kraken|BTC/USDT"]["bid"])
                return bids

            await eventually(lambda: _is(bid_of(fast), 399.0), timeout_s=20)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(slow.receive(), 0.5)
            await slow.send_json({"type": "ack", "n": held["n"]})
            frame = await frame_of(slow)
            assert frame["n"] == held["n"] + 1, "one frame, not those that it missed"
            assert frame["topics"]["books"]["rows"]["kraken|BTC/USDT"]["bid"] == "399"
            assert process.memory_info().rss - before < 30_000_000
    await bus.close()


async def _is(value: Any, wanted: float) -> bool:
    return bool(await value == wanted)


async def test_risk_confirms_a_halt_and_the_trail_shows_it(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    config = CONFIG.format(url=server.url, operator="true")
    async with dashboard(tmp_path, server, operator=True) as (running, browser):
        with ServiceProcess("risk", tmp_path, config) as risk:
            assert await browser.sign_in(folder, "operator") == 204
            told = (await browser.ask("GET", "/api/v1/me"))[1]
            assert (told["is_command_allowed"], told["is_token_fresh"]) == (True, True)

            async def has_state() -> bool:
                return (await browser.overview())["state"] == "HALTED"

            await eventually(has_state, timeout_s=20, what="risk reports")
            halt = {"action": "halt", "id": "press-1"}
            asked = [browser.ask("POST", "/api/v1/command", json=halt) for _ in range(2)]
            given = await asyncio.gather(*asked)
            given.append(await browser.ask("GET", "/api/v1/command?id=press-1"))
            assert given == [given[0]] * 3, "it is given once"
            code, told = given[0]
            assert (code, told["outcome"], told["state"]) == (202, "confirmed", "HALTED"), told
            assert (await browser.ask("GET", "/api/v1/command?id=press-2"))[0] == 404
            for body, status in (
                ({"action": "flatten"}, 400),
                ({"action": "resume", "typed": "active"}, 400),
                ({"action": "resume", "id": "press-1"}, 400),  # no answer of the HALT of that id
                ({"action": "kill"}, 400),
                ({"action": "flatten", "typed": "FLATTEN", "token": "wrong"}, 401),
            ):
                assert (await browser.ask("POST", "/api/v1/command", json=body))[0] == status
            viewer = (folder / "viewer.token").read_text().strip()
            body = {"action": "resume", "typed": "ACTIVE", "token": viewer}
            code, told = await browser.ask("POST", "/api/v1/command", json=body)
            assert (code, told["is_token_needed"]) == (403, True)

            async def is_told() -> bool:
                path = "/api/v1/snapshot?topic=log&topic=audit"
                topics = (await browser.ask("GET", path))[1]["topics"]
                events = [row["event"] for row in topics["log"]["rows"].values()]
                trail = [row["outcome"] for row in topics["audit"]["rows"].values()]
                return "command" in events and any(t.startswith("confirmed") for t in trail)

            await eventually(is_told)
            risk.process.kill()

            async def is_silent() -> bool:
                cells = await browser.overview()
                (row,) = [row for row in cells["processes"] if row["service"] == "risk"]
                return bool(row["is_silent"] and row["as_of_ms"] and cells["state"] == "HALTED")

            await eventually(is_silent, timeout_s=20, what="who is dead is told to be silent")
            before = (await browser.overview())["state_as_of_ms"]
            assert (await browser.overview())["state_as_of_ms"] == before
            assert running.end(signal.SIGTERM) == 0
    path = folder / "audit.jsonl"
    entries, flaw = verify(path.read_bytes().splitlines(keepends=True))
    assert not flaw
    (done,) = [entry for entry in entries if entry.command_id]
    assert (done.action, done.who, done.address) == ("halt", "operator-1", "127.0.0.1")
    edited = path.read_bytes().replace(b"127.0.0.1", b"127.0.0.2", 1)
    assert verify(edited.splitlines(keepends=True))[1] == "line 1 was changed"


async def test_a_disk_that_hangs_delays_no_halt(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server, operator=True) as (_, browser):
        assert await browser.sign_in(folder, "operator") == 204
        path = folder / "audit.jsonl"
        path.unlink()
        os.mkfifo(path)  # nobody reads it: to open it for writing does not return
        asking = asyncio.create_task(
            browser.ask("POST", "/api/v1/command", json={"action": "halt"})
        )
        async with open_link(server.url) as link:

            async def commands() -> list[Any]:
                return [item.message async for item in link.whole(CTL_COMMAND)]

            (halt,) = await eventually(commands, timeout_s=10)
        assert halt.kind is CommandKind.HALT
        assert "operator" in halt.operator
        with path.open("rb", buffering=0):  # the disk answers
            path.unlink()
            status, told = await asking
        assert (status, told["outcome"]) == (202, "not confirmed")
        entries, flaw = verify(path.read_bytes().splitlines(keepends=True), None, is_cut=True)
        assert entries, flaw


async def test_a_redis_that_hangs_is_said_before_the_page_gives_up(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server, operator=True) as (running, browser):
        await browser.sign_in(folder, "operator")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            halt = browser.ask("POST", "/api/v1/command", json={"action": "halt"})
            code, told = await asyncio.wait_for(halt, 8.0)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert (code, told["outcome"]) == (202, "not confirmed")
        assert "Redis does not answer" in told["text"]

        def is_written() -> bool:
            entries, _ = verify((folder / "audit.jsonl").read_bytes().splitlines(keepends=True))
            return any(entry.command_id for entry in entries)

        await eventually(is_written, timeout_s=30, what="it was given all the same")
        assert running.end(signal.SIGTERM) == 0


async def test_without_operator_nobody_gives_commands(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    async with dashboard(tmp_path, server) as (_, browser):
        await browser.sign_in(folder, "operator")
        code, told = await browser.ask("POST", "/api/v1/command", json={"action": "halt"})
        assert (code, told) == (403, {"error": "commands are off: dashboard.operator is false"})


async def test_redis_that_is_killed_leaves_figures_with_their_age_and_is_found_again(
    tmp_path: Path, server: EmbeddedServer, folder: Path
) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="test", instance="t")
    async with dashboard(tmp_path, server) as (running, browser):
        await browser.sign_in(folder)

        async def book() -> dict[str, Any]:
            frame = (await browser.ask("GET", "/api/v1/snapshot?topic=books"))[1]
            row: dict[str, Any] = frame["topics"]["books"]["rows"].get("kraken|BTC/USDT", {})
            return row

        async def is_known(bid: float) -> bool:
            await bus.publish([view(bid)])
            return (await book()).get("bid") == f"{bid:g}"

        async def is_read(expected: bool) -> bool:
            return (await browser.overview())["is_bus_read"] is expected

        await eventually(lambda: is_read(True), timeout_s=20)
        await eventually(lambda: is_known(5.0), timeout_s=20)
        await bus.close()
        known = await book()
        server.kill()
        await eventually(lambda: is_read(False), timeout_s=20)
        assert await book() == known, "it keeps its age"
        assert (await browser.overview())["bus_as_of_ms"] > 0
        server.start()
        bus = await open_bus(BusConfig(url=server.url), service="test", instance="t")
        await eventually(lambda: is_read(True), timeout_s=30)
        await eventually(lambda: is_known(6.0), timeout_s=30, what="it goes on by itself")
        await bus.close()
        assert running.process is not None and running.process.poll() is None
