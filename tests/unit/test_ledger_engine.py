"""The engine that keeps the ledger around another: what is asked, in which order, and crashes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shared.engine import NOTHING, Result, Step, Stopping
from shared.errors import ConfigError
from shared.ledger import (
    LAST_SECONDS_NS,
    WITNESS_NS,
    LedgerOpening,
    MarkAction,
    MarksFailed,
    MarksRead,
    Opened,
    ReadMarks,
    WriteMarks,
)
from shared.ledger_engine import LOOK_NS, LedgerEngine
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from tests.unit.test_ledger import carry_out

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def alert(text: str) -> Alert:
    return Alert(ts_ns=T0, service="risk", severity=Severity.CRITICAL, code="DATA_LOST", text=text)


class Inner:
    """Saves the losses it has heard of."""

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.losses: list[str] = []
        self.ids: list[str] = []
        self.is_saved = False
        self.seen: list[Message | Result] = []

    def take_ledger(self, opened: Opened) -> None:
        self.opened = opened

    def note_loss(self, loss: str, now_ns: int) -> Step:
        if loss in self.losses:
            return NOTHING
        self.losses.append(loss)
        return Step(messages=[alert(loss)])

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        assert self.opened is not None
        self.losses = [loss for loss in saved.get("losses", b"").decode().split("|") if loss]
        started: list[Message] = [alert("started")]
        lost = self.note_loss(self.opened.loss, now_ns) if self.opened.loss else NOTHING
        return Step(messages=started + lost.messages)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        self.seen.append(message)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        return NOTHING

    def next_deadline_ns(self) -> int | None:
        return None

    def checkpoints(self) -> dict[str, bytes]:
        assert self.opened is not None
        self.is_saved = True
        return {"id": self.opened.ledger_id.encode(), "losses": "|".join(self.losses).encode()}

    def counters(self) -> dict[str, int]:
        return {}

    def gauges(self) -> dict[str, float]:
        return {}


class Died(Exception):
    """The process ends here."""


class Rig:
    """One service on marks and checkpoints that survive it; dies at an effect of a given number.

    ``looks`` has the times at which marks were asked for that told of no loss.
    """

    def __init__(self) -> None:
        self.looks: list[int] = []
        self.marks: dict[str, str] = {}
        self.saved: dict[str, bytes] = {}
        self.now_ns = T0
        self.dies_at = 0
        self.is_away = False
        self.effects: list[str] = []

    def begin(self) -> None:
        self.inner = Inner()

        def known(saved: Mapping[str, bytes]) -> str | None:
            return saved["id"].decode() if saved else None

        opening = LedgerOpening("risk", {"mode": "paper"}, "risk-1")
        self.engine = LedgerEngine(
            self.inner,
            opening,
            ledger_id_of=known,
            command_ns=lambda: 7,
            on_look=self.looks.append,
        )
        self.finish(self.engine.start(self.saved, self.now_ns))

    def run(self, looks: int = 2) -> None:
        self.begin()
        for _ in range(looks):
            self.look()

    def look(self) -> None:
        deadline_ns = self.engine.next_deadline_ns()
        assert deadline_ns is not None
        self.now_ns = max(self.now_ns, deadline_ns)
        step = self.engine.on_timer(self.now_ns)
        assert (self.engine.next_deadline_ns() or 0) > self.now_ns
        self.finish(step)

    def finish(self, step: Step) -> None:
        """Give it its effects as a host does, one after the other."""
        for action in step.at_once:
            self.act(action)
        if step.messages:
            self.effect("commit")
            self.saved |= self.engine.checkpoints()
        for action in step.actions:
            self.act(action)

    def act(self, action: object) -> None:
        assert isinstance(action, MarkAction)
        self.effect(type(action).__name__)
        if self.is_away:
            self.finish(self.engine.on_message(MarksFailed(action, "away"), self.now_ns))
            return
        read = carry_out([action], self.marks)
        if read is not None:
            self.finish(self.engine.on_message(MarksRead(read), self.now_ns))

    def effect(self, name: str) -> None:
        self.effects.append(name)
        if len(self.effects) == self.dies_at:
            raise Died


def test_the_ledger_is_on_the_bus_before_the_service_says_anything() -> None:
    rig = Rig()
    rig.run()
    start = ["ReadMarks", "WriteMarks", "ReadMarks", "commit"]
    assert rig.effects == [*start, "ReadMarks", "WriteMarks", "ReadMarks", "WriteMarks"]
    assert rig.marks["risk"] == rig.marks["id"] == rig.saved["id"].decode()
    assert (rig.marks["mode"], rig.marks["command_ns"]) == ("paper", "7")
    assert rig.marks["alive_ns"] == str(rig.now_ns)
    assert rig.marks["taken_up_ns"] == "0"


def test_messages_wait_until_the_ledger_is_known() -> None:
    rig = Rig()
    rig.is_away = True
    rig.begin()
    assert not rig.engine.has_begun
    assert rig.engine.on_message(Stopping(), T0) is NOTHING
    assert rig.engine.checkpoints() == {}, "an empty state must not replace what was saved"
    with pytest.raises(AssertionError):
        rig.engine.on_message(alert("early"), T0)
    rig.is_away = False
    rig.look()
    assert rig.engine.has_begun
    rig.engine.on_message(alert("now"), T0)
    assert rig.inner.seen == [alert("now")]


def test_a_word_of_a_loss_is_taken_away_after_the_halt_is_on_record() -> None:
    rig = Rig()
    rig.run()
    rig.marks["lost:risk"] = "Redis lost its data"
    rig.effects.clear()
    rig.look()
    assert rig.effects == ["ReadMarks", "commit", "WriteMarks", "ClearMark"]
    assert "lost:risk" not in rig.marks
    assert rig.saved["losses"] == b"Redis lost its data"


def losses(kind: str, rig: Rig) -> None:
    """Lose something that another process or the next start can notice."""
    if kind == "told":
        rig.marks["lost:risk"] = "Redis lost its data"
    elif kind == "checkpoint":
        rig.saved.clear()
    elif kind == "marks":
        rig.marks.clear()
    else:
        rig.marks = {"id": "another", "mode": "paper", "ts_ns": "1"}


@pytest.mark.parametrize("kind", ["told", "checkpoint", "marks", "another ledger"])
@pytest.mark.parametrize("dies_at", range(1, 12))
def test_a_loss_is_on_record_wherever_the_process_dies(kind: str, dies_at: int) -> None:
    rig = Rig()
    rig.run()
    losses(kind, rig)
    rig.effects, rig.dies_at = [], dies_at
    try:
        rig.run()
    except Died:
        rig.dies_at = 0
        rig.run()
    assert rig.saved["losses"], "the loss is on record"
    assert "lost:risk" not in rig.marks, "and nobody is told twice"
    assert rig.marks["risk"] == rig.marks["id"] == rig.saved["id"].decode()


@pytest.mark.parametrize("dies_at", range(1, 8))
def test_a_crash_alone_is_no_loss(dies_at: int) -> None:
    rig = Rig()
    rig.dies_at = dies_at
    try:
        rig.run()
    except Died:
        rig.dies_at = 0
        rig.run()
    rig.run()
    assert rig.saved["losses"] == b""
    assert "lost:risk" not in rig.marks


def test_a_bus_that_is_away_is_asked_again_a_second_later() -> None:
    rig = Rig()
    rig.run()
    alive = rig.marks["alive_ns"]
    rig.is_away = True
    rig.look()
    rig.look()
    assert rig.marks["alive_ns"] == alive
    rig.is_away = False
    rig.look()
    assert int(rig.marks["alive_ns"]) == int(alive) + 3 * LOOK_NS


def test_a_time_that_nobody_renewed_is_left_for_who_starts_next() -> None:
    rig = Rig()
    rig.run()
    alive = rig.marks["alive_ns"]
    rig.now_ns += 2 * LAST_SECONDS_NS
    for _ in range(2):
        rig.run()
        assert rig.marks["alive_ns"] == alive, "it may be an older copy, also at the next start"
    rig.now_ns += WITNESS_NS
    rig.look()
    assert rig.marks["alive_ns"] == str(rig.now_ns)


def test_the_marks_are_looked_at_when_the_last_word_of_a_loss_may_have_come() -> None:
    rig = Rig()
    rig.begin()
    ends_ns = rig.now_ns + WITNESS_NS
    rig.now_ns += LOOK_NS // 3
    while rig.now_ns < ends_ns:
        rig.look()
    rig.look()
    assert rig.looks[-2:] == [ends_ns, ends_ns + LOOK_NS]


def test_a_look_counts_from_when_it_was_asked_for() -> None:
    """A word that came between the two is not in the answer."""
    rig = Rig()
    rig.run()
    rig.now_ns += LOOK_NS
    step = rig.engine.on_timer(rig.now_ns)
    assert step.at_once == [ReadMarks()]
    rig.engine.on_message(MarksRead(dict(rig.marks)), rig.now_ns + SECOND)
    assert rig.looks[-1] == rig.now_ns


def test_a_word_that_could_not_be_written_is_written_later() -> None:
    rig = Rig()
    rig.run()
    word = WriteMarks({"lost:risk": "found at a venue"}, only_new=True)
    rig.engine.on_message(MarksFailed(word, "away"), rig.now_ns)
    rig.effects.clear()
    rig.now_ns += SECOND
    step = rig.engine.on_timer(rig.now_ns)
    assert step.at_once == [word, ReadMarks()]


def test_data_of_another_mode_is_refused_and_left_as_it_is() -> None:
    rig = Rig()
    rig.marks = {"id": "one", "mode": "live"}
    with pytest.raises(ConfigError, match='holds the ledger of mode "live"'):
        rig.begin()
    assert rig.effects == ["ReadMarks"]
    assert not rig.saved


def test_data_of_another_mode_is_refused_by_a_process_that_lives() -> None:
    rig = Rig()
    rig.run()
    rig.marks = {"id": "one", "mode": "live"}
    rig.effects.clear()
    with pytest.raises(ConfigError, match='holds the ledger of mode "live"'):
        rig.look()
    assert rig.effects == ["ReadMarks"]
    assert rig.marks == {"id": "one", "mode": "live"}


@pytest.mark.parametrize("was_there", [True, False])
def test_a_bus_exchanged_after_the_marks_were_read_keeps_its_mode(was_there: bool) -> None:
    rig = Rig()
    rig.run()
    read = dict(rig.marks) if was_there else {}
    step = rig.engine.on_message(MarksRead(read), rig.now_ns)
    rig.marks = {"id": "one", "mode": "live"}
    carry_out([each for each in step.actions if isinstance(each, MarkAction)], rig.marks)
    assert rig.marks["mode"] == "live"
    with pytest.raises(ConfigError, match='holds the ledger of mode "live"'):
        rig.begin()


def test_a_bus_that_was_emptied_has_the_mode_again() -> None:
    rig = Rig()
    rig.run()
    rig.marks.clear()
    rig.look()
    assert rig.marks["mode"] == "paper"
