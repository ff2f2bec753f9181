"""One connection to Redis: packed commands out, replies in order, several in flight.

Stands on redis-py's connections (sockets, TLS, login) and on the hiredis parser, and leaves out the
pool, the stream reader and one awaited call per command.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from typing import Any, cast

from shared.backoff import Backoff
from shared.bus.address import NO_CLUSTER, Endpoint, check_server_kind
from shared.bus.redis_parts import (
    AbstractConnection,
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from shared.bus.replies import Waiting, Wire
from shared.bus.tuning import Tuning
from shared.bus.wire import Arg, pack
from shared.errors import BusUnavailable, ConfigError

UNREAD_S = 0.01
"""How long replies may lie unread; so much later a failure of what was sent is noticed."""


class ReplyError(BusUnavailable):
    """Redis answered with an error; ``code`` is its first word (``BUSYGROUP``, ``OOM``...)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.left = 0
        """Replies that were still to come after this one: which command was it?"""

    @property
    def may_pass(self) -> bool:
        """Whether asking the same server again may help; nothing was done, so it may be asked."""
        return self.code not in _ELSEWHERE and self.code not in _GONE

    def name_key(self, args: Sequence[Arg]) -> None:
        """Add which key it is about: the server does not say."""
        at = _KEY_AT.get(args[0], 1)
        if self.code in _ABOUT_A_KEY and len(args) > at:
            key = args[at]
            name = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
            self.args = (f"{self} (key {name})",)


