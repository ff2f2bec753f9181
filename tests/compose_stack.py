"""A project of docker-compose.yml that runs, as tests see and hurt it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import redis

from shared.watch.venue_comparison import Account, read_accounts
from tests.stack_view import StackView
from tests.support import ROOT

UP_S = 180
KILL = """
import os, signal, sys
for pid in filter(str.isdigit, os.listdir('/proc')):
    command = open(f'/proc/{pid}/cmdline').read().split(chr(0))
    if int(pid) not in (1, os.getpid()) and f'services.{sys.argv[1]}' in command:
        os.kill(int(pid), signal.SIGKILL)
"""
KILL_REDIS = (
    "for p in /proc/[0-9]*; do [ $p = /proc/1 ] || "
    '{ read -r name < $p/comm; [ "$name" != redis-server ] || kill -9 ${p#/proc/}; }; done'
)


class ComposeStack(StackView):
    """The running project, seen as its operator sees it: through Redis' loopback port.

    Which project it is, and of which files, docker compose takes from the environment.
    """

    profiles = ("demo",)

    def __init__(self) -> None:
        self.redis: redis.Redis = self.client("operator", self.password("arb", run=True))

    @classmethod
    def compose(cls, *arguments: str, check: bool = True, within_s: float = UP_S) -> str:
        profiles = [f"--profile={name}" for name in cls.profiles]
        done = subprocess.run(
            ["docker", "compose", *profiles, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr[-500:]}"
        return done.stdout

    @classmethod
    def password(cls, service: str, *, run: bool = False) -> str:
        how = ["run", "--rm", "-T", "--entrypoint", "cat"] if run else ["exec", "-T"]
        command = [service] if run else [service, "cat"]
        return cls.compose(*how, *command, "/run/arb/secret/redis_password").strip()

    @classmethod
    def client(cls, user: str, password: str) -> redis.Redis:
        host, _, port = cls.compose("port", "redis", "6379").strip().rpartition(":")
        assert host == "127.0.0.1"
        return redis.Redis(
            host=host,
            port=int(port),
            username=user,
            password=password,
            protocol=2,
            socket_timeout=5,
            retry=None,
        )

    @classmethod
    def inspect(cls) -> list[dict[str, Any]]:
        ids = cls.compose("ps", "--all", "--quiet").split()
        done = subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True)
        return json.loads(done.stdout)

    @classmethod
    def container(cls, service: str, index: int = 1) -> dict[str, Any]:
        """Return what Docker says of a service's container; ``index`` where there are several."""
        wanted = {"service": service, "container-number": str(index)}
        return next(
            each
            for each in cls.inspect()
            if all(
                each["Config"]["Labels"][f"com.docker.compose.{name}"] == value
                for name, value in wanted.items()
            )
        )

    def redis_password(self) -> str:
        return str(self.redis.connection_pool.connection_kwargs["password"])

    def login(self) -> redis.Redis:
        return self.client("operator", self.redis_password())

    def command_key(self) -> bytes:
        key = self.compose("exec", "-T", "risk", "cat", "/run/arb/secret/command_key")
        return key.strip().encode()

    @classmethod
    def accounts(cls) -> dict[str, Account]:
        script = (
            "import urllib.request as u; print(u.urlopen("
            "'http://127.0.0.1:8090/control/accounts', timeout=5).read().decode())"
        )
        output = cls.compose("exec", "-T", "venuesim", "python", "-c", script)
        return read_accounts(json.loads(output))

    def kill(self, service: str, index: int = 1) -> None:
        """Kill a service's process from within: ``docker kill`` would not be undone."""
        run = ("exec", "-T", f"--index={index}", service, "python", "-c", KILL, service)
        self.compose(*run, check=False)

    def kill_redis(self, service: str = "redis") -> None:
        self.compose("exec", "-T", service, "sh", "-c", KILL_REDIS, check=False)
