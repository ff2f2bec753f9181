"""A recorder as a process: killed, with a full disk, and two of them."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import redis.asyncio

from services.cli.data.verify import verify_store
from services.recorder.store import look_at
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.raw import RawFrames, RawItem, RawKind, RawOrigin
from shared.store.manifest import files_in, read_manifest
from shared.store.parquet import read_raw
from shared.store.segments import read_segment, segments_in
from shared.streams import MD_RAW
from tests.integration.processes import ServiceProcess
from tests.support import eventually

pytest.importorskip("pyarrow")

ORIGIN = RawOrigin("kraken", "kraken.ws.1", "wss://ws.kraken.com/v2")
FRAME = b'{"channel":"heartbeat"}'


class Scene:
    """A bus with an ingestor's frames on it, and a store."""

    def __init__(self, server: EmbeddedServer, bus, directory: Path) -> None:
        self.server, self.bus, self.directory = server, bus, directory
        self.root = directory / "store"
        self.seq = 0

    def recorder(self, name: str = "recorder-1", url: str = "") -> ServiceProcess:
        config = f'[bus]\nurl = "{url or self.server.url}"\n[recorder]\nenabled = true\n'
        config += f'dir = "{self.root}"\nsync_interval_ms = 50\n'
        return ServiceProcess("recorder", self.directory, config, instance=name)

    async def say(self, count: int = 1, frame: bytes = FRAME, origin=ORIGIN) -> None:
        now_ns = SystemClock.now_ns()
        items = [RawItem(0, RawKind.FRAME, now_ns + n, frame) for n in range(count)]
        message = RawFrames(
            source="i#1", seq=self.seq + 1, origins=[origin], items=items, ts_recv_ns=now_ns
        )
        self.seq += count
        await self.bus.commit(None, [message])

    def stored(self) -> list[int]:
        """Numbers of all rows, in segments and files."""
        seqs = [row.seq for path in segments_in(self.root) for row in read_segment(path).rows]
        for file in files_in(self.root, ("raw",)):
            seqs += [row.seq for _, row in read_raw(file)]
        return sorted(seqs)

    async def forget(self) -> None:
        """Empty the stream, as its bounds do where a recorder stays away for long."""
        async with redis.asyncio.from_url(self.server.url) as client:
            await client.xtrim(MD_RAW.key(), maxlen=0, approximate=False)

    async def all_stored(self) -> bool:
        return self.root.is_dir() and self.stored() == list(range(1, self.seq + 1))

    def missing(self) -> list:
        """What the manifests say is missing."""
        return [m for f in files_in(self.root, ("raw",)) for m in read_manifest(f).missing]

    def unfinished(self) -> list[Path]:
        return list(segments_in(self.root))


@pytest.fixture
async def scene(tmp_path):
    with EmbeddedServer(tmp_path / "valkey") as server:
        bus = await open_bus(BusConfig(url=server.url), service="ingestor", instance="t")
        yield Scene(server, bus, tmp_path)
        await bus.close()


async def test_a_recorder_that_is_stopped_leaves_finished_files(scene):
    with scene.recorder() as recorder:
        await scene.say(10)
        await eventually(scene.all_stored, timeout_s=30)
        assert recorder.end(signal.SIGTERM) == 0, recorder.log.read_text()
    assert not scene.unfinished()
    report = verify_store(scene.root)
    assert (report.ok, report.rows) == (True, 10)
    assert not scene.missing()


async def test_a_stop_with_many_segments_ends_in_time_and_the_next_one_goes_on(scene):
    with scene.recorder() as recorder:
        for number in range(150):
            origin = RawOrigin(f"v{number}", f"v{number}.ws.1", "wss://v")
            await scene.say(1, origin=origin)
        await eventually(scene.all_stored, timeout_s=60)
        assert recorder.end(signal.SIGTERM) == 0, recorder.log.read_text()
        left = len(scene.unfinished())
        assert left, "150 programs were not run within so short a time"
        (told,) = (each for each in recorder.events() if each["event"] == "segments_left")
        assert told["segments"] in {left, left + 1}, "one may end while it is broken off"
        assert await scene.all_stored()
        recorder.start()
        await eventually(lambda: len(scene.unfinished()) < left, timeout_s=30)
        recorder.end(signal.SIGTERM)
    assert await scene.all_stored()


