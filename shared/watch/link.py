"""The command line's own connection to Redis: it reads, and publishes commands; it owns nothing.

Reads without consumer groups, so looking never takes an entry away from a service.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from shared.bus.address import Endpoint
from shared.bus.connection import CLUSTER_CODES, explain
from shared.bus.signing import NO_KEYS, SIGNATURE, SigningKeys
from shared.bus.tuning import LEDGER_KEY, POSITION_KEY
from shared.cancel import cancel_and_wait
from shared.clock import SystemClock
from shared.codec import FIELD, decode, encode, salvage
from shared.config_sections import BusConfig
from shared.errors import ArbError, BusUnavailable, CodecError, ConfigError
from shared.messages.base import Message
from shared.streams import ALL, CTL_COMMAND, Delivery, StreamSpec
from shared.watch.greeting import greet
from shared.watch.pages import Page, page_of
from shared.watch.reply_codes import answers_of, code_of, replies_of

SHARDS_MAX = 64
POSITIONS = POSITION_KEY
CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 30.0
ENTRIES_PER_READ = 500
_CLOCK = SystemClock()
SET_BACK_NS_MAX = 86_400_000_000_000
"""How far what services write may lie ahead: their clock was set back (docs/adr/0027)."""
BOOK_WINDOW_MS = 3_000
"""How far back to look for the newest view of every book: several times its refresh interval."""


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One message and the entry it came in."""

    spec: StreamSpec
    key: str
    entry_id: str
    message: Message


@dataclass(frozen=True, slots=True)
class Target:
    """Which Redis to talk to; ``setting`` and ``remedy`` say in errors where it was given.

    ``login``: as of ``Endpoint``.
    """

    bus: BusConfig
    setting: str = "--redis"
    remedy: str = "start it, or name another with --redis URL"
    login: str | None = ""


