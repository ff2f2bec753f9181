"""Which server is the primary: Redis Sentinel is asked whenever a connection is made.

Stands on redis-py's connections, as the rest of the bus. Its Sentinel client believes the first
Sentinel that answers, also one that a partition left behind, asks for every service there is, and
brings the whole client along (docs/adr/0024).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakSet

from shared.bus.redis_parts import (
    AuthenticationError,
    Connection,
    NoPermissionError,
    RedisError,
    ResponseError,
    SSLConnection,
)
from shared.cancel import cancel_and_wait
from shared.errors import ArbError, BusUnavailable, ConfigError

log = logging.getLogger(__name__)

PORT: Final = 26379
ANSWER_S: Final = 1.0
"""How long a Sentinel may take; the others are asked at the same time."""
CONNECT_S: Final = 2.0
"""How long the named primary may take to connect: it may be the one that just died."""
LOOK_S: Final = 1.0
"""How often who is connected asks whether there is another primary."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Primary:
    """The address that Sentinel names, and how often the primary had changed by then."""

    host: str
    port: int
    epoch: int

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port


@dataclass(slots=True)
class Sentinels:
    """The Sentinels of one service.

    Attributes:
        addresses: Host and port of each; all watch the same service.
        service: The name by which they know it (``sentinel monitor NAME``).
        login: ``username`` and ``password`` at the Sentinels, which need not be Redis' own.
        tls: Arguments of redis-py's TLS connection; ``None`` without TLS.
    """

    addresses: Sequence[tuple[str, int]]
    service: str
    login: dict[str, Any] = field(default_factory=dict)
    tls: dict[str, Any] | None = None
    _turn: int = 0
    _connections: WeakSet[Any] = field(default_factory=WeakSet)

    async def find(self) -> Primary:
        """Ask all at once and return what the newest of their answers says.

        Waits for the answers of more than half, or for those that come within ``ANSWER_S``.

        Raises:
            BusUnavailable: None answers.
            ConfigError: None knows the service, or they refuse the login, or are no Sentinels.
        """
        waiting = {asyncio.create_task(self._ask(*address)) for address in self.addresses}
        until_s = asyncio.get_running_loop().time() + 2 * ANSWER_S
        found: list[Primary] = []
        failed: list[ArbError] = []
        try:
            while waiting and 2 * len(found) <= len(self.addresses):
                left_s = until_s - asyncio.get_running_loop().time()
                done, waiting = await asyncio.wait(
                    waiting, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    error = task.exception()
                    if error is None:
                        found.append(task.result())
                    elif isinstance(error, ArbError):
                        failed.append(error)
                    else:
                        raise error
        finally:
            await cancel_and_wait(waiting)
        if found:
            return max(found, key=lambda primary: primary.epoch)
        wrong = [error for error in failed if isinstance(error, ConfigError)]
        if wrong:
            raise wrong[0]
        told = "; ".join(sorted(map(str, failed))) or f"not within {2 * ANSWER_S:g} s"
        raise BusUnavailable(f"no Sentinel answers: {told}")

    async def follow(self) -> None:
        """Close connections to a server that is not the primary any more, until canceled.

        One that died closes them itself. One that stands still, or that only the others cannot
        reach, leaves its clients waiting, or takes what is lost when it comes back.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            connected = [each for each in self._connections if each.stands]
            for address in {(each.host, each.port) for each in connected}:
                if await self._is_still(address):
                    continue
                reason = f"Sentinel names another primary than {address[0]}:{address[1]}"
                log.warning("primary_changed", extra={"reason": reason})
                for each in connected:
                    if each.stands and (each.host, each.port) == address:
                        each._writer.transport.abort()  # who waits for its answer is told

    def note(self, connection: Any) -> None:
        """Remember a connection for as long as somebody uses it; see :meth:`follow`."""
        self._connections.add(connection)

    async def _is_still(self, address: tuple[str, int]) -> bool:
        """Tell whether this is the primary, for all that one Sentinel knows, each in its turn.

        Where it names another one, all are asked: it may be the one that is behind. Where that
        cannot be found out, nothing has changed.
        """
        self._turn = (self._turn + 1) % len(self.addresses)
        try:
            named = await self._ask(*self.addresses[self._turn])
            return named.address == address or (await self.find()).address == address
        except ArbError:
            return True

    async def _ask(self, host: str, port: int) -> Primary:
        where = f"{host}:{port}"
        kind = Connection if self.tls is None else SSLConnection
        connection = kind(
            host=host,
            port=port,
            protocol=2,
            driver_info=None,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            **self.login,
            **(self.tls or {}),
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
            address = await connection.read_response(timeout=ANSWER_S)
            if not address:
                raise ConfigError(
                    f"the Sentinel at {where} does not know the service {self.service}; give the "
                    "name that `sentinel monitor` gives it"
                )
            await connection.send_command("SENTINEL", "MASTER", self.service)
            flat = await connection.read_response(timeout=ANSWER_S)
        except (AuthenticationError, NoPermissionError) as error:
            raise _refused(where, error) from error
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                raise ConfigError(
                    f"{where} is no Sentinel; give the Sentinels' addresses, or redis:// for one "
                    "Redis without them"
                ) from error
            raise BusUnavailable(f"{where}: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            if isinstance(error.__cause__, AuthenticationError):
                raise _refused(where, error) from error
            raise BusUnavailable(f"{where}: {str(error) or 'no answer'}") from error
        finally:
            await connection.disconnect(nowait=True)
        known = dict(zip(flat[::2], flat[1::2], strict=False))
        return Primary(address[0].decode(), int(address[1]), int(known.get(b"config-epoch", 0)))


def _refused(where: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"the Sentinel at {where} refuses the login; set ARB_REDIS_SENTINEL_USERNAME and "
        f"ARB_REDIS_SENTINEL_PASSWORD (or *_FILE) to what its ACL says: {error}"
    )


def service_name(text: str) -> str:
    """Return the name of a service if Sentinel can have it, else nothing."""
    return text if _NAME.fullmatch(text) else ""


class _Following:
    """A connection to the server that is the primary when it is made.

    Mixed into one of redis-py's, whose own errors say neither who named the address nor what can
    be done about it.
    """

    host: str
    port: int

    def __init__(self, *, sentinels: Sentinels, **arguments: Any) -> None:
        arguments["socket_connect_timeout"] = CONNECT_S
        super().__init__(**arguments)
        self._sentinels = sentinels
        sentinels.note(self)

    async def _connect(self) -> None:
        primary = await self._sentinels.find()
        self.host, self.port = primary.address
        try:
            await super()._connect()  # type: ignore[misc]
        except (OSError, TimeoutError) as error:
            why = str(error) or f"no answer within {CONNECT_S:g} s"
            raise BusUnavailable(
                f"{self._named()}, which cannot be reached from here: {why}; if that lasts, let "
                "the servers announce an address that can (replica-announce-ip)"
            ) from error

    @property
    def stands(self) -> bool:
        """Whether it is connected, and nobody has closed it."""
        writer = getattr(self, "_writer", None)
        return writer is not None and not writer.transport.is_closing()

    def _named(self) -> str:
        service = self._sentinels.service
        return f"Sentinel names {self.host}:{self.port} as the primary of {service}"

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in, and refuse a server that has not become the primary yet, or is not any more."""
        await super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        await self.send_command("HELLO", "2")  # type: ignore[attr-defined]
        try:
            hello = await self.read_response(timeout=CONNECT_S)  # type: ignore[attr-defined]
        except NoPermissionError:  # a user that may not say HELLO: nothing is known
            return
        role = dict(zip(hello[::2], hello[1::2], strict=False)).get(b"role", b"master")
        if role != b"master":
            raise RedisError(f"{self._named()}, which says that it is a {role.decode()}")


class FollowingConnection(_Following, Connection):
    """To the primary, without TLS."""


class FollowingSSLConnection(_Following, SSLConnection):
    """To the primary, with TLS."""