async def test_a_killed_recorder_goes_on_without_a_hole(scene):
    with scene.recorder() as recorder:
        await scene.say(10)
        await eventually(scene.all_stored, timeout_s=30)
        recorder.end(signal.SIGKILL)
        assert scene.unfinished()
        await scene.say(5)
        recorder.start()
        await eventually(scene.all_stored, timeout_s=30)
        await scene.say(1)
        await eventually(scene.all_stored, timeout_s=30)
        assert any("was killed" in each.get("reason", "") for each in recorder.events())
        recorder.end(signal.SIGTERM)
    assert verify_store(scene.root).ok and not scene.missing()


async def test_what_was_lost_while_it_was_dead_is_told(scene):
    with scene.recorder() as recorder:
        await scene.say(10)
        await eventually(scene.all_stored, timeout_s=30)
        recorder.end(signal.SIGKILL)
        await scene.say(7)
        await scene.forget()
        recorder.start()
        await scene.say(3)
        await eventually(lambda: scene.stored()[-1:] == [20], timeout_s=30)
        recorder.end(signal.SIGTERM)
    (missing,) = scene.missing()
    assert (missing.rows, missing.recording) == (7, "i#1")
    assert missing.ts_from_ns < missing.ts_to_ns
    report = verify_store(scene.root)
    assert report.ok and any("7 rows" in text for text in report.told)


async def test_a_row_that_was_cut_by_the_kill_is_taken_again(scene):
    with scene.recorder() as recorder:
        await scene.say(10)
        await eventually(scene.all_stored, timeout_s=30)
        recorder.end(signal.SIGKILL)
        (segment,) = scene.unfinished()
        segment.write_bytes(segment.read_bytes()[:-7])
        assert look_at(scene.root).torn_bytes > 0
        recorder.start()
        await eventually(scene.all_stored, timeout_s=30)
        recorder.end(signal.SIGTERM)
    torn = [read_manifest(file).torn_bytes for file in files_in(scene.root, ("raw",))]
    assert any(torn)
    assert verify_store(scene.root).ok and not scene.missing()


async def test_a_full_disk_is_told_in_one_line_and_recording_goes_on(scene):
    with scene.recorder() as recorder:
        await scene.say(3)
        await eventually(scene.all_stored, timeout_s=30)
        pid = recorder.process.pid
        # No file may grow beyond this: as of a disk that is full, a part of a write is taken.
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, hard))
        for _ in range(20):
            await scene.say(1, b'{"channel":"heartbeat","x":"%s"}' % (b"x" * 5_000))

        def told(what: str) -> list[dict]:
            return [each for each in recorder.events() if what in each.get("reason", "")]

        await eventually(lambda: told("nothing is recorded"), timeout_s=30)
        await scene.say(1)
        assert recorder.process.poll() is None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        await eventually(scene.all_stored, timeout_s=30)
        await eventually(lambda: told("recording goes on"), timeout_s=30)
        assert len(told("nothing is recorded")) == 1
        recorder.end(signal.SIGTERM)
    assert verify_store(scene.root).ok and not scene.missing()


async def test_of_two_recorders_one_writes_and_the_other_takes_over(scene):
    with scene.recorder("recorder-1") as first:
        await scene.say(10)
        await eventually(scene.all_stored, timeout_s=30)
        with scene.recorder("recorder-2") as second:
            await eventually(
                lambda: any(each["event"] == "standby" for each in second.events()), timeout_s=30
            )
            await scene.say(5)
            await eventually(scene.all_stored, timeout_s=30)
            first.end(signal.SIGKILL)
            await scene.say(5)
            await eventually(scene.all_stored, timeout_s=30)
            second.end(signal.SIGTERM)
    assert verify_store(scene.root).ok and not scene.missing()


async def test_a_recorder_of_another_bus_does_not_write_into_the_same_store(scene, tmp_path):
    with EmbeddedServer(tmp_path / "other") as server, scene.recorder("recorder-1"):
        await scene.say(4)
        await eventually(scene.all_stored, timeout_s=30)
        with scene.recorder("recorder-2", server.url) as second:
            await eventually(
                lambda: [e for e in second.events() if "another process" in e.get("reason", "")],
                timeout_s=30,
            )
            assert second.process.poll() is None
    assert scene.stored() == [1, 2, 3, 4]
