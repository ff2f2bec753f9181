"""The servers of a deployment as the user ``reload`` sees them: the ACL file, who is connected."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.acl import OPERATOR, RELOAD
from shared import codec
from shared.bus.address import Endpoint, is_of_sentinel
from shared.bus.redis_parts import (
    AbstractConnection,
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from shared.config_sections import BusConfig
from shared.errors import ConfigError
from shared.messages.control import Heartbeat
from shared.streams import SYS_HEALTH

SERVERS = "ARB_REDIS_SERVERS"
SOCKETS = (Path("/run/redis/redis.sock"), Path("/run/arbstream/redis.sock"))
"""Where Redis listens in containers and on a VPS."""
TIMEOUT_S = 5.0
HEARD_MS, HEARD_MAX = 4_000, 1_000
"""Services say every second that they are there; so many entries are looked at."""


class Server:
    """One Redis; it is connected to for each request.

    Raises:
        ConfigError: It cannot be reached, refuses the login or the request.
    """

    def __init__(self, url: str, password: str) -> None:
        if is_of_sentinel(url):
            raise ConfigError(f"{SERVERS}: each server has an ACL file: give each one's address")
        authority = os.environ.get("ARB_REDIS_TLS_CA_FILE", "")
        self._endpoint = Endpoint(BusConfig(url=url, tls_ca_file=authority), SERVERS, login=None)
        self._endpoint.arguments |= {"username": RELOAD, "password": password}
        self.where = self._endpoint.where

    async def load_acl(self) -> None:
        """Have it read its ACL file again; Redis 7.0 closes every connection for that."""
        async with self._connection() as connection:
            await connection.send_command("ACL", "LOAD")  # type: ignore[no-untyped-call]
            try:
                await connection.read_response(timeout=TIMEOUT_S)
            except ResponseError:
                raise
            except RedisError:
                return  # it closed this one, too; whether it has loaded the file is asked for next

    async def check_logins(self, passwords: Mapping[str, str]) -> None:
        """Log in as every user."""
        async with self._connection() as connection:
            for user, password in passwords.items():
                try:
                    await _ask(connection, "AUTH", user, password)
                except AuthenticationError as error:
                    raise ConfigError(
                        f"Redis at {self.where} refuses {user}'s password: its aclfile is not this "
                        "deployment's acl/users.acl; bring that there and repeat this"
                    ) from error

    async def check_dropped(self, digests: Collection[str]) -> None:
        """Refuse what accepts a password still, by the SHA-256 in hex of those that are to go."""
        async with self._connection() as connection:
            users = await _ask(connection, "ACL", "LIST")
        words = {word for line in users for word in _text(line).split()}
        if words & {f"#{digest}" for digest in digests}:
            raise ConfigError(
                f"Redis at {self.where} accepts passwords still that are to be dropped: its "
                "aclfile is not this deployment's acl/users.acl; bring that there and repeat this"
            )

    async def ages_s(self) -> list[tuple[str, int]]:
        """Return the user of each connection, and how long it stands."""
        async with self._connection() as connection:
            text = await _ask(connection, "CLIENT", "LIST")
        found = []
        for line in _text(text).splitlines():
            fields = dict(part.partition("=")[::2] for part in line.split(" "))
            found.append((fields["user"], int(fields["age"])))
        return found

    async def heartbeats(self, operator_password: str) -> list[Heartbeat]:
        """Return what each process said last, of those that were heard just now."""
        async with self._connection() as connection:
            await _ask(connection, "AUTH", OPERATOR, operator_password)
            newest = await _ask(
                connection, "XREVRANGE", SYS_HEALTH.key(), "+", "-", "COUNT", str(HEARD_MAX)
            )
        found = dict[tuple[str, str], Heartbeat]()
        for entry_id, fields in newest:
            if _ms(entry_id) < _ms(newest[0][0]) - HEARD_MS:
                break
            payload = dict(zip(fields[::2], fields[1::2], strict=True))[codec.FIELD]
            for message in codec.decode(SYS_HEALTH, payload):
                if isinstance(message, Heartbeat):
                    found.setdefault((message.service, message.instance), message)
        return list(found.values())

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        connection = self._endpoint.connection(TIMEOUT_S)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            yield connection
        except (RedisError, OSError, TimeoutError) as error:
            refusals = (AuthenticationError, NoPermissionError)
            if isinstance(error, refusals) or isinstance(error.__cause__, refusals):
                raise ConfigError(
                    f"Redis at {self.where} does not know the user {RELOAD} of acl/users.acl yet: "
                    "restart Redis once, then repeat this"
                ) from error
            raise ConfigError(f"Redis at {self.where}: {error or type(error).__name__}") from error
        finally:
            await connection.disconnect(nowait=True)


async def _ask(connection: AbstractConnection, *words: str) -> Any:
    await connection.send_command(*words)  # type: ignore[no-untyped-call]
    return await connection.read_response(timeout=TIMEOUT_S)


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def _ms(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def servers_of(password: str) -> Sequence[Server]:
    """Return the servers that ``ARB_REDIS_SERVERS`` names, else the one at its usual socket.

    Raises:
        ConfigError: There is none, or an address is wrong.
    """
    urls = os.environ.get(SERVERS, "").split()
    urls = urls or [f"unix://{path}" for path in SOCKETS if path.exists()][:1]
    if not urls:
        raise ConfigError(
            f"no Redis at {' or '.join(map(str, SOCKETS))}; is it running? Elsewhere: "
            f"{SERVERS}=unix:///path/to/redis.sock, of a group each server's address"
        )
    return [Server(url, password) for url in urls]
