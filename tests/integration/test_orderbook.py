"""The orderbook as a process: restart from its checkpoint, Redis lost, shards that move."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from shared import streams
from shared.bus.opening import open_bus
from shared.bus.port import Input, shard_of
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable
from shared.messages.base import BookState
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    DepthView,
    ResyncRequest,
    VenueStatus,
)
from tests.integration.processes import ServiceProcess
from tests.support import eventually

NAMES = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
CONFIG = """
[bus]
url = "{url}"
shards = 2
[orderbook]
checkpoint_interval_ms = 50
"""


def orderbook_process(directory: Path, url: str, instance: str = "") -> ServiceProcess:
    return ServiceProcess("orderbook", directory, CONFIG.format(url=url), instance=instance)


class Feed:
    """Plays the ingestor: publishes books, and knows what they are."""

    def __init__(self, bus) -> None:
        self.bus = bus
        self.epoch = SystemClock.now_ns()
        self.seq = dict.fromkeys(NAMES, 0)
        self.qty = dict.fromkeys(NAMES, 1.0)

    async def snapshots(self) -> None:
        self.epoch = SystemClock.now_ns()
        now_ns = self.epoch
        await self.bus.publish(
            [
                BookSnapshot(
                    venue="v",
                    instrument=name,
                    epoch=self.epoch,
                    seq=self.seq[name],
                    bids=[(99.0, self.qty[name])],
                    asks=[(101.0, 1.0)],
                    ts_recv_ns=now_ns,
                )
                for name in NAMES
            ]
        )

    async def deltas(self, names=NAMES, *, lost=False) -> None:
        out = []
        for name in names:
            self.qty[name] += 1.0
            seq_prev, self.seq[name] = self.seq[name], self.seq[name] + 1
            out.append(
                BookDelta(
                    venue="v",
                    instrument=name,
                    epoch=self.epoch,
                    seq_prev=seq_prev,
                    seq=self.seq[name],
                    bids=[(99.0, self.qty[name])],
                    asks=[],
                    ts_recv_ns=SystemClock.now_ns(),
                )
            )
        if not lost:
            await self.bus.publish(out)

    async def confirm(self) -> None:
        await self.bus.publish(
            [
                VenueStatus(
                    venue="v",
                    instrument=name,
                    state=BookState.LIVE,
                    epoch=self.epoch,
                    ts_ns=SystemClock.now_ns(),
                )
                for name in NAMES
            ]
        )


class Watcher:
    """The newest views, and the resyncs asked for."""

    def __init__(self, inbox) -> None:
        self._inbox = inbox
        self.views: dict[str, DepthView] = {}
        self.resyncs: list[ResyncRequest] = []

    async def look(self) -> None:
        for message in (await self._inbox.read(0.05)).messages:
            if isinstance(message, DepthView):
                self.views[message.instrument] = message
            elif isinstance(message, ResyncRequest):
                self.resyncs.append(message)

    async def all_live(self, feed: Feed, names=NAMES) -> bool:
        # As the ingestor does all the time; on a slow machine deltas may be read late.
        await feed.confirm()
        await self.look()
        for name in names:
            view = self.views.get(name)
            assert view is not None and view.state is BookState.LIVE, (name, view)
            assert view.bids == [(99.0, feed.qty[name])]
        return True


@pytest.fixture
async def scene(tmp_path):
    """An embedded server, a feed and a watcher."""
    shards = (0, 1)
    with EmbeddedServer(tmp_path / "valkey") as server:
        bus = await open_bus(BusConfig(url=server.url, shards=2), service="ingestor", instance="t")
        inbox = await bus.open_inbox(
            [Input(streams.MD_DEPTH, shards), Input(streams.MD_RESYNC)], service="t", instance="t"
        )
        yield server, Feed(bus), Watcher(inbox)
        await inbox.close()
        await bus.close()


async def test_restart_resumes_from_the_checkpoint_without_a_resync(tmp_path, scene):
    server, feed, watcher = scene
    with orderbook_process(tmp_path, server.url) as orderbook:
        await feed.snapshots()
        await eventually(lambda: watcher.all_live(feed))
        for _ in range(20):
            await feed.deltas()
        await eventually(lambda: watcher.all_live(feed))
        await eventually(lambda: checkpoints(server, 2))
        # The snapshots leave the stream: only checkpoint and tail together give the books.
        await feed.deltas()
        orderbook.end(signal.SIGKILL)
        await feed.deltas()
        await trim_snapshots(server)
        orderbook.start()
        await feed.deltas()
        await eventually(lambda: watcher.all_live(feed))
        assert not watcher.resyncs
        assert orderbook.end(signal.SIGTERM) == 0


async def test_restart_after_the_tail_was_trimmed_asks_for_resyncs(tmp_path, scene):
    server, feed, watcher = scene
    with orderbook_process(tmp_path, server.url) as orderbook:
        await feed.snapshots()
        await eventually(lambda: watcher.all_live(feed))
        await eventually(lambda: checkpoints(server, 2))
        orderbook.end(signal.SIGKILL)
        await feed.deltas(lost=True)
        orderbook.start()
        await feed.deltas()

        async def asked() -> bool:
            await watcher.look()
            return {ask.instrument for ask in watcher.resyncs} == set(NAMES)

        await eventually(asked)
        assert {view.state for view in watcher.views.values()} == {BookState.GAP}
        await feed.snapshots()
        await eventually(lambda: watcher.all_live(feed))


async def test_redis_killed_and_back_is_survived(tmp_path, scene):
    server, feed, watcher = scene
    with orderbook_process(tmp_path, server.url) as orderbook:
        await feed.snapshots()
        await eventually(lambda: watcher.all_live(feed))
        pid = orderbook.process.pid
        server.kill()
        await eventually(lambda: any(e["event"] == "publish_lost" for e in orderbook.events()))
        server.start()

        async def healed() -> bool:
            with contextlib.suppress(BusUnavailable):
                await feed.snapshots()
                return await watcher.all_live(feed)
            return False

        await eventually(healed)
        assert orderbook.process.poll() is None
        assert orderbook.process.pid == pid


async def test_two_instances_share_shards_and_one_takes_over(tmp_path, scene):
    server, feed, watcher = scene
    mine = [name for name in NAMES if shard_of(name, 2) == 0]
    assert 0 < len(mine) < len(NAMES), "the names must fall into both shards"
    with (
        orderbook_process(tmp_path, server.url, "a") as first,
        orderbook_process(tmp_path, server.url, "b") as second,
    ):
        await eventually(lambda: owned(first) == [0] and owned(second) == [1])
        await feed.snapshots()
        await eventually(lambda: watcher.all_live(feed))
        await eventually(lambda: checkpoints(server, 2))
        first.end(signal.SIGKILL)
        await eventually(lambda: owned(second) == [0, 1])

        async def taken_over() -> bool:
            await feed.deltas()
            return await watcher.all_live(feed)

        await eventually(taken_over)
        assert not watcher.resyncs, "the checkpoint of the dead one was enough"


def owned(orderbook: ServiceProcess) -> list[int] | None:
    owned = [e["owned"] for e in orderbook.events() if e["event"] == "shards_owned"]
    return owned[-1] if owned else None


async def checkpoints(server: EmbeddedServer, shards: int) -> bool:
    """Tell whether every shard was saved again from now on."""
    import redis.asyncio as redis

    keys = [f"{{arb}}:checkpoint:orderbook-{shard}" for shard in range(shards)]
    async with redis.Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
        await client.delete(*keys)
        await eventually(lambda: client.exists(*keys))

        async def saved() -> bool:
            return await client.exists(*keys) == shards

        await eventually(saved)
    return True


async def trim_snapshots(server: EmbeddedServer) -> None:
    import redis.asyncio as redis

    async with redis.Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
        for shard in (0, 1):
            key = streams.MD_BOOK.key(shard)
            entries = await client.xlen(key)
            assert entries > 3
            await client.xtrim(key, maxlen=3, approximate=False)
