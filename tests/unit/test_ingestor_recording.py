"""What an ingestor hears and says is handed over whole, in order and numbered."""

from __future__ import annotations

from services.ingestor.engine import IngestorEngine
from services.ingestor.engine.recording import HOLD_NS, RecordedEngine
from services.ingestor.engine.requests import (
    ConnectionClosed,
    ConnectionOpened,
    FetchSnapshot,
    FrameReceived,
    OpenConnection,
    SendFrames,
    SnapshotAnswered,
)
from services.ingestor.engine.settings import venue_settings
from shared.config_sections import VenueConfig
from shared.engine import BusBack, BusLost, Stopping
from shared.messages.raw import FRAME_BYTES_MAX, RawFrames, RawKind
from tests.unit.test_verify import delta, snapshot

S = 1_000_000_000
T0 = 1_700_000_000 * S
VENUES = {"binance": VenueConfig(instruments=["BTC/USDT"])}


def engine(*, recorded: bool = True):
    inner = IngestorEngine(venue_settings(VENUES), source="s", uniform=lambda a, b: (a + b) / 2)
    return RecordedEngine(inner, "i#1") if recorded else inner


class Run:
    """Feeds an engine and keeps what it said and asked for."""

    def __init__(self, engine) -> None:
        self.engine, self.now_ns = engine, T0
        self.messages: list = []
        self.actions: list = []
        self.note(engine.start({}, T0))

    def note(self, step) -> None:
        self.messages += step.messages
        self.actions += [*step.at_once, *step.actions]

    def tell(self, result) -> None:
        self.note(self.engine.on_message(result, self.now_ns))

    def wait(self, ns: int) -> None:
        self.now_ns += ns
        if (due_ns := self.engine.next_deadline_ns()) is not None and due_ns <= self.now_ns:
            self.note(self.engine.on_timer(self.now_ns))

    def asked(self, kind):
        return next(action for action in self.actions if type(action) is kind)

    def raw(self):
        return [message for message in self.messages if type(message) is RawFrames]

    def items(self):
        return [
            (message.origins[item.origin], item) for message in self.raw() for item in message.items
        ]


def conversation(run: Run) -> None:
    connection = run.asked(OpenConnection).connection
    run.tell(ConnectionOpened(connection))
    for n in (1, 2):
        run.tell(FrameReceived(connection, delta(n).encode(), run.now_ns + n))
    run.wait(S)
    wanted = run.asked(FetchSnapshot)
    run.tell(SnapshotAnswered(wanted.request, 200, snapshot(25).encode()))
    run.tell(FrameReceived(connection, delta(3).encode(), run.now_ns))
    run.wait(HOLD_NS)


def test_a_conversation_is_written_down():
    run = Run(engine())
    conversation(run)
    kinds = [item.kind for _, item in run.items()]
    assert kinds[0] is RawKind.OPENED
    assert kinds.count(RawKind.FRAME) == 3 and kinds.count(RawKind.REST) == 1
    sent = [item.frame for _, item in run.items() if item.kind is RawKind.SENT]
    assert sent == [
        frame.encode() for each in run.actions if type(each) is SendFrames for frame in each.frames
    ]
    rest = next(origin for origin, item in run.items() if item.kind is RawKind.REST)
    assert rest.url == run.asked(FetchSnapshot).url and rest.connection == "binance.http"
    assert run.items()[0][0].url == run.asked(OpenConnection).url
    seqs = [message.seq for message in run.raw()]
    assert seqs[0] == 1
    assert all(b == a + len(m.items) for m, a, b in zip(run.raw(), seqs, seqs[1:], strict=False))


def test_the_engine_decides_the_same_with_and_without():
    runs = [Run(engine(recorded=each)) for each in (True, False)]
    for run in runs:
        conversation(run)
    with_it, without = runs
    assert [m for m in with_it.messages if type(m) is not RawFrames] == without.messages
    assert with_it.actions == without.actions


def test_what_cannot_be_handed_over_leaves_a_hole_in_the_numbers():
    run = Run(engine())
    connection = run.asked(OpenConnection).connection
    run.tell(ConnectionOpened(connection))
    run.wait(HOLD_NS)
    before = sum(len(message.items) for message in run.raw())
    run.tell(FrameReceived(connection, b"1", run.now_ns))
    run.tell(FrameReceived(connection, b"x" * (FRAME_BYTES_MAX + 1), run.now_ns))
    run.tell(FrameReceived(connection, b"2", run.now_ns))
    run.wait(HOLD_NS)
    assert [m.seq for m in run.raw()][-2:] == [before + 1, before + 3]
    run.tell(BusLost("away"))
    run.tell(FrameReceived(connection, b"3", run.now_ns))
    run.wait(HOLD_NS)
    run.tell(BusBack())
    run.tell(FrameReceived(connection, b"4", run.now_ns))
    run.wait(S)
    assert run.raw()[-1].seq > before + 4
    assert run.engine.counters()["raw_dropped"] >= 2


def test_many_frames_do_not_wait_and_the_last_leave_with_the_stop():
    run = Run(engine())
    connection = run.asked(OpenConnection).connection
    run.tell(ConnectionOpened(connection))
    for n in range(3):
        run.tell(FrameReceived(connection, b"x" * 200_000, run.now_ns + n))
    assert run.raw()
    run.tell(FrameReceived(connection, b"last", run.now_ns))
    run.tell(Stopping())
    assert run.items()[-1][1].frame == b"last"


def test_a_connection_that_ended_is_forgotten():
    run = Run(engine())
    connection = run.asked(OpenConnection).connection
    run.tell(ConnectionOpened(connection))
    run.tell(ConnectionClosed(connection, "gone"))
    run.wait(HOLD_NS)
    count = len(run.items())
    run.tell(FrameReceived(connection, b"late", run.now_ns))
    run.wait(HOLD_NS)
    assert len(run.items()) == count
