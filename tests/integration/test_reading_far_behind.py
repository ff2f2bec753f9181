"""A reader that was away takes in what waited without holding all of it at once."""

from __future__ import annotations

import tracemalloc

import msgspec

from services.lab.keys import keys_for
from shared import streams
from shared.bus.port import Batch, Input
from shared.bus.redis_streams import RedisBus
from shared.config_sections import BusConfig
from tests.decision_builders import T0, make_view

ENTRIES, BOOKS = 1_000, 8


async def test_views_of_a_stall_are_not_all_there_at_once(url: str) -> None:
    config = BusConfig(url=url)
    writer = RedisBus(config, service="orderbook", instance="o1", keys=keys_for("orderbook"))
    reader = RedisBus(config, service="dashboard", instance="d1", keys=keys_for("dashboard"))
    bids = [(100.0 - number, 1.0) for number in range(20)]
    asks = [(101.0 + number, 1.0) for number in range(20)]
    views = [make_view("v", f"A{book}/USDT", bids=bids, asks=asks) for book in range(BOOKS)]
    encoded = msgspec.msgpack.encode(views)

    what = Input(streams.MD_DEPTH, interval_ms=1)
    inbox = await reader.open_inbox([what], service="dashboard", instance="d1")
    for number in range(ENTRIES):
        at_ns = T0 + number
        await writer.publish([msgspec.structs.replace(view, ts_ns=at_ns) for view in views])
    batch = Batch([])
    tracemalloc.start()
    try:
        while not batch.last_ids:
            batch = await inbox.read(5.0)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        await inbox.close()
        await reader.close()
        await writer.close()
    assert [view.instrument for view in batch.messages] == [view.instrument for view in views]
    assert batch.skipped == (ENTRIES - 1) * BOOKS, "all that waited is in one sample"
    # What waited as it came, and a part of it decoded: all of it would be another 20 to 40 MB.
    assert most < 3 * ENTRIES * len(encoded)
