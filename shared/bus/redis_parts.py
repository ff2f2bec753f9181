"""What is used of redis-py: connections (address, login, TLS) and errors; no client."""

from __future__ import annotations

from shared.lean_import import without_init

with without_init("redis", "redis.asyncio"):
    from redis.asyncio.connection import (
        AbstractConnection,
        Connection,
        SSLConnection,
        UnixDomainSocketConnection,
    )
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

__all__ = [
    "AbstractConnection",
    "AuthenticationError",
    "Connection",
    "NoPermissionError",
    "RedisError",
    "ResponseError",
    "SSLConnection",
    "UnixDomainSocketConnection",
]
