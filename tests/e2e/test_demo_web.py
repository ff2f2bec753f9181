"""`arb demo --web`: a browser signs in, sees the system live, halts it and lets it go on."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

from tests.support import ROOT, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def address_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"(http://\S+)/#token=(\S+)", line):
            return found[1], found[2]
    raise AssertionError("it did not say where")


async def test_a_browser_sees_the_demo_and_commands_it() -> None:
    command = [sys.executable, "-m", "services.cli.main", "demo", "--seconds", "20", "--web"]
    with subprocess.Popen(
        [*command, "--json"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as demo:
        try:
            url, token = await asyncio.to_thread(address_of, demo)
            reading = asyncio.create_task(asyncio.to_thread(demo.communicate))
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
                await look_and_command(http, url, token)
            out, err = await reading
        finally:
            demo.kill()
    report = json.loads(out)
    assert demo.returncode == 0, err[-2_000:]
    assert report["services"]["dashboard"]["restarts"] == 0
    assert report["ledger_equal"] is True


async def look_and_command(http: aiohttp.ClientSession, url: str, token: str) -> None:
    own = {"Origin": url, "X-Arb": "1"}

    async def signed_in() -> bool:
        try:
            async with http.post(
                f"{url}/api/v1/session", json={"token": token}, headers=own
            ) as reply:
                assert reply.status == 204, reply.status
        except aiohttp.ClientConnectionError:
            return False
        return True

    await eventually(signed_in, timeout_s=30)
    shown: dict[str, dict[str, Any]] = {}
    async with http.ws_connect(f"{url}/api/v1/live", headers={"Origin": url}) as live:
        assert (await live.receive_json())["is_command_allowed"] is True
        await live.send_json({"type": "sub", "topics": ["overview", "books"]})

        async def is_trading() -> bool:
            frame = await live.receive_json()
            await live.send_json({"type": "ack", "n": frame["n"]})
            for name, patch in frame["topics"].items():
                shown.setdefault(name, {}).update(patch.get("rows", patch.get("cells")))
            assert shown["overview"]["state"] == "ACTIVE"
            assert all(book["state"] == "LIVE" for book in shown["books"].values())
            return True

        await eventually(is_trading, timeout_s=60)
    assert shown["overview"]["mode"] == "simulated"
    assert shown["overview"]["money_as_of_ms"] > 0
    assert all(venue["feed"] == "LIVE" for venue in shown["overview"]["venues"])
    for action, typed, state in (("halt", "", "HALTED"), ("resume", "ACTIVE", "ACTIVE")):
        body = {"action": action, "typed": typed}
        async with http.post(f"{url}/api/v1/command", json=body, headers=own) as reply:
            told = await reply.json()
            assert (reply.status, told["outcome"], told["state"]) == (202, "confirmed", state), told
