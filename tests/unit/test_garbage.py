"""Cycles are freed in time, also in a service that makes too few objects for a collection."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from shared.cancel import cancel_and_wait
from shared.runner import GC_THRESHOLDS, collect_garbage
from tests.support import eventually


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def few_objects() -> Iterator[None]:
    """No collection comes by itself, as in a service that makes few objects."""
    before = gc.get_threshold()
    gc.set_threshold(1_000_000, *GC_THRESHOLDS[1:])
    gc.collect()
    yield
    gc.set_threshold(*before)


async def until_freed(left: weakref.ref[Ring]) -> None:
    assert left() is not None
    collecting = asyncio.create_task(collect_garbage(0.01))
    try:
        await eventually(lambda: left() is None, timeout_s=10, what="the ring is freed")
    finally:
        await cancel_and_wait([collecting])


async def test_cycles_are_freed_though_few_objects_are_made() -> None:
    await until_freed(weakref.ref(Ring()))


async def test_what_was_in_use_during_collections_is_freed_once_it_is_given_up() -> None:
    """A connection that is lost after an hour is older than what is collected every time."""
    ring = Ring()
    for _ in range(3):
        gc.collect(1)
    left = weakref.ref(ring)
    del ring
    await until_freed(left)
