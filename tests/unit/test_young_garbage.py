"""Cycles are freed in time, also in a service that makes too few objects for a collection."""

from __future__ import annotations

import asyncio
import gc
import weakref

from shared.cancel import cancel_and_wait
from shared.runner import GC_THRESHOLDS, collect_young_garbage
from tests.support import eventually


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


async def test_cycles_are_freed_though_few_objects_are_made() -> None:
    before = gc.get_threshold()
    gc.set_threshold(1_000_000, *GC_THRESHOLDS[1:])
    try:
        gc.collect()
        left = weakref.ref(Ring())
        assert left() is not None
        collecting = asyncio.create_task(collect_young_garbage(0.01))
        await eventually(lambda: left() is None, timeout_s=5, what="the ring is freed")
        await cancel_and_wait([collecting])
    finally:
        gc.set_threshold(*before)
