"""What is done to the stack: each fault begins, lasts, and is taken back."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import redis

from shared.messages.control import CommandKind
from shared.services import USUAL_SERVICES as SERVICES
from shared.venues.registry import ADAPTERS
from shared.watch.venue_comparison import Account
from tests.compose_stack import ComposeStack
from tests.support import eventually_sync

RECORDER, SIMULATION = "recorder", "venuesim"
STANDBYS = ("risk", "executor")
"""Services of which a second container stands by."""
ATTEMPTS, ATTEMPT_S = 10, 1.0
FAIL_OVER_S = 60
"""Sentinel needs some seconds; a busy machine more."""
TO_VENUES = ("ingestor", "executor")
"""Services with a way to the venues."""
FILL_DISK = """
with open('/var/lib/arbstream/fill', 'wb', buffering=0) as file:
    try:
        while True:
            file.write(bytes(65536))
    except OSError as error:
        print(error)
"""
FREE_DISK = "import os; os.remove('/var/lib/arbstream/fill')"
VENUE_FAULT = """
import sys, urllib.request as u
request = u.Request('http://127.0.0.1:8090/control/fault', sys.argv[1].encode())
print(u.urlopen(request, timeout=5).read())
"""


class ChaosStack(ComposeStack):
    """The demo with a recorder that keeps a ledger."""

    profiles = ("demo", "record")
    servers: tuple[str, ...] = ("redis",)

    def __init__(self, before: dict[str, Account]) -> None:
        super().__init__()
        self.before = before
        """The venues' accounts before anybody could trade there."""

    def docker(self, *arguments: str) -> None:
        """Run a command of Docker; again where a container is just starting."""
        for _ in range(ATTEMPTS):
            done = subprocess.run(
                ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
            )
            if done.returncode == 0:
                return
            time.sleep(ATTEMPT_S)
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")

    def container_name(self, service: str, index: int = 1) -> str:
        return str(self.container(service, index)["Name"]).lstrip("/")

    def network(self) -> str:
        """The network to the venues, by its name in Docker."""
        networks = self.container(SIMULATION)["NetworkSettings"]["Networks"]
        return next(iter(networks))

    @staticmethod
    def instance(service: str, chance: random.Random) -> int:
        """Draw one of a service's containers, by its number: the active one or its standby."""
        return chance.choice((1, 2)) if service in STANDBYS else 1


class GroupStack(ChaosStack):
    """The same with a group of Redis, whose primary Sentinel names (deploy/failover.yml)."""

    servers = ("redis", "redis-2", "redis-3")

    @classmethod
    @cache
    def address(cls, service: str) -> str:
        """Of a container; it stays, because Sentinel names servers by it."""
        networks = cls.container(service)["NetworkSettings"]["Networks"].values()
        return next(str(network["IPAMConfig"]["IPv4Address"]) for network in networks)

    @classmethod
    def primary(cls) -> str:
        """The service that is the primary."""
        ask = ("--user", "health", "--pass", "", "--no-auth-warning", "--raw")
        ask += ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "arb")
        told = cls.compose("exec", "-T", "redis-sentinel", "redis-cli", "-p", "26379", *ask)
        return next(name for name in cls.servers if cls.address(name) == told.split()[0])

    @classmethod
    def client(cls, user: str, password: str) -> redis.Redis:
        return redis.Redis(
            host=cls.address(cls.primary()),
            username=user,
            password=password,
            protocol=2,
            socket_timeout=5,
            retry=None,
        )

    def say(self, kind: CommandKind) -> None:
        """Say it to the primary of now; the one of before only repeats it."""
        self._reconnect()
        super().say(kind)

    def bus_network(self) -> str:
        """The network to the servers, by its name in Docker; nothing else leads to them."""
        networks = self.container(self.servers[1])["NetworkSettings"]["Networks"]
        return next(iter(networks))

    def replace_primary(self) -> None:
        """Kill the primary's container for good, and start it once another has taken over."""
        before = self.primary()
        name = self.container_name(before)
        self.docker("kill", name)
        try:
            eventually_sync(
                lambda: self.primary() != before, timeout_s=FAIL_OVER_S, what="another primary"
            )
        finally:
            self.docker("start", name)


@dataclass
class Fault:
    """One fault, drawn but not done yet.

    Args:
        kind: What it is called in the report.
        target: Which service it hurts.
        seconds: How long it lasts.
        begin: Does it.
        end: Takes it back, where it does not end by itself.
    """

    kind: str
    target: str
    begin: Callable[[], object]
    end: Callable[[], object] | None = None
    seconds: float = 0.0

    def happen(self) -> None:
        """Do it, wait, and take it back."""
        self.begin()
        time.sleep(self.seconds)
        if self.end is not None:
            self.end()


