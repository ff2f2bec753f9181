"""Collects what the parts of the engine decide on one input. Pure."""

from __future__ import annotations

from services.ingestor.engine.requests import LogEntry, LogLevel
from shared.engine import NOTHING, Action, Step
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.messages.market import VenueStatus

COUNTERS = (
    "gaps",
    "resyncs",
    "refreshes",
    "malformed",
    "dropped",
    "checksums_ok",
    "checksums_failed",
    "reconnects",
    "snapshots",
    "snapshots_requested",
    "snapshots_failed",
    "sends_overflowed",
    "rest_requests",
    "rest_limited",
    "metadata_failures",
    "outbox_dropped",
    "bus_losses",
    "answers_late",
    "trades_dropped",
    "extras_refused",
    "audits_asked",
    "audits_unanswered",
)
"""Shown from the start, so that zero differs from not counted."""


class StepBuilder:
    """The next step, and the counters.

    None of the actions needs a record on the bus before it, so all are carried out at once: the
    venues' connections live on while the bus is away.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.actions: list[Action] = []
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.bus_lost = False
        """Only statuses are published: a reader must not continue a book across the loss."""

    def do(self, action: Action) -> None:
        """Ask the outside for something."""
        self.actions.append(action)

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter."""
        self.counters[name] += n

    def log(self, level: LogLevel, event: str, **fields: str | int | float) -> None:
        """Write a line to the log."""
        self.actions.append(LogEntry(level, event, fields))

    def alert(self, severity: Severity, code: str, text: str, subject: str, now_ns: int) -> None:
        """Tell the operator; ``subject`` is the venue, or ``venue|instrument``."""
        self.messages.append(
            Alert(
                service="ingestor",
                severity=severity,
                code=code,
                text=text,
                ts_ns=now_ns,
                subject=subject,
            )
        )

    def take(self) -> Step:
        """Return the step, and start the next one."""
        messages, actions = self.messages, self.actions
        if self.bus_lost and messages:
            kept: list[Message] = [m for m in messages if type(m) is VenueStatus]
            self.counters["outbox_dropped"] += len(messages) - len(kept)
            self.messages, messages = [], kept
        if messages:
            self.messages = []
        elif not actions:
            return NOTHING
        if not actions:
            return Step(messages)
        self.actions = []
        return Step(messages, [], actions)
