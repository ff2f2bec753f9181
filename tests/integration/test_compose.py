"""docker-compose.yml as a newcomer runs it: brought up, watched, every process killed, taken down.

The stack of the ``demo`` profile under a project name of its own. Processes are killed from within
their container: ``docker kill`` would count as an operator's decision, and not be undone.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import redis
from testcontainers.compose import DockerCompose

from shared import codec
from shared.bus.signing import SIGNATURE, SigningKeys
from shared.messages.base import Message, TradingState
from shared.messages.control import Command, CommandKind, Heartbeat
from shared.messages.execution import PlanDone, PlanOutcome, RiskReport
from shared.services import USUAL_SERVICES as SERVICES
from shared.streams import (
    ALERT,
    CTL_COMMAND,
    EXEC_EVENT,
    RISK_EVENT,
    SYS_HEALTH,
    StreamSpec,
)
from tests.support import ROOT, eventually_sync

PROJECT = "arbstream-test"
UP_S, HEAL_S, PLANS_S = 180, 60, 120
AOF_LAG_MS = 3_000
"""What is older was surely written to the append-only file."""
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

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(600)]


class Stack:
    """The running project, seen as its operator sees it: through Redis' loopback port."""

    def __init__(self) -> None:
        self.redis: redis.Redis = self.client("operator", self.password("arb", run=True))

    @staticmethod
    def compose(*arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["docker", "compose", "--profile", "demo", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=UP_S,
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
    def container(cls, service: str) -> dict[str, Any]:
        label = "com.docker.compose.service"
        return next(c for c in cls.inspect() if c["Config"]["Labels"][label] == service)

    def newest(self, spec: StreamSpec, count: int = 200) -> list[Message]:
        """The last entries' messages, oldest first; none while Redis is away."""
        try:
            entries = self.redis.xrevrange(spec.key(), count=count)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            self.redis = self.client("operator", self.redis_password())
            return []
        except redis.exceptions.BusyLoadingError:
            return []
        decoded = [codec.decode(spec, fields[codec.FIELD]) for _, fields in reversed(entries)]
        return [message for messages in decoded for message in messages]

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

    def open_orders(self) -> int:
        script = (
            "import urllib.request as u; print(u.urlopen("
            "'http://127.0.0.1:8090/control/accounts', timeout=5).read().decode())"
        )
        accounts = json.loads(self.compose("exec", "-T", "venuesim", "python", "-c", script))
        return sum(len(account["open_orders"]) for account in accounts.values())


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPOSE_PROJECT_NAME", PROJECT)
        patch.setenv("ARB_REDIS_PORT", "0")  # any free one
        patch.delenv("ARB_TOML", raising=False)
        compose = DockerCompose(ROOT, build=True, wait=False, profiles=["demo"])
        compose.stop(down=True)
        try:
            compose.start()
            yield Stack()
        finally:
            # pytest shows this with the test that failed.
            print(Stack.compose("ps", "--all", check=False))
            print(Stack.compose("logs", "--no-color", "--tail", "40", check=False)[-30_000:])
            compose.stop(down=True)  # volumes too


def test_the_whole_stack_comes_up_and_trades(stack: Stack) -> None:
    eventually_sync(lambda: set(stack.ready()) == set(SERVICES), timeout_s=UP_S, what="all ready")
    eventually_sync(
        lambda: [p for p in stack.plans_done_since(0) if p.outcome is PlanOutcome.FILLED],
        timeout_s=PLANS_S,
        every_s=0.5,
        what="an executed plan",
    )
    assert {p.outcome for p in stack.plans_done_since(0)} <= {*GOOD, PlanOutcome.UNFILLED}


def test_the_operator_looks_in(stack: Stack) -> None:
    status = json.loads(stack.compose("run", "--rm", "-T", "arb", "status", "--json"))
    assert status["well"], status["missing"]
    line = stack.compose(
        "run", "--rm", "-T", "arb", "tail", "exec.plan", "--since", "0", "--count", "1", "--json"
    )
    assert json.loads(line)


def test_containers_are_confined(stack: Stack) -> None:
    containers = stack.inspect()
    assert len(containers) == len(SERVICES) + 4  # redis, venuesim, prepare, prepare-demo
    for container in containers:
        name, host = container["Name"], container["HostConfig"]
        assert host["ReadonlyRootfs"], f"{name}: root is writable"
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{name}: capabilities"
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert container["Config"]["User"] in {"10001:10001", "redis"}, f"{name}: runs as root"
        for bindings in (host["PortBindings"] or {}).values():
            assert all(b["HostIp"] == "127.0.0.1" for b in bindings), f"{name}: beyond loopback"
    for service in ("orderbook", "scanner", "risk"):
        assert stack.container(service)["HostConfig"]["NetworkMode"] == "none"


def test_only_redis_can_write_where_its_socket_is(stack: Stack) -> None:
    """A socket that another binds there would be told every password while Redis is away."""
    for container in stack.inspect():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        mounts = {m["Destination"]: m["RW"] for m in container["Mounts"]}
        assert not mounts.get("/run/redis") or service == "redis", f"{service} may write there"
    bind = "import socket; socket.socket(socket.AF_UNIX).bind('/run/redis/other.sock')"
    for service in ("scanner", "executor"):
        done = stack.compose("exec", "-T", service, "sh", "-c", f'python -c "{bind}" 2>&1; true')
        assert "Read-only file system" in done, f"{service}: {done}"


def test_the_other_choice_is_refused_while_the_stack_runs(stack: Stack) -> None:
    done = subprocess.run(
        ["docker", "compose", "up", "prepare"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=UP_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "running on the demo configuration; repeat this with --profile demo" in said, said[-800:]
    config = stack.compose("exec", "-T", "executor", "cat", "/run/arb/config/arb.toml")
    assert "venuesim" in config


def test_users_may_only_do_their_work(stack: Stack) -> None:
    scanner = stack.client("scanner", stack.password("scanner"))
    for key in ("{arb}:exec.plan", "{arb}:exec.event", "{arb}:ctl.command", "{0}:md.depth"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            scanner.xadd(key, {"m": "[]"})
    with pytest.raises(redis.exceptions.NoPermissionError):
        scanner.flushall()
    with pytest.raises(redis.exceptions.NoPermissionError):
        stack.redis.xadd("{arb}:exec.plan", {"m": "[]"})
    with pytest.raises(redis.exceptions.NoPermissionError):
        stack.client("health", "").xrevrange("{arb}:exec.plan")
    for user, password in (("default", ""), ("risk", stack.password("scanner"))):
        with pytest.raises(redis.exceptions.AuthenticationError):
            stack.client(user, password).ping()


@pytest.mark.parametrize("service", ["scanner", "orderbook", "risk", "executor", "ingestor"])
def test_a_killed_service_comes_back(stack: Stack, service: str) -> None:
    before = stack.ready().get(service)
    restarts = stack.container(service)["RestartCount"]
    stack.compose("exec", "-T", service, "python", "-c", KILL, service, check=False)

    def is_back() -> bool:
        found = stack.ready().get(service)
        return found is not None and (before is None or found.ts_started_ns > before.ts_started_ns)

    eventually_sync(is_back, timeout_s=HEAL_S, every_s=0.2, what=f"{service} ready again")
    assert stack.container(service)["RestartCount"] > restarts
    ts_back_ns = time.time_ns()
    eventually_sync(
        lambda: [p for p in stack.plans_done_since(ts_back_ns) if p.outcome in GOOD],
        timeout_s=PLANS_S,
        every_s=0.5,
        what="plans executed after it",
    )


def test_redis_killed_and_everything_heals(stack: Stack) -> None:
    done = {p.plan_id for p in stack.plans_done_since(0)}
    synced_ms = time.time() * 1_000 - AOF_LAG_MS
    events = [raw for raw, _ in stack.redis.xrevrange(EXEC_EVENT.key(), count=100)]
    kept = [raw for raw in events if int(raw.partition(b"-")[0]) < synced_ms]
    assert kept
    stack.compose("exec", "-T", "redis", "sh", "-c", KILL_REDIS, check=False)
    eventually_sync(
        lambda: stack.container("redis")["RestartCount"] and set(stack.ready()) == set(SERVICES),
        timeout_s=HEAL_S,
        every_s=0.5,
        what="all ready again",
    )
    # Transactions come back from the append-only file too: Redis replays them as "default".
    assert all(stack.redis.xrange(EXEC_EVENT.key(), raw, raw) for raw in kept)
    assert "AOF-loading-client" not in stack.compose("logs", "redis")
    eventually_sync(
        lambda: {p.plan_id for p in stack.plans_done_since(0) if p.outcome in GOOD} - done,
        timeout_s=PLANS_S,
        every_s=0.5,
        what="plans executed after it",
    )


def test_orderbook_scales_by_shards(stack: Stack) -> None:
    stack.compose("up", "--detach", "--no-recreate", "--scale", "orderbook=2")

    def owners() -> dict[str, float]:
        oldest_ns = time.time_ns() - 3_000_000_000
        heard = [h for h in stack.newest(SYS_HEALTH, 60) if isinstance(h, Heartbeat)]
        alive = [h for h in heard if h.service == "orderbook" and h.ts_ns > oldest_ns and h.ready]
        return {h.instance: h.gauges.get("books_live", 0) for h in alive}

    eventually_sync(
        lambda: len(owners()) == 2 and all(owners().values()),
        timeout_s=HEAL_S,
        every_s=0.5,
        what="two orderbooks with live books each",
    )


def test_halted_it_is_flat_and_leaves_no_order(stack: Stack) -> None:
    stack.say(CommandKind.HALT)
    eventually_sync(
        lambda: (report := stack.report()) and report.state is TradingState.HALTED,
        timeout_s=20,
        what="HALTED",
    )
    eventually_sync(stack.is_flat, timeout_s=HEAL_S, every_s=0.5)
    assert stack.open_orders() == 0
    assert not [p for p in stack.plans_done_since(0) if p.outcome is PlanOutcome.FAILED]


def test_stopped_every_service_drains_and_exits_in_order(stack: Stack) -> None:
    stack.compose("stop", *SERVICES)
    for service in SERVICES:
        state = stack.container(service)["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False), f"{service}: {state}"


def test_without_the_demo_it_is_real_data_and_paper() -> None:
    """The other plain command; no venue can be reached, so only what it would start is seen."""
    environ = {
        **os.environ,
        "COMPOSE_PROJECT_NAME": f"{PROJECT}-plain",
        "ARB_TOML": "",
        "ARB_REDIS_PORT": "0",
    }

    def compose(*arguments: str) -> str:
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=UP_S,
            env=environ,
            check=False,
        )
        return done.stdout + done.stderr

    try:
        assert set(compose("config", "--services").split()) == {"prepare", "redis", *SERVICES}
        said = compose("up", "prepare")
        assert "executor.mode paper" in said, said[-800:]
        # The demo's venues left running, as `down` without the profile leaves them, choose nothing.
        said = compose("--profile", "demo", "up", "prepare")
        assert "executor.mode simulated" in said, said[-800:]
        compose("down")
        assert "venuesim" in compose("--profile", "demo", "ps", "--services")
        said = compose("up", "prepare")
        assert "executor.mode paper" in said, said[-800:]
        # Each has data of its own: one Redis holds the ledger of one mode.
        for words, ours in ((["--profile", "demo"], "/data/demo"), ([], "/data")):
            compose(*words, "up", "--detach", "--wait", "redis")
            held = compose("exec", "-T", "redis", "sh", "-c", "readlink -f /proc/[0-9]*/cwd")
            assert ours in held.split(), held
            compose("down")
    finally:
        compose("--profile", "demo", "down", "--volumes", "--timeout", "5")
