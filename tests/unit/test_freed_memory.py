"""Freed memory goes back to the system."""

from __future__ import annotations

import gc
import sys

import psutil
import pytest

from shared import freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library of Linux")
def test_what_was_freed_goes_back() -> None:
    if freed_memory._trim is None:
        pytest.skip("this C library gives memory back by itself")
    process = psutil.Process()
    # Of a size that is not mapped alone, and one kept above, so that the heap cannot shrink.
    blocks = [bytearray(60_000) for _ in range(1_000)]
    kept = bytearray(60_000)
    before = process.memory_info().rss
    del blocks
    freed_memory.give_back()
    assert process.memory_info().rss < before - 30_000_000
    assert kept


def test_what_is_set_aside_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    try:
        freed_memory.set_aside()
        assert gc.get_freeze_count() > before
        assert len(gc.get_objects(generation=2)) < gc.get_freeze_count() / 100
    finally:
        gc.unfreeze()
