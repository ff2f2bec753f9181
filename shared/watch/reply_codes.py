"""Codes of Redis' error replies, which redis-py turns into classes and takes off their text."""

from __future__ import annotations

from typing import Any

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

_CODES: tuple[tuple[type[RedisError], str], ...] = (
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (BusyLoadingError, "LOADING"),
    (MasterDownError, "MASTERDOWN"),
    (MovedError, "MOVED"),
    (AskError, "ASK"),
    (ClusterCrossSlotError, "CROSSSLOT"),
    (ClusterDownError, "CLUSTERDOWN"),
    (NoPermissionError, "NOPERM"),
)


def code_of(error: BaseException) -> str:
    """Return Redis' code of an error reply; redis-py takes it off the text where it knows it."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return str(error).partition(" ")[0] if isinstance(error, ResponseError) else ""


async def answers_of(pipeline: Any) -> list[Any]:
    """Return a pipeline's replies, errors among them, which hold nothing but their text.

    redis-py raises each error before it returns it. Its traceback refers to frames that refer to
    the error and to what was read, so every reading would wait for a collection of cycles.
    """
    replies: list[Any] = await pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, BaseException):
            reply.__traceback__ = None
    return replies


async def replies_of(pipeline: Any) -> list[Any]:
    """Return a pipeline's replies; ``None`` for a key of another type than was asked for.

    Raises:
        RedisError: Redis refuses something else.
    """
    replies = await answers_of(pipeline)
    for reply in replies:
        if isinstance(reply, RedisError) and code_of(reply) != "WRONGTYPE":
            raise reply
    return [None if isinstance(reply, RedisError) else reply for reply in replies]
