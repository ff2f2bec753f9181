"""Whether Redis is set up to hold what must not be lost. Pure.

Of what INFO says; a field that this server does not tell cannot be checked, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.cli.doctor.check import Check, Level
from shared.watch.server_info import version_of

CLOCK_MS_MAX = 250.0
FULL_SHARE = 0.8


@dataclass(slots=True)
class RedisFacts:
    """What was read.

    Attributes:
        where: Its address, without a password.
        away: Why it cannot be reached; empty: it can.
        info: INFO's sections server, memory, persistence, replication and stats together.
        no_writes: Why it takes no writes; empty: it does.
        wrong_types: Keys of ours that are of another type, with a text.
        dead: Stream -> entries that could not be handled.
        offset_ms: How far its clock is ahead of ours; ``None``: it does not tell.
        is_here: It runs on this machine.
        has_password: We had to say who we are.
    """

    where: str
    away: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    no_writes: str = ""
    wrong_types: Mapping[str, str] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    offset_ms: float | None = None
    is_here: bool = False
    has_password: bool = False


def check_redis(facts: RedisFacts, mode: str) -> Iterator[Check]:
    """Yield the checks; ``mode`` is the executor's: live asks for more."""
    if facts.away:
        yield Check("redis", Level.FAILED, facts.away, "start it; bus.url or ARB_REDIS_URL")
        return
    yield Check("redis", Level.OK, f"{version_of(facts.info)} answers at {facts.where}")
    why = "; ".join(facts.wrong_types.values()) or facts.no_writes
    if why:
        yield Check("redis writes", Level.FAILED, why, "docs/runbook.md, Redis")
    else:
        yield Check("redis writes", Level.OK, "it takes writes")
    yield from _memory(facts.info)
    yield from _persistence(facts.info, mode)
    yield _users(facts)
    yield _clock(facts)
    dead = ", ".join(f"{count:,} of {stream}" for stream, count in sorted(facts.dead.items()))
    if dead:
        right = "arb tail alert --since 0; redis-cli XRANGE '{arb}:dead.STREAM' - + has the reasons"
        yield Check("dead letters", Level.WARNING, f"entries were not handled: {dead}", right)
    else:
        yield Check("dead letters", Level.OK, "none")


def _memory(info: Mapping[str, Any]) -> Iterator[Check]:
    policy = info.get("maxmemory_policy")
    if policy is None:
        yield Check("redis eviction", Level.WARNING, "cannot be checked: INFO does not tell it")
    elif policy != "noeviction":
        text = f"maxmemory-policy is {policy}: Redis may drop plans and fills"
        yield Check("redis eviction", Level.FAILED, text, "maxmemory-policy noeviction")
    else:
        yield Check("redis eviction", Level.OK, "noeviction")
    if int(info.get("evicted_keys", 0)):
        text = f"{info['evicted_keys']} keys were evicted: data is lost"
        yield Check("redis evicted", Level.FAILED, text, "compare with the venues; then noeviction")
    most, used = info.get("maxmemory"), info.get("used_memory")
    if most is None or used is None:
        yield Check("redis memory", Level.WARNING, "cannot be checked: INFO does not tell it")
    elif not int(most):
        text = f"{int(used) / 1e6:,.0f} MB used, no bound: the machine may kill it"
        yield Check("redis memory", Level.WARNING, text, "maxmemory, as deploy/redis sets it")
    else:
        level = Level.WARNING if int(used) > FULL_SHARE * int(most) else Level.OK
        text = f"{int(used) / 1e6:,.0f} of {int(most) / 1e6:,.0f} MB used"
        yield Check("redis memory", level, text, "" if level is Level.OK else "a larger maxmemory")


def _persistence(info: Mapping[str, Any], mode: str) -> Iterator[Check]:
    enabled = info.get("aof_enabled")
    if enabled is None:
        yield Check("redis AOF", Level.WARNING, "cannot be checked: INFO does not tell it")
        return
    if not int(enabled):
        level = Level.FAILED if mode == "live" else Level.WARNING
        text = "no append-only file: a restart of Redis loses plans, fills and halts"
        yield Check("redis AOF", level, text, "appendonly yes, appendfsync everysec")
        return
    failed = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if info.get(name, "ok") != "ok"
    ]
    if failed:
        text = f"it cannot write to disk: {', '.join(failed)}"
        yield Check("redis AOF", Level.FAILED, text, "space and rights of Redis' folder")
    else:
        yield Check("redis AOF", Level.OK, "append-only file on, last writes ok")


def _users(facts: RedisFacts) -> Check:
    if facts.has_password:
        return Check("redis users", Level.OK, "it is asked with a password")
    level = Level.WARNING if facts.is_here else Level.FAILED
    who = "every program here" if facts.is_here else "whoever reaches it over the network"
    text = f"it asks for no password: {who} may read and delete everything in it"
    return Check(
        "redis users", level, text, "deploy/redis/users.acl, ARB_REDIS_USERNAME and _PASSWORD"
    )


def _clock(facts: RedisFacts) -> Check:
    if facts.offset_ms is None:
        return Check("redis clock", Level.WARNING, "cannot be checked: INFO does not tell it")
    text = f"{abs(facts.offset_ms):,.0f} ms {'ahead of' if facts.offset_ms > 0 else 'behind'} ours"
    if abs(facts.offset_ms) <= CLOCK_MS_MAX:
        return Check("redis clock", Level.OK, text)
    return Check("redis clock", Level.WARNING, text, "set both machines' clocks (chrony, NTP)")