class RedisLink:
    """A connection that is made when needed; every failure is a :class:`BusUnavailable`.

    redis-py's connection opens the socket, with TLS, login and database, and then hands it to a
    :class:`Wire`. After a failure the next use tries to connect again, but not before a backoff has
    passed: until then it fails at once.
    """

    def __init__(self, endpoint: Endpoint, tuning: Tuning) -> None:
        self._endpoint, self._tuning = endpoint, tuning
        self._connection: AbstractConnection | None = None
        self._transport: asyncio.Transport | None = None
        self._backoff = Backoff(tuning.backoff_s, tuning.backoff_cap_s)
        self._not_before_s = -math.inf
        self._failure = "not connected"
        self._fd = -1
        self._lock = asyncio.Lock()
        self._waiting = Waiting()
        self._unread: asyncio.TimerHandle | None = None
        self.wire = Wire()
        self.connects = 0

    @property
    def is_connected(self) -> bool:
        """Tell whether the connection stands, as far as known."""
        return self._transport is not None and not self.wire.lost

    @property
    def awaited(self) -> int:
        """Replies still to come."""
        return self.wire.awaited

    async def connect(self) -> None:
        """Connect if not connected.

        Raises:
            BusUnavailable: Not possible now, or too soon after the last failure.
            ConfigError: Redis refuses the user or the password, or is a Cluster or Sentinel; or
                the Sentinels that were asked do not know the service.
        """
        if self.is_connected:
            return
        if self._transport is not None:
            if self.wire.awaited > 0:
                raise await self.lose(self.wire.lost)
            await self.drop()  # lost while idle: nothing is in doubt
        if _now_s() < self._not_before_s:
            raise BusUnavailable(self._failure)
        connection = self._endpoint.connection(self._tuning.answer_s)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            hello = await self._handshake(connection)
        except (RedisError, OSError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            if isinstance(error.__cause__, ConfigError):  # redis-py wraps what Sentinels are asked
                raise ConfigError(f"Redis at {self._endpoint.where}: {error.__cause__}") from error
            refusals = (AuthenticationError, NoPermissionError)
            # Over a unix socket redis-py wraps the refusal in a ConnectionError.
            if isinstance(error, refusals) or isinstance(error.__cause__, refusals):
                raise ConfigError(
                    f"Redis at {self._endpoint.where} refuses the login; set ARB_REDIS_USERNAME "
                    f"and ARB_REDIS_PASSWORD (or *_FILE) to what its ACL says: {error}"
                ) from error
            raise self._fail(str(error) or type(error).__name__) from error
        try:
            check_server_kind(hello, f"Redis at {self._endpoint.where}")
        except ConfigError:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        self.wire = Wire()
        # From here on the stream reader of redis-py would only stand between socket and parser.
        transport = cast("asyncio.Transport", connection._writer.transport)  # type: ignore[union-attr]
        self._transport = transport
        transport.set_protocol(self.wire)
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._fd = -1 if encrypted else transport.get_extra_info("socket").fileno()
        self._backoff.reset()
        self.connects += 1

    async def _handshake(self, connection: AbstractConnection) -> Any:
        """Return the answer to HELLO, which says what kind of server this is; else ``None``."""
        await connection.send_command("HELLO", "2")
        try:
            hello = await connection.read_response(timeout=self._tuning.answer_s)
        except AuthenticationError:
            raise
        except ResponseError:  # a user that may not say HELLO: nothing is known, nothing is refused
            return None
        if hello is None:
            raise TimeoutError(f"no answer within {self._tuning.answer_s:g} s")
        return hello

    def retry_in_s(self) -> float:
        """Return how long to wait before the next attempt to connect."""
        return max(0.0, self._not_before_s - _now_s())

    async def send(self, data: bytes, replies: int, *, optional: bool = False) -> None:
        """Send packed commands that will be answered by ``replies`` replies; does not wait.

        What is ``optional`` may be refused: then it is not done, and no error is raised.

        Raises:
            ReplyError: A command sent earlier without waiting for its reply was refused.
            BusUnavailable: There is no connection.
        """
        if self._transport is None or self.wire.lost:
            await self.connect()
        if optional:
            self._check_refused()
            self.wire.optional.extend(range(self.wire.sent, self.wire.sent + replies))
        self.send_now(data, replies)

    def send_now(self, data: bytes, replies: int) -> None:
        """Send on a connection that stands: ``is_connected``; see :meth:`send`.

        Raises:
            ReplyError: A command sent earlier without waiting for its reply was refused.
        """
        wire = self.wire
        if wire.refused is not None:
            self._check_refused()
        assert self._transport is not None
        wire.sent += replies
        wire.awaited += replies
        if self._fd >= 0 and self._transport.get_write_buffer_size() == 0:
            # At once: the transport would write only when this task has nothing more to do.
            try:  # noqa: SIM105 - a try costs nothing, at every request
                data = data[os.write(self._fd, data) :]
            except OSError:
                pass  # full or broken: the transport waits for room, or says what is wrong
        if data:
            self._transport.write(data)

    def _check_refused(self) -> None:
        if self.wire.refused is not None:
            refused, self.wire.refused = self.wire.refused, None
            error = reply_error(str(refused))
            error.left = self.wire.refused_left
            raise error

    def leave_unread(self) -> None:
        """Postpone reading replies until shortly after, or until a caller waits for them.

        A publisher that does not wait would wake up for each reply, just when the readers of what
        it published need the processors.
        """
        transport = self._transport
        if self._unread is None and transport is not None and not transport.is_closing():
            transport.pause_reading()
            self._unread = asyncio.get_running_loop().call_later(UNREAD_S, self._read_on)

    def _read_on(self) -> None:
        if self._unread is None:
            return
        self._unread.cancel()
        self._unread = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    async def take(self) -> Any:
        """Return the last reply; all must be in (``awaited`` is 0).

        Raises:
            ReplyError: The first reply that was an error.
            BusUnavailable: The connection is lost.
        """
        if self.wire.lost or self._transport is None:
            raise await self.lose(self.wire.lost)
        return self.take_now()

    def take_now(self) -> Any:
        """Return the last reply of a connection that stands: ``is_connected``; see :meth:`take`.

        Raises:
            ReplyError: The first reply that was an error.
        """
        wire = self.wire
        assert wire.awaited == 0, "a reply is taken before it is there"
        if wire.refused is not None:
            self._check_refused()
        last, wire.last = wire.last, None
        return last

    async def settle(self) -> Any:
        """Wait for all replies and return the last.

        Raises:
            ReplyError: The first reply that was an error; all others were read too.
            BusUnavailable: Lost, or no answer in time.
        """
        self._read_on()
        until_s = _now_s() + self._tuning.answer_s
        while self.wire.awaited > 0 and not self.wire.lost:
            await self._waiting.on((self.wire,), until_s)
            if self.wire.awaited > 0 and _now_s() >= until_s:
                raise await self.lose(f"no answer within {self._tuning.answer_s:g} s")
        return await self.take()

    async def call(self, *args: Arg) -> Any:
        """Send one command and return its reply; callers wait for each other."""
        try:
            return await self.call_all(pack(*args))
        except ReplyError as error:
            error.name_key(args)
            raise

    async def call_all(self, *commands: bytes) -> Any:
        """Send packed commands together and return the last reply; see :meth:`settle`."""
        async with self._lock:
            await self.send(b"".join(commands), len(commands))
            try:
                return await self.settle()
            except ReplyError as error:
                if error.code in _ELSEWHERE:  # the address may lead to another server by now
                    await self.drop()
                raise

    async def lose(self, reason: str) -> BusUnavailable:
        """Disconnect, back off, and return the error to raise."""
        await self.drop()
        return self._fail(reason)

    def _fail(self, reason: str) -> BusUnavailable:
        self._not_before_s = _now_s() + self._backoff.next_s()
        self._failure = f"Redis at {self._endpoint.where} is unreachable: {reason}"
        return BusUnavailable(self._failure)

    async def drop(self) -> None:
        """Disconnect at once; the next use connects again."""
        self._read_on()
        connection, self._connection, self._transport = self._connection, None, None
        self.wire.lost = self.wire.lost or "the connection was closed"
        self.wire.wake()
        self._waiting.stop()
        if connection is not None:
            await connection.disconnect(nowait=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


TEMPORARY = frozenset({"LOADING", "MASTERDOWN", "READONLY", "UNBLOCKED", "TRYAGAIN", "CLUSTERDOWN"})
"""Error codes that pass by themselves: a reader that can wait asks again."""

_ELSEWHERE = frozenset({"READONLY", "MASTERDOWN", "MOVED", "ASK"})
"""Error codes of a server that is not, or no longer, the one to write to."""
_GONE = frozenset({"NOGROUP", "UNBLOCKED", "FENCED"})
_ABOUT_A_KEY = frozenset({"WRONGTYPE", "NOPERM", "ERR"})
_KEY_AT: dict[Arg, int] = {"EVAL": 3, "XGROUP": 2, "XINFO": 2, "MEMORY": 2}
"""Where a command has its key, if not first."""

_HINTS = {
    "WRONGTYPE": "a key of ours is of another type; remove or rename it",
    "CLUSTERDOWN": "the Redis cluster is down",
    "MOVED": "Redis is a node of a cluster and another one holds this key; give a single Redis",
    "OOM": "Redis is out of memory (maxmemory)",
    "READONLY": "Redis is a read-only replica",
    "LOADING": "Redis is loading its data",
    "NOPERM": "Redis does not permit this user",
    "FENCED": "another instance took the lease, so nothing of this was written",
    "NOGROUP": "a consumer group is gone: Redis lost its data; starting again creates it",
    "UNBLOCKED": "Redis has become a replica, or a consumer group is gone (before Redis 7.2)",
    "MISCONF": "Redis cannot persist (is its disk full?) and refuses writes",
    "MASTERDOWN": "Redis is a replica that has lost its primary",
    "NOREPLICAS": "Redis has too few replicas (min-replicas-to-write) and refuses writes",
}


CLUSTER_CODES = frozenset({"MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN"})


def reply_error(text: str) -> ReplyError:
    """Return our form of an error reply: recognised by its code (the first word), not its text."""
    code = text.partition(" ")[0]
    return ReplyError(code, f"{explain(code) or 'Redis refused a command'}: {text}")


def explain(code: str) -> str:
    """Return what an error code of Redis means; empty where it says nothing."""
    return NO_CLUSTER if code in CLUSTER_CODES else _HINTS.get(code, "")
