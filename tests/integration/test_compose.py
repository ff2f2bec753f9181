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

import pytest
import redis
from testcontainers.compose import DockerCompose

from deploy.services import FILES
from shared.messages.base import TradingState
from shared.messages.control import CommandKind, Heartbeat
from shared.messages.execution import PlanOutcome
from shared.services import ALL_SERVICES
from shared.services import USUAL_SERVICES as SERVICES
from shared.streams import (
    EXEC_EVENT,
    SYS_HEALTH,
)
from tests.compose_stack import UP_S, ComposeStack
from tests.stack_view import GOOD
from tests.support import ROOT, eventually_sync

PROJECT = "arbstream-test"
HEAL_S, PLANS_S = 60, 120
AOF_LAG_MS = 3_000
"""What is older was surely written to the append-only file."""
pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stack() -> Iterator[ComposeStack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPOSE_PROJECT_NAME", PROJECT)
        for port in ("ARB_REDIS_PORT", "ARB_METRICS_PORT", "ARB_DASHBOARD_PORT"):
            patch.setenv(port, "0")  # any free one
        patch.delenv("ARB_TOML", raising=False)
        compose = DockerCompose(ROOT, build=True, wait=False, profiles=["demo"])
        compose.stop(down=True)
        try:
            compose.start()
            yield ComposeStack()
        finally:
            # pytest shows this with the test that failed.
            print(ComposeStack.compose("ps", "--all", check=False))
            print(ComposeStack.compose("logs", "--no-color", "--tail", "40", check=False)[-30_000:])
            compose.stop(down=True)  # volumes too


def test_the_whole_stack_comes_up_and_trades(stack: ComposeStack) -> None:
    eventually_sync(lambda: set(stack.ready()) == set(SERVICES), timeout_s=UP_S, what="all ready")
    eventually_sync(
        lambda: [p for p in stack.plans_done_since(0) if p.outcome is PlanOutcome.FILLED],
        timeout_s=PLANS_S,
        every_s=0.5,
        what="an executed plan",
    )
    ends = {p.outcome for p in stack.plans_done_since(0)}
    assert ends <= {*GOOD, PlanOutcome.UNFILLED, PlanOutcome.REFUSED}


def test_who_follows_the_logs_sees_it_trade(stack: ComposeStack) -> None:
    def shows_a_plan() -> bool:
        said = stack.compose("logs", "--no-color", "--no-log-prefix", "executor").splitlines()
        ended = [json.loads(line[line.index("{") :]) for line in said if '"plan_done"' in line]
        return any(each["outcome"] == "FILLED" and each["realized"] for each in ended)

    eventually_sync(shows_a_plan, timeout_s=60, every_s=2)


def test_the_operator_looks_in(stack: ComposeStack) -> None:
    status = json.loads(stack.compose("run", "--rm", "-T", "arb", "status", "--json"))
    assert status["well"], status["missing"]
    line = stack.compose(
        "run", "--rm", "-T", "arb", "tail", "exec.plan", "--since", "0", "--count", "1", "--json"
    )
    assert json.loads(line)


def test_containers_are_confined(stack: ComposeStack) -> None:
    containers = stack.inspect()
    assert len(containers) == len(SERVICES) + 4  # redis, venuesim, prepare, prepare-demo
    for container in containers:
        name, host = container["Name"], container["HostConfig"]
        assert host["ReadonlyRootfs"], f"{name}: root is writable"
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{name}: capabilities"
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert 0 < host["PidsLimit"] <= 256, f"{name}: any number of processes"
        assert host["Memory"] or "prepare" in name, f"{name}: any amount of memory"
        assert container["Config"]["User"] in {"10001:10001", "redis"}, f"{name}: runs as root"
        for bindings in (host["PortBindings"] or {}).values():
            assert all(b["HostIp"] == "127.0.0.1" for b in bindings), f"{name}: beyond loopback"
    for service in ("orderbook", "scanner", "risk"):
        assert stack.container(service)["HostConfig"]["NetworkMode"] == "none"
    shares = {s: stack.container(s)["HostConfig"]["CpuShares"] for s in SERVICES}
    watching = {spec.name for spec in ALL_SERVICES if spec.gives_way}
    assert {service for service, share in shares.items() if share} == watching & set(SERVICES)


def test_only_redis_can_write_where_its_socket_is(stack: ComposeStack) -> None:
    """A socket that another binds there would be told every password while Redis is away."""
    for container in stack.inspect():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        mounts = {m["Destination"]: m["RW"] for m in container["Mounts"]}
        assert not mounts.get("/run/redis") or service == "redis", f"{service} may write there"
    bind = "import socket; socket.socket(socket.AF_UNIX).bind('/run/redis/other.sock')"
    for service in ("scanner", "executor"):
        done = stack.compose("exec", "-T", service, "sh", "-c", f'python -c "{bind}" 2>&1; true')
        assert "Read-only file system" in done, f"{service}: {done}"


def test_the_scanner_can_read_what_the_recorder_keeps_and_not_write_it(stack: ComposeStack) -> None:
    mounts = {m["Destination"]: m["RW"] for m in stack.container("scanner")["Mounts"]}
    assert mounts[FILES] is False
    stack.compose("exec", "-T", "scanner", "ls", FILES)
    done = stack.compose("exec", "-T", "scanner", "sh", "-c", f"touch {FILES}/x 2>&1; true")
    assert "Read-only file system" in done


def test_the_other_choice_is_refused_while_the_stack_runs(stack: ComposeStack) -> None:
    done = subprocess.run(
        ["docker", "compose", "up", "prepare"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=UP_S,
        check=False,
    )
    output = done.stdout + done.stderr
    assert "running on the demo configuration; repeat this with --profile demo" in output, output[
        -800:
    ]
    config = stack.compose("exec", "-T", "executor", "cat", "/run/arb/config/arb.toml")
    assert "venuesim" in config


def test_users_may_only_do_their_work(stack: ComposeStack) -> None:
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
def test_a_killed_service_comes_back(stack: ComposeStack, service: str) -> None:
    before = stack.ready().get(service)
    restarts = stack.container(service)["RestartCount"]
    stack.kill(service)

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


def test_redis_killed_and_everything_heals(stack: ComposeStack) -> None:
    done = {p.plan_id for p in stack.plans_done_since(0)}
    synced_ms = time.time() * 1_000 - AOF_LAG_MS
    events = [raw for raw, _ in stack.redis.xrevrange(EXEC_EVENT.key(), count=100)]
    kept = [raw for raw in events if int(raw.partition(b"-")[0]) < synced_ms]
    assert kept
    stack.kill_redis()
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


def test_orderbook_scales_by_shards(stack: ComposeStack) -> None:
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


def test_halted_it_is_flat_and_leaves_no_order(stack: ComposeStack) -> None:
    stack.say(CommandKind.HALT)
    eventually_sync(
        lambda: (report := stack.report()) and report.state is TradingState.HALTED,
        timeout_s=20,
        what="HALTED",
    )
    eventually_sync(stack.is_flat, timeout_s=HEAL_S, every_s=0.5)
    assert stack.open_orders() == 0
    assert not [p for p in stack.plans_done_since(0) if p.outcome is PlanOutcome.FAILED]


def test_stopped_every_service_drains_and_exits_in_order(stack: ComposeStack) -> None:
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
        "ARB_METRICS_PORT": "0",
        "ARB_DASHBOARD_PORT": "0",
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
        output = compose("up", "prepare")
        assert "executor.mode paper" in output, output[-800:]
        # The demo's venues left running, as `down` without the profile leaves them, choose nothing.
        output = compose("--profile", "demo", "up", "prepare")
        assert "executor.mode simulated" in output, output[-800:]
        compose("down")
        assert "venuesim" in compose("--profile", "demo", "ps", "--services")
        output = compose("up", "prepare")
        assert "executor.mode paper" in output, output[-800:]
        # Each has data of its own: one Redis holds the ledger of one mode.
        for words, ours in ((["--profile", "demo"], "/data/demo"), ([], "/data")):
            compose(*words, "up", "--detach", "--wait", "redis")
            held = compose("exec", "-T", "redis", "sh", "-c", "readlink -f /proc/[0-9]*/cwd")
            assert ours in held.split(), held
            compose("down")
    finally:
        compose("--profile", "demo", "down", "--volumes", "--timeout", "5")
