"""Reads what must survive of Redis, all of one moment, as the commands that make it again.

The commands are written as in an append-only file, so what is read is the content of a whole data
directory, for every server from Redis 7.0 and Valkey 7.2 on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError, RedisError

from shared.bus.tuning import LEDGER_KEY
from shared.bus.wire import Arg, pack, previous_id
from shared.errors import BusUnavailable, ConfigError
from shared.streams import SYS_HEALTH

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX: Final = "{arb}:"
LEFT_OUT: Final = ("md.", f"{SYS_HEALTH.name}", "lease:", "members:")
"""Market data, and what belongs to processes that live now: all of it is made again by a start."""
PAIRS_MAX: Final = 500
"""Fields of one HSET."""


@dataclass(frozen=True, slots=True)
class KeptKey:
    """One key: its type, how many entries or fields it has, and the commands that make it.

    ``fields`` are those of a hash.
    """

    key: str
    kind: str
    entries: int
    data: bytes
    fields: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    @property
    def sha256(self) -> str:
        """The digest of its commands, in hex: equal for equal content."""
        return sha256(self.data).hexdigest()


def is_kept(key: str) -> bool:
    """Tell whether a key must survive."""
    return key.startswith(PREFIX) and not key.removeprefix(PREFIX).startswith(LEFT_OUT)


def ledger_id_of(kept: Iterable[KeptKey]) -> str:
    """Return the id of the ledger that keys belong to; empty: no service has begun one."""
    marks = next((each.fields for each in kept if each.key == LEDGER_KEY), {})
    return marks.get(b"id", b"").decode()


def database_of(redis: Redis) -> int:
    """Return the number of the database that a client talks to."""
    return int(redis.connection_pool.connection_kwargs.get("db") or 0)


async def read_all(redis: Redis, where: str) -> list[KeptKey]:
    """Return every key that must survive, in the order of their names.

    They are read in one transaction: a checkpoint and the streams that it has taken in belong
    together.

    Raises:
        BusUnavailable: Redis is gone, or this user may not read all of it.
        ConfigError: A key is of a type that this version does not know.
    """
    try:
        found = [raw.decode() async for raw in redis.scan_iter(match=f"{PREFIX}*", count=1_000)]
        names = sorted({name for name in found if is_kept(name)})
        kinds = redis.pipeline(transaction=False)
        for name in names:
            kinds.type(name)
        typed = dict(zip(names, [kind.decode() for kind in await kinds.execute()], strict=True))
        wanted = {name: kind for name, kind in typed.items() if kind != "none"}
        if unknown := {name: kind for name, kind in wanted.items() if kind not in _ASK}:
            text = ", ".join(f"{name} is a {kind}" for name, kind in unknown.items())
            raise ConfigError(f"{text}; this version keeps streams, hashes and strings only")
        transaction = redis.pipeline(transaction=True)
        for name, kind in wanted.items():
            for words in _ASK[kind]:
                # Without the client's parsing: what is read is written again as it is.
                transaction.execute_command(*(name if word == "KEY" else word for word in words))
        replies = iter(await transaction.execute(raise_on_error=False))
    except NoPermissionError as error:
        raise BusUnavailable(f"this user may not read all of Redis at {where}: {error}") from error
    except (RedisError, OSError) as error:
        raise BusUnavailable(f"lost Redis at {where}: {error}") from error
    kept: list[KeptKey] = []
    for name, kind in wanted.items():
        told = [next(replies) for _ in _ASK[kind]]
        failed = next((each for each in told if isinstance(each, Exception)), None)
        if failed is not None and "no such key" not in str(failed):
            raise BusUnavailable(f"Redis at {where} does not tell of {name}: {failed}")
        if failed is None and told[0] not in (None, {}):  # else it is gone in the meantime
            kept.append(_MAKE[kind](name, *told))
    return kept


def _string(name: str, value: bytes) -> KeptKey:
    return KeptKey(name, "string", 1, pack("SET", name, value))


def _hash(name: str, fields: dict[bytes, bytes]) -> KeptKey:
    pairs = sorted(fields.items())
    chunks = [pairs[n : n + PAIRS_MAX] for n in range(0, len(pairs), PAIRS_MAX)]
    data = b"".join(pack("HSET", name, *_flat(chunk)) for chunk in chunks)
    return KeptKey(name, "hash", len(pairs), data, fields)


def _stream(name: str, entries: Any, info: Any) -> KeptKey:
    told = _told(info)
    last = told["last-generated-id"]
    lines = [pack("XADD", name, at, *_flat(fields.items())) for at, fields in entries]
    if not entries:
        lines.append(pack("XADD", name, "MAXLEN", 0, "0-1", "x", ""))
    lines.append(
        pack(
            *("XSETID", name, last, "ENTRIESADDED", told["entries-added"]),
            *("MAXDELETEDID", told["max-deleted-entry-id"]),
        )
    )
    lines += [pack("XGROUP", "CREATE", name, *_group(_told(raw))) for raw in told["groups"]]
    return KeptKey(name, "stream", len(entries), b"".join(lines))


def _group(told: dict[str, Any]) -> tuple[Arg, ...]:
    """Return a group's name and position: what was delivered and not acknowledged comes again."""
    pending = told.get("pending") or told.get("pel")  # its name depends on the server
    if pending:
        return told["name"], previous_id(pending[0][0].decode())
    read = told["entries-read"]
    position = (told["name"], told["last-delivered-id"])
    return position if read is None else (*position, "ENTRIESREAD", read)


def _told(pairs: Sequence[Any]) -> dict[str, Any]:
    if isinstance(pairs, dict):
        return {_text(name): value for name, value in pairs.items()}
    return {_text(name): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _flat(pairs: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [part for pair in pairs for part in pair]


_ASK: Final = {
    "string": (("GET", "KEY"),),
    "hash": (("HGETALL", "KEY"),),
    "stream": (("XRANGE", "KEY", "-", "+"), ("XINFO", "STREAM", "KEY", "FULL", "COUNT", 1)),
}
_MAKE: Final[dict[str, Any]] = {"string": _string, "hash": _hash, "stream": _stream}
