"""A project of docker-compose.yml that runs, as tests see and hurt it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from decimal import Decimal
from typing import Any

import redis

from shared import codec
from shared.bus.signing import SIGNATURE, SigningKeys
from shared.messages.base import Message
from shared.messages.control import Command, CommandKind, Heartbeat
from shared.messages.execution import PlanDone, PlanOutcome, RiskReport, TradingStateChanged
from shared.streams import (
    ALERT,
    CTL_COMMAND,
    EXEC_EVENT,
    RISK_EVENT,
    SYS_HEALTH,
    StreamSpec,
)
from shared.watch.venue_comparison import Account, read_accounts
from tests.support import ROOT

UP_S = 180
# Recovery may leave remainders that no venue accepts as an order:
# about what the largest least order (of the perpetuals) is worth.
DUST = {"BTC": Decimal("0.0005"), "ETH": Decimal("0.01"), "SOL": Decimal("0.2")}
GOOD = {PlanOutcome.FILLED, PlanOutcome.HEDGED, PlanOutcome.UNWOUND}

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


class ComposeStack:
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

    def newest(self, spec: StreamSpec, count: int = 200) -> list[Message]:
        """The last entries' messages, oldest first; none while Redis is away."""
        try:
            entries = self.redis.xrevrange(spec.key(), count=count)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            self._reconnect()
            return []
        except redis.exceptions.BusyLoadingError:
            return []
        decoded = [codec.decode(spec, fields[codec.FIELD]) for _, fields in reversed(entries)]
        return [message for messages in decoded for message in messages]

    def _reconnect(self) -> None:
        """Ask for Redis' port again; it has none while its container starts."""
        with contextlib.suppress(AssertionError):
            self.redis = self.client("operator", self.redis_password())

    def redis_password(self) -> str:
        return str(self.redis.connection_pool.connection_kwargs["password"])

    def plans_done_since(self, ts_ns: int) -> list[PlanDone]:
        events = self.newest(EXEC_EVENT)
        return [e for e in events if isinstance(e, PlanDone) and e.ts_ns > ts_ns]

    def ready(self) -> dict[str, Heartbeat]:
        """The newest heartbeat of every service that is ready and was heard lately."""
        heard = [h for h in self.newest(SYS_HEALTH, 60) if isinstance(h, Heartbeat)]
        oldest_ns = time.time_ns() - 5_000_000_000
        return {h.service: h for h in heard if h.ready and h.ts_ns > oldest_ns}

    def say(self, kind: CommandKind) -> None:
        now_ns = time.time_ns()
        command = Command(ts_ns=now_ns, command_id=str(now_ns), kind=kind, operator="test")
        payload = codec.encode(CTL_COMMAND, [command])
        key = self.compose("exec", "-T", "risk", "cat", "/run/arb/secret/command_key").strip()
        signature = SigningKeys({"command": [key.encode()]}).sign(CTL_COMMAND, payload)
        entry: dict[Any, Any] = {codec.FIELD: payload, SIGNATURE: signature}
        self.redis.xadd(CTL_COMMAND.key(), entry)

    def report(self) -> RiskReport | None:
        reports = [m for m in self.newest(RISK_EVENT, 50) if isinstance(m, RiskReport)]
        return reports[-1] if reports else None

    def trading_state(self) -> TradingStateChanged | None:
        told = [m for m in self.newest(RISK_EVENT, 200) if isinstance(m, TradingStateChanged)]
        return told[-1] if told else None

    def is_flat(self) -> bool:
        report = self.report()
        assert report is not None
        assert not report.plans_in_flight, f"{report.plans_in_flight} plans in flight"
        left = {asset: q for asset, q in report.exposure.items() if abs(q) > DUST.get(asset, 0)}
        assert not left, f"exposure {left}\n{self.story()}"
        return True

    def story(self) -> str:
        """What a person would look at: plans that ended uneven, and alerts."""
        odd = [p for p in self.plans_done_since(0) if p.residual or p.outcome not in GOOD]
        return "\n".join(map(str, [*odd, *self.newest(ALERT)]))

    @classmethod
    def accounts(cls) -> dict[str, Account]:
        """Our accounts as the simulated venues keep them."""
        script = (
            "import urllib.request as u; print(u.urlopen("
            "'http://127.0.0.1:8090/control/accounts', timeout=5).read().decode())"
        )
        output = cls.compose("exec", "-T", "venuesim", "python", "-c", script)
        return read_accounts(json.loads(output))

    def open_orders(self) -> int:
        return sum(len(account.open_orders) for account in self.accounts().values())

    def kill(self, service: str, index: int = 1) -> None:
        """Kill a service's process from within: ``docker kill`` would not be undone."""
        run = ("exec", "-T", f"--index={index}", service, "python", "-c", KILL, service)
        self.compose(*run, check=False)

    def kill_redis(self, service: str = "redis") -> None:
        self.compose("exec", "-T", service, "sh", "-c", KILL_REDIS, check=False)
