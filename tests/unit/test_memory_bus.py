"""The bus in memory: short cuts give what the long way gives."""

from __future__ import annotations

from random import Random

import pytest

from services.lab.kernel import Kernel
from shared.bus.memory import MemoryBus, MemoryInbox
from shared.bus.memory_store import MemoryServer, Stream
from shared.bus.port import Input
from shared.messages.base import BookState, TradingState
from shared.messages.execution import TradingStateChanged
from shared.messages.market import VenueStatus
from shared.streams import STREAM_OF

STATUS = STREAM_OF[VenueStatus]
STATE = STREAM_OF[TradingStateChanged]
INTERVAL_MS = 50


def status(ts_ns: int) -> VenueStatus:
    return VenueStatus(
        venue="kraken", instrument="", state=BookState.LIVE, epoch=1, reason="", ts_ns=ts_ns
    )


def changed(ts_ns: int) -> TradingStateChanged:
    return TradingStateChanged(
        ts_ns=ts_ns, state=TradingState.HALTED, reason="a test", ts_since_ns=ts_ns
    )


def opened(kernel: Kernel, server: MemoryServer) -> MemoryInbox:
    inputs = [Input(STATE), Input(STATUS, interval_ms=INTERVAL_MS)]
    return MemoryBus(server, service="executor").open(
        inputs, service="executor", instance="executor-1"
    )


def test_an_inbox_passes_empty_where_a_reading_finds_nothing() -> None:
    """And both leave it in the same state: what comes next is read at the same time."""
    draw, passed, refused = Random(7), 0, 0
    kernel = Kernel(1_700_000_000_000_000_000)
    server = MemoryServer(kernel)
    writer = MemoryBus(server, service="risk")
    inbox, twin_server = opened(kernel, server), MemoryServer(kernel)
    twin_writer, twin = MemoryBus(twin_server, service="risk"), opened(kernel, twin_server)
    for _ in range(2_000):
        kernel.run_until(kernel.now_ns() + draw.randrange(1, 30) * 1_000_000)
        if draw.random() < 0.3:
            message = draw.choice([status, changed])(kernel.now_ns())
            writer.apply(None, [message])
            twin_writer.apply(None, [message])
        batch = twin.poll()
        if inbox.passes_empty(server):
            passed += 1
            assert not batch.last_ids
        else:
            refused += 1
            assert inbox.poll() == batch
        assert [c.due_ns for c in inbox.latest.all] == [c.due_ns for c in twin.latest.all]
    assert passed > 500 and refused > 200


@pytest.mark.parametrize("lost", ["down", "everything"])
def test_an_inbox_never_passes_a_loss(lost: str) -> None:
    kernel = Kernel(1_700_000_000_000_000_000)
    server = MemoryServer(kernel)
    inbox = opened(kernel, server)
    inbox.poll()
    kernel.run_until(kernel.now_ns() + 1_000_000)
    assert inbox.passes_empty(server)
    if lost == "down":
        server.is_up = False
    else:
        server.lose_everything()
    kernel.run_until(kernel.now_ns() + INTERVAL_MS * 1_000_000)
    assert not inbox.passes_empty(server)


def test_what_comes_after_an_id_is_the_rest_of_the_stream() -> None:
    draw, stream = Random(3), Stream()
    for number in range(60):
        stream.append(b"%d" % number, draw.choice([5, 6, 7]) + number // 3)
        if draw.random() < 0.2:
            stream.delete(draw.choice(stream.ids))
        whole = list(zip(stream.ids, stream.payloads, strict=True))
        for known in [(0, 0), *stream.ids, stream.last_id, (10**9, 0)]:
            for count in (0, 1, 2, 100):
                rest = [entry for entry in whole if entry[0] > known][:count]
                assert stream.after(known, count) == rest
