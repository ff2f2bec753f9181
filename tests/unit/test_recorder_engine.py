"""What a recorder writes, what it says is missing, and how it lives with a full disk."""

from __future__ import annotations

import pytest

from services.recorder import engine as engine_module
from services.recorder.engine import NOT_READ, RETRY_NS, RecorderEngine
from services.recorder.finishing import STOP_NS
from services.recorder.requests import (
    Finish,
    Finished,
    Known,
    LogEntry,
    NotFinished,
    NotRecovered,
    NotWritten,
    Recover,
    Recovered,
    Write,
    Written,
)
from shared.config_sections import RecorderConfig
from shared.engine import Stopping
from shared.messages.control import Severity
from shared.messages.raw import RawFrames, RawItem, RawKind, RawOrigin

S = 1_000_000_000
T0 = 1_700_000_000 * S
SYNC_NS = 500_000_000
ORIGIN = RawOrigin("kraken", "kraken.ws.1", "wss://kraken")


def frames(seq: int, count: int = 1, *, at: int = T0, source: str = "i#1", origin=ORIGIN):
    items = [RawItem(0, RawKind.FRAME, at + n, b"f%d" % (seq + n)) for n in range(count)]
    return RawFrames(source=source, seq=seq, origins=[origin], items=items, ts_recv_ns=at + count)


class World:
    """An engine and what it asked for."""

    def __init__(self, known: dict | None = None, segments: list | None = None, **config) -> None:
        self.engine = RecorderEngine(RecorderConfig(enabled=True, **config))
        self.now_ns = T0
        self.alerts: list = []
        assert self.engine.start({}, T0).actions == [Recover()]
        self.actions = self.tell(Recovered(known or {}, segments or [], 3, 5))

    def tell(self, message) -> list:
        return self._noted(self.engine.on_message(message, self.now_ns))

    def wait(self, ns: int = SYNC_NS) -> list:
        self.now_ns += ns
        due_ns = self.engine.next_deadline_ns()
        if due_ns is None or due_ns > self.now_ns:
            return []
        actions = self._noted(self.engine.on_timer(self.now_ns))
        later_ns = self.engine.next_deadline_ns()
        assert later_ns is None or later_ns > self.now_ns
        return actions

    def _noted(self, step) -> list:
        self.alerts += step.messages
        return [action for action in step.actions if not isinstance(action, LogEntry)]

    def written(self, action: Write, size: int = 10) -> list:
        return self.tell(Written({part.segment: size for part in action.parts}))


def rows(action: Write) -> list[tuple[int, bytes]]:
    return [(row.seq, row.frame) for part in action.parts for row in part.rows]


def missing(action: Write) -> list[tuple[int | None, str]]:
    return [(each.rows, each.reason) for part in action.parts for each in part.missing]


def test_frames_are_written_together_within_the_time_configured():
    world = World()
    assert world.tell(frames(1, 2)) == [] == world.tell(frames(3))
    (write,) = world.wait()
    assert rows(write) == [(1, b"f1"), (2, b"f2"), (3, b"f3")]
    (part,) = write.parts
    assert part.segment.startswith("raw/venue=kraken/date=2023-11-14/hour=22/")
    assert not part.missing
    assert world.written(write) == []


def test_one_write_at_a_time():
    world = World()
    world.tell(frames(1))
    (first,) = world.wait()
    world.tell(frames(2))
    assert world.wait() == []
    world.written(first)
    (second,) = world.wait()
    assert rows(second) == [(2, b"f2")]


def test_what_is_stored_is_not_stored_again():
    world = World({"i#1": Known(5, T0)})
    world.tell(frames(4, 4))
    (write,) = world.wait()
    assert rows(write) == [(6, b"f6"), (7, b"f7")]
    assert missing(write) == []
    assert world.engine.counters()["repeated"] == 2


def test_a_hole_is_written_down_with_count_and_span():
    world = World({"i#1": Known(5, T0 - 7)})
    world.tell(frames(9))
    (write,) = world.wait()
    assert missing(write) == [(3, NOT_READ)]
    (told,) = write.parts[0].missing
    assert (told.ts_from_ns, told.ts_to_ns) == (T0 - 7, T0)


def test_an_ingestor_that_was_started_anew_is_a_recording_of_its_own():
    world = World({"i#1": Known(5, T0)})
    world.tell(frames(1, source="i#2"))
    (write,) = world.wait()
    assert rows(write) == [(1, b"f1")] and missing(write) == []


def test_a_recorder_that_came_late_says_what_it_did_not_see():
    world = World()
    world.tell(frames(7))
    (write,) = world.wait()
    assert missing(write) == [(6, NOT_READ)]


