"""Finds out whether a server answers, and says in one line why it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from shared.bus.address import check_server_kind
from shared.bus.connection import explain
from shared.errors import BusUnavailable, ConfigError
from shared.watch.reply_codes import code_of

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def greet(redis: Redis, where: str, remedy: str) -> None:
    """Ask a server whether it is one that can hold the streams, and lets this user in.

    Raises:
        ConfigError: It is of another kind, or the Sentinels that were asked name none.
        BusUnavailable: It does not answer, or refuses the credentials. The text ends with the
            remedy where it cannot be reached.
    """
    try:
        hello = await redis.execute_command("HELLO", "2")  # type: ignore[no-untyped-call]
        check_server_kind(hello, f"Redis at {where}")
        ping: Any = redis.ping()
        await ping
    except NoPermissionError:
        return  # it answers; what this user may do shows when it is done
    except (RedisError, OSError) as error:
        # Over a unix socket redis-py wraps the refusal in a ConnectionError.
        if isinstance(error, AuthenticationError) or isinstance(
            error.__cause__, AuthenticationError
        ):
            why = str(error).rstrip(".")
            raise BusUnavailable(
                f"Redis at {where} refuses the credentials: {why}; "
                "set ARB_REDIS_USERNAME and ARB_REDIS_PASSWORD"
            ) from error
        if isinstance(error.__cause__, ConfigError):  # of the Sentinels that were asked
            raise ConfigError(f"Redis at {where}: {error.__cause__}") from error
        code = code_of(error)
        if code == "MISCONF":
            return  # so it answers PING while it cannot persist; it can still be read
        if meaning := explain(code):
            raise BusUnavailable(f"{meaning} ({where}): {error}") from error
        why = str(error).rstrip(".")
        raise BusUnavailable(f"cannot reach Redis at {where}: {why}; {remedy}") from error
