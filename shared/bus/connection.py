"""One connection to Redis: packed commands out, replies in order, several in flight.

Stands on redis-py's connection (sockets, TLS, AUTH, the hiredis parser) and leaves out its pooling
and its one awaited call per command.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from shared.backoff import Backoff
from shared.bus.tuning import Tuning
from shared.bus.wire import Arg, pack
from shared.config import BusConfig, read_secret
from shared.errors import BusUnavailable, ConfigError


class ReplyError(BusUnavailable):
    """Redis answered with an error; ``code`` is its first word (``BUSYGROUP``, ``OOM``...)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Endpoint:
    """Where Redis is and who we are there.

    Raises:
        ConfigError: The URL is not ``redis://``, ``rediss://`` or ``unix://``.
    """

    def __init__(self, config: BusConfig) -> None:
        try:
            self._arguments: dict[str, Any] = dict(parse_url(config.url))
        except ValueError as error:
            raise ConfigError(
                f"bus.url {mask(config.url)}: {error}; like redis://host:6379/0, "
                "rediss://host:6380/0 or unix:///path/to/socket"
            ) from error
        self._class: type[AbstractConnection] = self._arguments.pop("connection_class", Connection)
        if config.url.startswith("unix:") and not self._arguments.get("path"):
            raise ConfigError(f"bus.url {mask(config.url)}: no path; like unix:///path/to/socket")
        username, password = read_secret("ARB_REDIS_USERNAME"), read_secret("ARB_REDIS_PASSWORD")
        if username:
            self._arguments["username"] = username.reveal()
        if password:
            self._arguments["password"] = password.reveal()
        if config.tls_ca_file and issubclass(self._class, SSLConnection):
            self._arguments["ssl_ca_certs"] = config.tls_ca_file
        self.where = mask(config.url)

    def connection(self, timeout_s: float) -> AbstractConnection:
        """Return a new connection, not yet connected."""
        return self._class(
            **self._arguments,
            protocol=2,
            driver_info=None,
            socket_timeout=None,
            socket_connect_timeout=timeout_s,
        )


def mask(url: str) -> str:
    """Return a URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


class Link:
    """A connection that is made when needed; every failure is a :class:`BusUnavailable`.

    After a failure the next use tries to connect again, but not before a backoff has passed: until
    then it fails at once. Replies come in the order of the commands; ``awaited`` counts those still
    to come.
    """

    def __init__(self, endpoint: Endpoint, tuning: Tuning) -> None:
        self._endpoint, self._tuning = endpoint, tuning
        self._connection: AbstractConnection | None = None
        self._backoff = Backoff(tuning.backoff_s, tuning.backoff_cap_s)
        self._not_before_s = -math.inf
        self._failure = ""
        self._lock = asyncio.Lock()
        self.awaited = 0
        self.connects = 0

    @property
    def is_connected(self) -> bool:
        """Tell whether the connection stands, as far as known."""
        return self._connection is not None

    async def connect(self) -> None:
        """Connect if not connected.

        Raises:
            BusUnavailable: Not possible now, or too soon after the last failure.
            ConfigError: Redis refuses the user or the password.
        """
        if self._connection is not None:
            return
        if _now_s() < self._not_before_s:
            raise BusUnavailable(self._failure)
        connection = self._endpoint.connection(self._tuning.answer_s)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            # Over RESP2 redis-py wraps what AUTH answered in a plain ConnectionError.
            for cause in (error, error.__cause__):
                if isinstance(cause, (AuthenticationError, NoPermissionError)):
                    raise ConfigError(
                        f"Redis at {self._endpoint.where} refuses the login: {cause}; "
                        "set ARB_REDIS_USERNAME and ARB_REDIS_PASSWORD (or *_FILE)"
                    ) from error
            raise self._fail(error) from error
        self._connection = connection
        self._backoff.reset()
        self.awaited = 0
        self.connects += 1

    def retry_in_s(self) -> float:
        """Return how long to wait before the next attempt to connect."""
        return max(0.0, self._not_before_s - _now_s())

    async def send(self, data: bytes, replies: int) -> None:
        """Send packed commands that will be answered by ``replies`` replies."""
        if self._connection is None:
            await self.connect()
        assert self._connection is not None
        try:
            await self._connection.send_packed_command(data, check_health=False)
        except (RedisError, OSError) as error:
            raise await self._lose(error) from error
        self.awaited += replies

    async def reply(self) -> Any:
        """Return the next reply; may be canceled without losing it.

        Raises:
            ReplyError: The reply is an error; the connection is fine.
            BusUnavailable: The connection is lost, with everything still awaited.
        """
        connection = self._connection
        if connection is None:
            raise BusUnavailable(self._failure)
        try:
            answer = await connection.read_response(
                timeout=math.inf, disconnect_on_error=False, disable_decoding=True
            )
        except ResponseError as error:
            self.awaited -= 1
            raise reply_error(error) from error
        except (RedisError, OSError) as error:
            raise await self._lose(error) from error
        self.awaited -= 1
        return answer

    async def reap(self) -> None:
        """Take the replies that have already arrived, without waiting for more."""
        connection = self._connection
        if connection is None:
            return
        try:
            while self.awaited and await connection.can_read():
                await self.reply()
        except (RedisError, OSError) as error:
            raise await self._lose(error) from error

    async def settle(self) -> Any:
        """Wait for all replies and return the last.

        Raises:
            ReplyError: The first reply that was an error; all others were read too.
            BusUnavailable: Lost, or no answer in time.
        """
        last, first_error = None, None
        try:
            async with asyncio.timeout(self._tuning.answer_s):
                while self.awaited:
                    try:
                        last = await self.reply()
                    except ReplyError as error:
                        first_error = first_error or error
        except TimeoutError as error:
            raise await self._lose(error) from error
        if first_error is not None:
            raise first_error
        return last

    async def call(self, *args: Arg) -> Any:
        """Send one command and return its reply; callers wait for each other."""
        return await self.call_all(pack(*args))

    async def call_all(self, *commands: bytes) -> Any:
        """Send packed commands together and return the last reply; see :meth:`settle`."""
        async with self._lock:
            await self.send(b"".join(commands), len(commands))
            return await self.settle()

    async def _lose(self, error: Exception) -> BusUnavailable:
        await self.drop()
        return self._fail(error)

    def _fail(self, error: Exception) -> BusUnavailable:
        self._not_before_s = _now_s() + self._backoff.next_s()
        said = str(error) or type(error).__name__
        self._failure = f"Redis at {self._endpoint.where} is unreachable: {said}"
        return BusUnavailable(self._failure)

    async def drop(self) -> None:
        """Disconnect without ceremony; the next use connects again."""
        connection, self._connection = self._connection, None
        self.awaited = 0
        if connection is not None:
            await connection.disconnect(nowait=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def reply_error(error: ResponseError) -> ReplyError:
    """Return our form of an error reply: recognised by its code, not by its text.

    redis-py strips the codes it knows and makes them classes; the others stay the first word.
    """
    codes = {"OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY", "NoPermissionError": "NOPERM"}
    text = str(error)
    code = codes.get(type(error).__name__) or text.partition(" ")[0]
    hints = {
        "OOM": "Redis is out of memory (maxmemory)",
        "READONLY": "Redis is a read-only replica",
        "NOPERM": "Redis does not permit this user",
        "NOGROUP": "a consumer group is gone: Redis lost its data; starting again creates it",
        "MISCONF": "Redis cannot persist and refuses writes",
    }
    hint = hints.get(code)
    return ReplyError(code, f"{hint}: {text}" if hint else f"Redis refused a command: {text}")
