"""Redis' users, one per service, made from the maps of services and streams: least privilege.

``python -m deploy.acl`` rewrites ``deploy/redis/users.acl``, which shows the rules without
passwords; ``deploy.prepare`` renders the same with the digests of real ones. Each parenthesis is a
selector: a command is allowed only on the keys beside it, so the scanner, which may XADD
opportunities and read depth, can neither write a plan nor acknowledge one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.bus.tuning import (
    LEDGER_KEY,
    POSITION_KEY,
    checkpoint_key,
    dead_key,
    fence_key,
    lease_key,
    members_key,
)
from shared.services import SERVICE_NAMES, SERVICE_OF
from shared.streams import ALL, ANYONE, BY_NAME, Delivery, StreamSpec

OPERATOR = "operator"
USERS = (*SERVICE_NAMES, OPERATOR)
HEALTH = "health"
"""May ask whether Redis is up, without a password, and nothing else."""
RELOAD = "reload"
"""Has Redis read its ACL file again, and sees since when each connection stands (deploy.rotate)."""
RELOAD_RULES = (
    "resetkeys resetchannels -@all +auth +hello +ping +client|setname +client|list "
    "+acl|load +acl|list"
)
REPLICA, WATCHER = "replica", "watcher"
"""A server of a group as it follows the primary, and a Sentinel as it commands both."""
GROUP_RULES = {
    REPLICA: "resetkeys resetchannels -@all +psync +replconf +ping",
    WATCHER: "resetkeys allchannels -@all +multi +slaveof +ping +exec +subscribe +config|rewrite "
    "+role +publish +info +client|setname +client|kill +script|kill",
}
FILE = Path(__file__).parent / "redis" / "users.acl"

CONNECT = "-@all +auth +hello +ping +client|setname +client|id +select"
TRANSACT = "+multi +exec +discard +wait"
WATCH = "+xread +xrange +xrevrange +xlen +xinfo|stream"
GROUP = (
    "+xreadgroup +xack +xautoclaim +xclaim +xpending +xrange +xlen +xtrim "
    "+xgroup|create +xgroup|setid +xgroup|delconsumer "
    "+xinfo|stream +xinfo|groups +xinfo|consumers +memory|usage"
)
LOOK = "+xinfo|groups +exists +type +get +hgetall +hmget +memory|usage"
HOLD = "+xlen +xtrim +memory|usage"
"""What holds a LATEST stream to its bytes: whoever writes it, whatever others write there."""
MEASURE = "+exists +xinfo|stream +memory|usage +xrange"
"""How long and large a stream is, and since when its oldest unhandled entry waits: for that XRANGE
reads one entry (XINFO shows the first and the last as well).
"""
LEASE = "+eval +time +get +set +del +watch"
MEMBERS = "+eval +time +zadd +zrem +zrange +zremrangebyscore"


def keys(spec: StreamSpec) -> str:
    """Return the pattern of a stream's keys, over all its shards."""
    return spec.key().replace("{0}", "{*}", 1) if spec.sharded else spec.key()


def selector(commands: str, patterns: list[str], access: str = "~") -> str:
    """Return a selector, or nothing where there are no keys."""
    return f"({commands} {' '.join(access + p for p in patterns)})" if patterns else ""


def rules_of(service: str) -> list[str]:
    """Return what a service may do, and nothing else."""
    written = [keys(s) for s in ALL if s.producer in {service, ANYONE} or s.also == service]
    read = [s for s in ALL if service in s.consumers]
    durable = [s for s in read if s.delivery is Delivery.DURABLE]
    dead = [dead_key(s.name) for s in durable]
    held = [
        keys(s) for s in ALL if s.producer in {service, ANYONE} and s.delivery is Delivery.LATEST
    ]
    latest = [keys(s) for s in read if s.delivery is Delivery.LATEST]
    followed = [keys(BY_NAME[name]) for name in SERVICE_OF[service].follows]
    measured = [keys(s) for s in ALL] if SERVICE_OF[service].measures else []
    measured += [dead_key(s.name) for s in ALL if measured and s.delivery is Delivery.DURABLE]
    return [
        f"{CONNECT} {TRANSACT}",
        selector("+xadd", [*written, *dead]),
        selector(HOLD, held),
        selector(WATCH, [*latest, *followed], "%R~"),
        selector(GROUP, [keys(s) for s in durable]),
        selector("+get +set", [checkpoint_key(service + "*")]),
        selector("+hset +hgetall", [POSITION_KEY]),
        selector("+hgetall +hset +hsetnx +hdel", [LEDGER_KEY]),
        selector(LEASE, [lease_key(service + "*"), fence_key(service + "*")]),
        selector(MEMBERS, [members_key(service + "*")]),
        selector(MEASURE, measured, "%R~"),
    ]


def rules_of_operator() -> list[str]:
    """Return what the command line may do: read everything, write commands and their audit.

    A backup scans the keys and reads them in one transaction.
    """
    written = [keys(s) for s in ALL if OPERATOR in {s.producer, s.also}]
    return [
        f"{CONNECT} +info +scan +multi +exec +discard",
        selector("+xadd", written),
        selector(
            f"{WATCH} +xinfo|groups +exists +type +get +hgetall +hmget +memory|usage", ["*"], "%R~"
        ),
    ]


def render(digests: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """Return the ACL file.

    Args:
        digests: User -> SHA-256 in hex of each password that is accepted; without it the file
            cannot be loaded. Where it names users of a group with Sentinel, they are added.
    """
    known = digests or dict.fromkeys((*USERS, RELOAD), ("<sha256-of-the-password>",))
    lines = [
        # Nobody can be this user, but Redis is: it replays transactions of the append-only file as
        # "default", and drops each that this user may not do (redis#14541, valkey#3983).
        "user default off resetpass allkeys allchannels +@all",
        f"user {HEALTH} on nopass resetkeys resetchannels -@all +ping",
    ]
    for user in USERS:
        rules = rules_of_operator() if user == OPERATOR else rules_of(user)
        words = [_login(user, known), "resetkeys resetchannels", *filter(None, rules)]
        lines.append(" ".join(words))
    others = {RELOAD: RELOAD_RULES, **GROUP_RULES}
    lines += [f"{_login(user, known)} {rules}" for user, rules in others.items() if user in known]
    return "\n".join(lines) + "\n"


def _login(user: str, digests: Mapping[str, tuple[str, ...]]) -> str:
    return " ".join((f"user {user} on", *(f"#{digest}" for digest in digests[user])))


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
