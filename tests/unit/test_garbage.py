"""Cycles are freed in time, also in a service that makes too few objects for a collection."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator

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
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.fixture
async def collecting() -> AsyncIterator[None]:
    """Garbage is collected as in a service that has been open for a while."""
    frozen = gc.get_freeze_count()
    task = asyncio.create_task(collect_garbage(0.01))
    await eventually(lambda: gc.get_freeze_count() > frozen, timeout_s=10, what="all is open")
    yield
    await cancel_and_wait([task])


@pytest.mark.usefixtures("collecting")
async def test_cycles_are_freed_though_few_objects_are_made() -> None:
    left = weakref.ref(Ring())
    assert left() is not None
    await eventually(lambda: left() is None, timeout_s=10, what="the ring is freed")


@pytest.mark.usefixtures("collecting")
async def test_what_was_in_use_during_collections_is_freed_once_it_is_given_up() -> None:
    """A connection that is lost after an hour is older than what is collected every time."""
    ring = Ring()
    for _ in range(3):
        gc.collect(1)
    left = weakref.ref(ring)
    del ring
    await eventually(lambda: left() is None, timeout_s=10, what="the ring is freed")


@pytest.mark.usefixtures("collecting")
def test_what_is_open_is_not_looked_through_again() -> None:
    """The executor's 40,000 objects of markets would hold up its orders for 20 ms."""
    assert len(gc.get_objects()) < gc.get_freeze_count() / 10
