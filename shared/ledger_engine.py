"""An engine around that of a service which keeps the ledger: it opens it and keeps its marks. Pure.

The service's own engine begins when the ledger is known. Then the marks are looked at every second:
what shows that data was lost is reported to the service's engine, and the marks are renewed, or the
word of the loss taken away, by actions of the same step, so only when what follows from them is on
the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from shared.engine import NOTHING, Engine, Result, Step
from shared.ledger import (
    WITNESS_NS,
    ClearMark,
    LedgerOpening,
    LossDetector,
    MarkAction,
    MarksFailed,
    MarksRead,
    Opened,
    ReadMarks,
    WriteMarks,
    lost_mark,
)
from shared.messages.base import Message
from shared.messages.market import DepthView

_OF_MARKS: Final = frozenset((MarksRead, MarksFailed))
LOOK_NS: Final = 1_000_000_000
"""The marks are looked at this often."""


class LedgerKeeping(Engine, Protocol):
    """What the engine of a service that keeps the ledger has beside the common protocol."""

    def take_ledger(self, opened: Opened) -> None:
        """Take the ledger as it was found; before ``start``."""

    def note_loss(self, loss: str, now_ns: int) -> Step:
        """Note that data was lost, after the start."""

    @property
    def is_saved(self) -> bool:
        """Whether all that it has decided was handed out to be saved."""


class LedgerEngine:
    """See the module's first lines. Until ``has_begun`` it must be given no message.

    Args:
        inner: The service's own engine.
        opening: Whose ledger it is.
        ledger_id_of: Tells the ledger of a saved checkpoint.
        command_ns: Given by the one service that renews the ledger's time: when an operator last
            spoke.
        only_keeps: Tells whether nothing follows from a view but that it is the newest of its book.
        on_look: Called with the time they were asked for whenever the marks tell of no loss.
    """

    def __init__(
        self,
        inner: LedgerKeeping,
        opening: LedgerOpening,
        *,
        ledger_id_of: Callable[[Mapping[str, bytes]], str | None],
        command_ns: Callable[[], int] | None = None,
        only_keeps: Callable[[DepthView], bool] = lambda view: False,
        on_look: Callable[[int], None] = lambda now_ns: None,
    ) -> None:
        self.inner = inner
        self.has_begun, self.only_keeps, self._on_look = False, only_keeps, on_look
        self._opening, self._ledger_id_of, self._command_ns = opening, ledger_id_of, command_ns
        self._witness = LossDetector()
        self._saved: Mapping[str, bytes] = {}
        self._ledger_id = ""
        self._heard = ""
        """The loss that was reported to the service's engine and still stands in the marks."""
        self._taken_up = ""
        self._not_renewed_until_ns = 0
        self._is_asked = False
        self._look_ns = self._asked_ns = self._report_until_ns = 0
        self._again: list[MarkAction] = []

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Ask for the marks; the service's engine starts once they are known.

        Raises:
            CodecError: What was saved is not a checkpoint of this service, of any version.
        """
        self._saved = saved
        self._look_ns, self._asked_ns, self._is_asked = now_ns + LOOK_NS, now_ns, True
        return Step(at_once=[*self._opening.begin(self._ledger_id_of(saved))])

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take in the marks, or hand on what is for the service's engine.

        Raises:
            ConfigError: The data on the bus belongs to another mode or account.
        """
        if self.has_begun and type(message) not in _OF_MARKS:
            return self.inner.on_message(message, now_ns, redelivered=redelivered)
        if isinstance(message, MarksRead):
            self._is_asked = False
            if self.has_begun:
                return self._look(message.marks, now_ns)
            return self._open(message.marks, now_ns)
        if isinstance(message, MarksFailed):
            self._on_failed(message.action)
            return NOTHING
        assert isinstance(message, Result), "no message comes before the ledger is known"
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Look at the marks, and let the service's engine do what is due."""
        asked: list[MarkAction] = []
        if self._look_ns <= now_ns:
            self._look_ns = self._after(now_ns)
            asked, self._again = self._again, []
            if not self._is_asked:
                self._asked_ns, self._is_asked = now_ns, True
                asked.append(ReadMarks())
        due_ns = self.inner.next_deadline_ns() if self.has_begun else None
        step = self.inner.on_timer(now_ns) if due_ns is not None and due_ns <= now_ns else NOTHING
        return Step(step.messages, step.actions, [*step.at_once, *asked])

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` must be called next."""
        due_ns = self.inner.next_deadline_ns() if self.has_begun else None
        return self._look_ns if due_ns is None else min(due_ns, self._look_ns)

    def _after(self, now_ns: int) -> int:
        """Return when to look next; also at the end of the wait for those who noticed a loss."""
        next_ns = now_ns + LOOK_NS
        return self._report_until_ns if now_ns < self._report_until_ns < next_ns else next_ns

    def checkpoints(self) -> Mapping[str, bytes]:
        """Return what must be saved; nothing may replace what was saved before it was read."""
        return self.inner.checkpoints() if self.has_begun else {}

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start."""
        return self.inner.counters()

    def gauges(self) -> Mapping[str, float]:
        """Return present values."""
        return self.inner.gauges()

    def _open(self, marks: Mapping[str, str], now_ns: int) -> Step:
        found = self._opening.on_read(marks, now_ns)
        if not isinstance(found, Opened):
            self._is_asked = True
            return Step(at_once=[*found])
        self._ledger_id, self._heard = found.ledger_id, found.loss
        self._not_renewed_until_ns = now_ns + WITNESS_NS if found.may_be_older else 0
        self.inner.take_ledger(found)
        self._report_until_ns = found.report_until_ns(now_ns)
        self.has_begun, self._look_ns = True, now_ns  # its own marks are due now
        saved, self._saved = self._saved, {}
        return self.inner.start(saved, now_ns)

    def _look(self, marks: Mapping[str, str], now_ns: int) -> Step:
        """Hear of a loss, and renew the marks once everything up to now is on the bus.

        Raises:
            ConfigError: The data on the bus belongs to another mode or account by now.
        """
        self._opening.refuse_foreign(marks)
        lost = lost_mark(self._opening.service)
        loss = self._witness.look(marks)
        loss = marks.get(lost, "") or loss
        if not loss and marks.get("id") != self._ledger_id:
            loss = "the marks of the ledger are gone"
        if not loss:
            self._on_look(self._asked_ns)
        is_news, self._heard = bool(loss) and loss != self._heard, loss
        step = self.inner.note_loss(loss, now_ns) if is_news else NOTHING
        if not (step.messages or self.inner.is_saved):
            return step
        actions = [*step.actions]
        if self._command_ns is not None and "mode" not in marks:
            # The bus may be another one since the marks were read: its mode must stay.
            mode = {"mode": self._opening.owner["mode"]}
            actions.append(WriteMarks(mode, only_new=True))
        if fields := self._fields(marks, now_ns):
            actions.append(WriteMarks(fields))
        if lost in marks:
            actions.append(ClearMark(lost))
        return Step(step.messages, actions, step.at_once)

    def _fields(self, marks: Mapping[str, str], now_ns: int) -> dict[str, str]:
        service, ledger_id = self._opening.service, self._ledger_id
        if self._command_ns is None:
            return {} if marks.get(service) == ledger_id else {service: ledger_id}
        fields = {"id": ledger_id, service: ledger_id}
        if not self._taken_up:
            self._taken_up = fields["taken_up_ns"] = marks.get("alive_ns", "0")
        fields["command_ns"] = str(self._command_ns())
        if now_ns >= self._not_renewed_until_ns:  # who starts before that must wait as well
            fields["alive_ns"] = str(now_ns)
        return fields

    def _on_failed(self, action: MarkAction) -> None:
        """Ask again at the next look; what is renewed every second needs no second try."""
        if isinstance(action, ReadMarks):
            self._is_asked = False
        elif isinstance(action, WriteMarks) and action.only_new and self.has_begun:
            self._again.append(action)
