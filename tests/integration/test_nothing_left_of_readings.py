"""What is read every few seconds frees itself: it does not wait for a collection of cycles."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable

from redis.exceptions import ResponseError

from shared.streams import CTL_COMMAND
from shared.watch.link import Link
from shared.watch.stream_state import StreamGauge

READINGS = 20


async def left_of(read: Callable[[], Awaitable[object]]) -> int:
    """Error replies that are still there after some readings, though nobody has them any more."""
    await read()
    gc.collect()
    gc.disable()
    try:
        for _ in range(READINGS):
            await read()
        return sum(isinstance(each, ResponseError) for each in gc.get_objects())
    finally:
        gc.enable()


async def test_streams_that_do_not_exist_leave_nothing(link: Link) -> None:
    gauge = StreamGauge(1)
    assert await left_of(lambda: gauge.read(link)) == 0


async def test_lags_of_a_key_of_another_type_leave_nothing(link: Link) -> None:
    key = CTL_COMMAND.key()
    await link._redis.set(key, "no stream")
    assert await left_of(lambda: link.first_after([(key, "0-0")])) == 0
