"""`arb doctor` on a real server."""

from __future__ import annotations

import json
import time

from shared.bus.tuning import dead_key
from shared.embedded import EmbeddedServer
from shared.streams import EXEC_PLAN
from shared.watch.link import Link
from tests.decision_builders import make_view
from tests.integration.test_cli import arb_meanwhile, say
from tests.support import ROOT

EXAMPLE = str(ROOT / "arb.example.toml")


async def test_a_server_and_its_faults_are_told(link: Link, server: EmbeddedServer) -> None:
    await say(link, make_view("alpha", ts_ns=time.time_ns()))
    ask = ("doctor", "--config", EXAMPLE, "--redis", server.url)
    done = await arb_meanwhile(*ask)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    levels = {each["name"]: each["level"] for each in await checks(*ask)}
    assert levels["config"] == levels["redis eviction"] == levels["redis clock"] == "ok"
    assert levels["redis users"] == "warning"
    await link._redis.xadd(dead_key(EXEC_PLAN.name), {"m": "x"})
    await link._redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = {each["name"]: each for each in await checks(*ask)}
        assert (await arb_meanwhile(*ask)).returncode == 1
    finally:
        await link._redis.config_set("maxmemory-policy", "noeviction")
    assert found["redis eviction"]["level"] == "failed"
    assert found["dead letters"]["text"] == "entries were not handled: 1 of exec.plan"


async def checks(*arguments: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((await arb_meanwhile(*arguments, "--json")).stdout)[
        "checks"
    ]
    return found
