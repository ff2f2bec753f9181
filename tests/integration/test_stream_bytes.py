"""The bytes of a stream, as operators are shown them, from a real Redis."""

from __future__ import annotations

from shared.watch.link import Link

KEY = "{arb}:arb.nearmiss"
LARGE, ENTRIES = 20, 4_000


async def test_large_entries_among_small_ones_are_counted_once(link: Link) -> None:
    """Twenty of its nodes say little of the others: the first ones hold what is large here."""
    pipeline = link._redis.pipeline()
    for number in range(ENTRIES):
        pipeline.xadd(KEY, {"m": bytes(3_900 if number < LARGE else 40)})
    await pipeline.execute()
    entries, size = await link.length(KEY)
    told = (await link.measured([KEY]))[KEY]
    exact = await link._redis.memory_usage(KEY, samples=0)
    assert entries == ENTRIES
    assert size == exact
    assert told["bytes"] == exact