def test_a_full_disk_is_told_once_and_what_is_kept_is_written_later():
    world = World()
    world.tell(frames(1))
    (write,) = world.wait()
    world.tell(NotWritten("data: No space left on device"))
    assert "No space left" in world.engine.unready()
    world.tell(frames(2))
    (again,) = world.wait(RETRY_NS)
    assert again == write
    world.tell(NotWritten("data: No space left on device"))
    (again,) = world.wait(RETRY_NS)
    (rest,) = world.written(again)
    assert rows(rest) == [(2, b"f2")]
    assert [alert.severity for alert in world.alerts] == [Severity.WARNING, Severity.INFO]
    assert "No space left" in world.alerts[0].text and "0 frames were lost" in world.alerts[1].text
    assert world.engine.unready() == ""


def test_what_does_not_fit_while_the_disk_is_full_is_counted(monkeypatch):
    monkeypatch.setattr(engine_module, "PENDING_BYTES_MAX", 2 * (engine_module.ROW_BYTES + 2))
    world = World()
    world.tell(frames(1, 2))
    (write,) = world.wait()
    world.tell(NotWritten("full"))
    world.tell(frames(3, 5))
    (write,) = world.wait(RETRY_NS)
    world.written(write)
    world.tell(frames(8))
    (write,) = world.wait()
    assert rows(write) == [(8, b"f8")] and missing(write) == [(5, "full")]
    assert world.engine.counters()["dropped"] == 5
    assert "5 frames were lost meanwhile (full)" in world.alerts[-1].text


def test_a_segment_ends_with_its_hour_and_at_its_size():
    world = World(segment_bytes_max=100)
    world.tell(frames(1))
    (write,) = world.wait()
    (finish,) = world.written(write, 100)
    assert finish == Finish(write.parts[0].segment)
    world.tell(Finished(finish.segment, 1))
    world.tell(frames(2))
    (write,) = world.wait()
    assert write.parts[0].segment != finish.segment
    world.written(write)
    assert world.wait(3_600 * S + 10 * S) == [Finish(write.parts[0].segment)]
    assert world.engine.gauges()["segments_open"] == 0


def test_rows_of_two_hours_and_two_venues_lie_apart():
    world = World()
    world.tell(frames(1))
    world.tell(frames(2, at=T0 + 3_600 * S, origin=RawOrigin("gateio", "gateio.ws.2", "wss://g")))
    world.tell(frames(3, at=T0 + 3_600 * S))
    (write,) = world.wait()
    folders = [part.segment.rpartition("/")[0] for part in write.parts]
    assert folders == [
        "raw/venue=kraken/date=2023-11-14/hour=22",
        "raw/venue=gateio/date=2023-11-14/hour=23",
        "raw/venue=kraken/date=2023-11-14/hour=23",
    ]


def test_segments_of_a_recorder_that_was_killed_are_finished_and_told():
    world = World(segments=["a", "b"])
    assert world.actions == [Finish("a")]
    (alert,) = world.alerts
    assert "3 rows of 2 segments kept, 5 bytes" in alert.text
    assert world.tell(Finished("a", 3)) == [Finish("b")]


def test_a_segment_that_cannot_be_finished_is_tried_again():
    world = World(segments=["a"])
    assert world.tell(NotFinished("a", "full")) == []
    assert world.wait(10 * S) == [Finish("a")]


def test_stopping_writes_and_finishes_what_there_is():
    world = World()
    world.tell(frames(1))
    (write,) = world.tell(Stopping())
    assert list(world.engine.open_work()) == ["rows", write.parts[0].segment]
    (finish,) = world.written(write)
    assert finish == Finish(write.parts[0].segment)
    world.tell(Finished(finish.segment, 1))
    assert not world.engine.open_work()


def test_a_stop_leaves_segments_that_take_too_long_to_the_next_start():
    world = World(segments=[f"s{n}" for n in range(40)])
    world.tell(frames(1))
    (write,) = world.tell(Stopping())
    assert world.written(write) == []
    assert world.tell(Finished("s0", 1)) == [Finish("s1")]
    world.wait(STOP_NS - 1)
    assert len(world.engine.open_work()) == 40
    world.tell(frames(2))
    assert [type(each) for each in world.wait(1)] == [Write]
    assert world.engine.open_work() == ["rows"], "frames are written whatever is left"
    world.engine.on_message(Written({}), world.now_ns)
    assert not world.engine.open_work()
    assert world.tell(Finished("s1", 1)) == []


def test_a_stop_does_not_wait_for_a_full_disk():
    world = World()
    world.tell(frames(1))
    (write,) = world.wait()
    world.tell(NotWritten("full"))
    world.tell(Stopping())
    assert not world.engine.open_work()
    assert write


@pytest.mark.parametrize("reason", ["data: another process records there"])
def test_a_store_that_another_one_has_is_asked_for_again(reason):
    engine = RecorderEngine(RecorderConfig(enabled=True))
    engine.start({}, T0)
    assert engine.on_message(NotRecovered(reason), T0).messages
    assert engine.unready() == reason and not engine.has_begun
    assert not engine.on_message(NotRecovered(reason), T0).messages
    assert engine.on_timer(T0 + RETRY_NS).actions == [Recover()]
    engine.on_message(Recovered({}, []), T0 + RETRY_NS)
    assert engine.has_begun and engine.unready() == ""
