"""What ``deploy.prepare`` writes for a group of Redis: real servers and Sentinels start with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from shared.bus.redis_streams import RedisBus
from shared.config_sections import BusConfig
from shared.errors import BusUnavailable
from tests.ports import free_ports
from tests.redis_group import Process
from tests.support import ROOT, eventually_sync


def test_users_of_the_group_can_do_their_work_and_services_find_the_primary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    for user_folder in ("acl", "config", "secrets"):
        (run / user_folder).mkdir(parents=True)
    environ = {**os.environ, "ARB_RUN_DIR": str(run), "ARB_REDIS_FIRST": "127.0.0.1"}
    for _ in range(2):  # again: what exists is kept
        done = subprocess.run(
            [sys.executable, "-m", "deploy.prepare"],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    first, second, watcher = free_ports(3)
    server = (
        f"aclfile {run}/acl/users.acl\ninclude {run}/acl/replication.conf\n"
        f"include {ROOT}/deploy/redis/failover.conf\n"
    )
    follows = f"{server}replicaof 127.0.0.1 {first}\n"
    sentinel = (run / "acl" / "sentinel.conf").read_text()
    sentinel = sentinel.replace("port 26379\n", "").replace(" 6379 2", f" {first} 1")
    group = [
        Process(tmp_path / "first", first, server, "server", ""),
        Process(tmp_path / "second", second, follows, "server", ""),
        Process(tmp_path / "sentinel", watcher, sentinel, "sentinel", ""),
    ]
    monkeypatch.setenv("ARB_REDIS_USERNAME", "risk")
    monkeypatch.setenv("ARB_REDIS_PASSWORD_FILE", str(run / "secrets/risk/redis_password"))
    monkeypatch.setenv("ARB_REDIS_SENTINEL_USERNAME", "arb")
    monkeypatch.setenv(
        "ARB_REDIS_SENTINEL_PASSWORD_FILE", str(run / "secrets/risk/redis_sentinel_password")
    )
    try:
        for each in group:
            each.start()
        told: dict[str, object] = {}

        def is_watched() -> bool:
            password = (run / "secrets/risk/redis_sentinel_password").read_text().strip()
            with redis.Redis(
                port=watcher, username="arb", password=password, protocol=2, retry=None
            ) as client:
                try:
                    told.update(client.sentinel_master("arb"))
                except redis.exceptions.ConnectionError:
                    return False
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command("SENTINEL", "RESET", "arb")
            return told["num-slaves"] == 1 and told["flags"] == "master"

        eventually_sync(is_watched, timeout_s=30, every_s=0.2, what="the Sentinel sees both")

        async def hold() -> int:
            """Hold risk's lease, as soon as the replica has caught up and confirms it."""
            url = f"redis+sentinel://127.0.0.1:{watcher}/arb/0"
            bus = RedisBus(BusConfig(url=url), service="risk", instance="r1")
            try:
                await bus.connect()
                async with asyncio.timeout(30):
                    while True:
                        with contextlib.suppress(BusUnavailable):
                            return await bus.hold_lease("risk", "r1", 2_000)
                        await asyncio.sleep(0.2)
            finally:
                await bus.close()

        assert asyncio.run(hold()) >= 1
    finally:
        for each in reversed(group):
            each.kill()