class Link:
    """A connection to one Redis; ``where`` is its address without a password."""

    def __init__(self, redis: Redis, where: str) -> None:
        self._redis = redis
        self.where = where
        self.undecodable = 0

    async def keys(self, spec: StreamSpec) -> list[str]:
        """Return the keys a stream lives under: all shards that exist, at least the first."""
        if not spec.sharded:
            return [spec.key()]
        every = [spec.key(shard) for shard in range(SHARDS_MAX)]
        pipeline = self._redis.pipeline(transaction=False)
        for key in every:
            pipeline.exists(key)
        found = await self._ask(pipeline.execute())
        return [key for key, exists in zip(every, found, strict=True) if exists] or every[:1]

    async def last_id(self, key: str) -> str:
        """Return the id of the newest entry of a key, ``0-0`` where there is none."""
        newest = await self._ask(self._redis.xrevrange(key, count=1))
        return str(newest[0][0].decode()) if newest else "0-0"

    async def length(self, key: str) -> tuple[int, int]:
        """Return a stream's entries and the bytes it occupies, every node of it measured."""
        entries = await self._ask(self._redis.xlen(key))
        size = await self._ask(self._redis.memory_usage(key, samples=0))
        return int(entries), int(size or 0)

    async def read(
        self,
        after: dict[str, tuple[StreamSpec, str]],
        block_ms: int | None = None,
        *,
        count: int = ENTRIES_PER_READ,
    ) -> list[StreamItem]:
        """Return what follows the given ids and move the ids in ``after``.

        Args:
            after: Redis key -> (stream, id of the last entry seen).
            block_ms: How long to wait for something; ``None`` does not wait.
            count: Entries of each stream at most.
        """
        positions: Any = {key: last for key, (_, last) in after.items()}
        reply = await self._ask(self._redis.xread(positions, count=count, block=block_ms))
        items: list[StreamItem] = []
        for key, entries in [(raw.decode(), found) for raw, found in reply or []]:
            for entry_id, fields in entries:
                after[key] = (after[key][0], entry_id.decode())
                items.extend(self._decode(after[key][0], key, entry_id.decode(), fields))
        return items

    async def pages(
        self, after: Mapping[str, tuple[StreamSpec, str]], count: int
    ) -> dict[str, Page]:
        """Return what follows these ids, with what is needed to know what was trimmed before it.

        Everything is of one moment. A stream that does not exist is empty.
        """
        transaction = self._redis.pipeline(transaction=True)
        for key, (_, last) in after.items():
            transaction.xinfo_stream(key)
            transaction.xrange(key, min=f"({last}", count=count)
        replies = await self._ask(answers_of(transaction))
        pages = {}
        for (key, (spec, _)), info, found in zip(
            after.items(), replies[::2], replies[1::2], strict=True
        ):
            for reply in (info, found):
                if isinstance(reply, RedisError) and "no such key" not in str(reply):
                    raise self._failure(reply) from reply
            before = self.undecodable
            entries = [
                (
                    raw.decode(),
                    [item.message for item in self._decode(spec, key, raw.decode(), one)],
                )
                for raw, one in found
            ]
            there = {} if isinstance(info, RedisError) else info
            pages[key] = page_of(entries, there, self.undecodable - before)
        return pages

    async def newest(self, spec: StreamSpec, *, count: int) -> list[StreamItem]:
        """Return the messages of the last ``count`` entries of every key, oldest first."""
        items: list[StreamItem] = []
        for key in await self.keys(spec):
            entries = await self._ask(self._redis.xrevrange(key, count=count))
            for entry_id, fields in reversed(entries):
                items.extend(self._decode(spec, key, entry_id.decode(), fields))
        return items

    async def whole(self, spec: StreamSpec, since_id: str = "0") -> AsyncIterator[StreamItem]:
        """Yield all messages that a stream holds now, after ``since_id``, oldest first."""
        for key in await self.keys(spec):
            after, last = {key: (spec, since_id)}, await self.last_id(key)
            while _order_of(after[key][1]) < _order_of(last):
                for item in await self.read(after):
                    yield item

    async def trimmed(self, key: str) -> int:
        """Return how many entries a key once had and has no more."""
        if not await self._ask(self._redis.exists(key)):
            return 0
        info = await self._ask(self._redis.xinfo_stream(key))
        return int(info.get("entries-added", info["length"])) - int(info["length"])

    async def recent(self, spec: StreamSpec, window_ms: int = BOOK_WINDOW_MS) -> list[StreamItem]:
        """Return the messages of the last ``window_ms`` before each key's newest entry."""
        items: list[StreamItem] = []
        for key in await self.keys(spec):
            last_ms = int((await self.last_id(key)).partition("-")[0])
            entries = await self._ask(self._redis.xrange(key, min=max(0, last_ms - window_ms)))
            for entry_id, fields in entries:
                items.extend(self._decode(spec, key, entry_id.decode(), fields))
        return items

    async def publish(self, message: Message, spec: StreamSpec, keys: SigningKeys = NO_KEYS) -> str:
        """Append one message, signed with the key if it is given, and return its entry id."""
        payload = encode(spec, [message])
        entry: Any = {FIELD: payload, SIGNATURE: keys.sign(spec, payload)}
        most = spec.entries_max if spec.delivery is Delivery.LATEST else None
        entry_id = await self._ask(self._redis.xadd(spec.key(), entry, maxlen=most))
        return str(entry_id.decode())

    async def holds(self, spec: StreamSpec, entry_id: str) -> bool:
        """Tell whether a stream has an entry; an older copy after a fail-over has it not."""
        return bool(await self._ask(self._redis.xrange(spec.key(), min=entry_id, max=entry_id)))

    async def positions(self) -> dict[str, str]:
        """Return how far every consumer has come: ``service:instance:stream key`` -> entry id."""
        return _texts(await self._ask(self._redis.hgetall(POSITIONS)))

    async def ends_and_positions(
        self, keys: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the last entry id of each key and all positions, of one and the same moment."""
        transaction = self._redis.pipeline(transaction=True)
        for key in keys:
            transaction.xrevrange(key, count=1)
        transaction.hgetall(POSITIONS)
        *newest, found = await self._ask(transaction.execute())
        ends = {
            key: entries[0][0].decode() if entries else "0-0"
            for key, entries in zip(keys, newest, strict=True)
        }
        return ends, _texts(found)

    async def first_after(self, places: Sequence[tuple[str, str]]) -> tuple[list[str | None], int]:
        """Return the first id after each position ("": none; None: no stream), and the time, ms."""
        pipeline = self._redis.pipeline(transaction=False)
        for key, position in places:
            pipeline.xrange(key, f"({position}", count=1)
        pipeline.time()
        *found, (seconds, microseconds) = await self._ask(replies_of(pipeline))
        ids = [None if rows is None else rows[0][0].decode() if rows else "" for rows in found]
        return ids, seconds * 1_000 + microseconds // 1_000

    async def measured(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return what Redis says of each stream, unless it is none."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.xinfo_stream(key)
            pipeline.memory_usage(key, samples=0)
        replies = await self._ask(answers_of(pipeline))
        told = dict(zip(keys, map(_told, replies[::2], replies[1::2]), strict=True))
        for info in told.values():
            if isinstance(info, RedisError) and code_of(info) != "WRONGTYPE":
                raise self._failure(info) from info
        return {key: info for key, info in told.items() if not isinstance(info, RedisError)}

    async def wrong_types(self) -> dict[str, str]:
        """Return the keys of a wrong type, each with its type as text."""
        wanted = {key: "stream" for spec in ALL for key in await self.keys(spec)}
        wanted |= dict.fromkeys((POSITIONS, LEDGER_KEY), "hash")
        pipeline = self._redis.pipeline(transaction=False)
        for key in wanted:
            pipeline.type(key)
        try:
            found = await pipeline.execute()
        except NoPermissionError:  # Redis' users are of an older version
            return {}
        except (RedisError, OSError) as error:
            raise self._failure(error) from error
        return {
            key: f"{key} is a {kind.decode()}, not a {want}; remove or rename it"
            for (key, want), kind in zip(wanted.items(), found, strict=True)
            if kind.decode() not in {want, "none"}
        }

    async def why_no_writes(self, *, check_rights: bool = False) -> str:
        """Return why Redis refuses to be written to, empty where it does not.

        With ``check_rights`` also that this user may not write; one that only reads need not.

        Asked with an entry id that no stream can hold: Redis looks first whether it takes writes at
        all, so nothing is ever written.
        """
        try:
            await self._redis.xadd(CTL_COMMAND.key(), {FIELD: b""}, id="0-0")
        except NoPermissionError as error:
            return f"{explain('NOPERM')} to write commands ({error})" if check_rights else ""
        except ResponseError as error:
            code = code_of(error)
            meaning = explain(code)
            if code == "READONLY":
                return meaning + await self._primary()
            return f"{meaning} ({error})" if meaning else ""
        except (RedisError, OSError) as error:
            raise self._failure(error) from error
        return ""

    async def _primary(self) -> str:
        """Return as text whose replica this is; empty if we may not ask."""
        try:
            info = await self._redis.info("replication")
        except ResponseError:
            return ""
        host, port = info.get("master_host"), info.get("master_port")
        return f" of {host}:{port}; give that address instead" if host else ""

    async def info(self, section: str) -> dict[str, Any]:
        """Return what the server says of itself in a section of INFO."""
        return dict(await self._ask(self._redis.info(section)))

    def _decode(self, spec: StreamSpec, key: str, entry_id: str, fields: Any) -> list[StreamItem]:
        payload, now_ns = fields.get(FIELD, b""), _CLOCK.now_ns() + SET_BACK_NS_MAX
        try:
            messages: Sequence[Message] = decode(spec, payload, now_ns)
        except CodecError:
            self.undecodable += 1
            if spec.delivery is Delivery.DURABLE:
                return []
            messages = salvage(spec, payload, now_ns)
        return [StreamItem(spec, key, entry_id, message) for message in messages]

    async def _ask(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except (RedisError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: RedisError | OSError) -> ArbError:
        code = code_of(error)
        meaning = explain(code)
        if code in CLUSTER_CODES:
            return ConfigError(f"Redis at {self.where}: {meaning}")
        if meaning or isinstance(error, ResponseError):
            return BusUnavailable(f"{meaning or 'Redis refused'} ({self.where}): {error}")
        return BusUnavailable(f"lost Redis at {self.where}: {error}")


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    # Somebody else's Redis may hold anything there: what is no text is shown, not tripped over.
    return {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in fields.items()
    }


def _told(info: Any, size: Any) -> dict[str, Any] | RedisError:
    """Return a stream's state with its ``bytes``, nothing of one that does not exist."""
    if isinstance(info, RedisError):
        return {} if "no such key" in str(info) else info
    return {**info, "bytes": size or 0}


def _order_of(entry_id: str) -> tuple[int, int]:
    """Return what entry ids are ordered by."""
    head, _, tail = entry_id.partition("-")
    return int(head), int(tail or 0)


@asynccontextmanager
async def open_link(target: Target | str) -> AsyncIterator[Link]:
    """Connect as ``open_redis`` does, to look at the system and to give it commands."""
    async with open_redis(target) as (redis, where):
        yield Link(redis, where)


@asynccontextmanager
async def open_redis(target: Target | str) -> AsyncIterator[tuple[Redis, str]]:
    """Connect and check that a server answers and can be read from; with its address to show.

    Args:
        target: What the user asked for, or the URL of the run's own Redis.

    Raises:
        ConfigError: The address is wrong, or of a server that cannot hold the streams.
        BusUnavailable: No server answers, or it refuses the credentials.
    """
    if isinstance(target, str):
        target = Target(BusConfig(url=target), "the run's own Redis", "its log says why", None)
    endpoint = Endpoint(target.bus, target.setting, login=target.login)
    pool = ConnectionPool(
        endpoint.connection_class,
        **endpoint.arguments,
        protocol=2,
        driver_info=None,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
    )
    redis = Redis.from_pool(pool)
    followed = [] if endpoint.sentinels is None else [endpoint.sentinels.follow()]
    following = [asyncio.create_task(each) for each in followed]
    try:
        await greet(redis, endpoint.where, target.remedy)
        yield redis, endpoint.where
    finally:
        await cancel_and_wait(following)
        await redis.aclose()