def draw(stack: ChaosStack, chance: random.Random) -> Fault:
    """Return the next fault."""
    often = (_kill, _kill, _kill, _pause, _pause, _venue, _venue, _venue)
    rarely = (_cut_off, _kill_redis, _pause_redis, _kill_venues, _restart, _fill_disk)
    of_groups = (
        (_fail_over, _fail_over, _cut_off_bus, _cut_off_bus)
        if isinstance(stack, GroupStack)
        else ()
    )
    return chance.choice((*often, *rarely, *of_groups))(stack, chance)


def _kill(stack: ChaosStack, chance: random.Random) -> Fault:
    target = chance.choice((*SERVICES, RECORDER))
    return Fault("kill -9", target, partial(stack.kill, target, stack.instance(target, chance)))


def _pause(stack: ChaosStack, chance: random.Random) -> Fault:
    """Freeze every process of a container: what SIGSTOP does, and a machine that stands still."""
    target = chance.choice((*SERVICES, RECORDER))
    name = stack.container_name(target, stack.instance(target, chance))
    return Fault(
        "freeze",
        target,
        partial(stack.docker, "pause", name),
        partial(stack.docker, "unpause", name),
        seconds=chance.uniform(0.5, 8.0),
    )


def _cut_off(stack: ChaosStack, chance: random.Random) -> Fault:
    """Take a service's network to the venues away."""
    target = chance.choice(TO_VENUES)
    name = stack.container_name(target, stack.instance(target, chance))
    network = stack.network()
    return Fault(
        "partition",
        target,
        partial(stack.docker, "network", "disconnect", network, name),
        partial(stack.docker, "network", "connect", "--alias", target, network, name),
        seconds=chance.uniform(1.0, 8.0),
    )


def _cut_off_bus(stack: ChaosStack, chance: random.Random) -> Fault:
    """Take a service's network to Redis and Sentinel away, or that of one of the servers.

    A primary that is cut off for long enough is replaced, and comes back to follow the new one.
    """
    assert isinstance(stack, GroupStack)
    target = chance.choice((*SERVICES, RECORDER, *stack.servers))
    name = stack.container_name(target, stack.instance(target, chance))
    network, again = stack.bus_network(), ("network", "connect", "--alias", target)
    if target in stack.servers:
        again += ("--ip", stack.address(target))
    return Fault(
        "bus cut off",
        target,
        partial(stack.docker, "network", "disconnect", network, name),
        partial(stack.docker, *again, network, name),
        seconds=chance.uniform(1.0, 8.0),
    )


def _kill_redis(stack: ChaosStack, chance: random.Random) -> Fault:
    target = chance.choice(stack.servers)
    return Fault("kill -9", target, partial(stack.kill_redis, target))


def _fail_over(stack: ChaosStack, chance: random.Random) -> Fault:
    """The primary's machine is lost while everybody writes, and comes back later."""
    assert isinstance(stack, GroupStack)
    return Fault("fail-over", stack.primary(), stack.replace_primary)


def _kill_venues(stack: ChaosStack, chance: random.Random) -> Fault:
    """All venues restart: what they answered or told before, they still know."""
    return Fault("kill -9", SIMULATION, partial(stack.kill, SIMULATION))


def _pause_redis(stack: ChaosStack, chance: random.Random) -> Fault:
    target = chance.choice(stack.servers)
    name = stack.container_name(target)
    return Fault(
        "freeze",
        target,
        partial(stack.docker, "pause", name),
        partial(stack.docker, "unpause", name),
        seconds=chance.uniform(0.5, 4.0),
    )


def _restart(stack: ChaosStack, chance: random.Random) -> Fault:
    """Restart as an upgrade does: SIGTERM, drain, start."""
    target = chance.choice((*SERVICES, RECORDER, SIMULATION, *stack.servers))
    return Fault("restart", target, partial(stack.compose, "restart", target))


def _fill_disk(stack: ChaosStack, chance: random.Random) -> Fault:
    run = partial(stack.compose, "exec", "-T", RECORDER, "python", "-c")
    return Fault(
        "full disk", RECORDER, partial(run, FILL_DISK), partial(run, FREE_DISK), seconds=4.0
    )


OF_VENUES: tuple[dict[str, object], ...] = (
    {"kind": "disconnect"},
    {"kind": "drop", "count": 3},
    {"kind": "reorder", "count": 2},
    {"kind": "lose_answer", "how": "timeout", "count": 2},
    {"kind": "lose_answer", "how": "close", "count": 2},
    {"kind": "http_5xx", "executed": True, "count": 2},
    {"kind": "http_429", "count": 2},
    {"kind": "partial_fill", "count": 3},
    {"kind": "reject", "count": 2},
    {"kind": "stall", "ms": 4_000},
)
"""Faults of the simulated venues: of their feeds, and of their order entry."""


def _venue(stack: ChaosStack, chance: random.Random) -> Fault:
    """Let a venue misbehave."""
    told = {"venue": chance.choice(ADAPTERS), **chance.choice(OF_VENUES)}
    python = ("exec", "-T", SIMULATION, "python", "-c")
    begin = partial(stack.compose, *python, VENUE_FAULT, json.dumps(told))
    return Fault(str(told["kind"]), str(told["venue"]), begin)
