"""Instruments that a connection does not serve, and why: named once, the others go on.

*Refused* is what the venue did not give; it is forgotten when the book comes after all. *Withheld*
is a book that comes but must not be used, because it is not what its name says.
"""

from __future__ import annotations

import logging
from typing import Protocol

from services.ingestor.proof import ListingProof
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.messages.market import BookDelta, BookSnapshot
from shared.messages.rules import InstrumentRules

log = logging.getLogger(__name__)


class MessageSink(Protocol):
    """Where messages go: the outbox."""

    def put(self, message: Message) -> None:
        """Queue one message."""


def alert(  # noqa: PLR0917 - what an alert is made of
    sink: MessageSink, severity: Severity, code: str, text: str, now_ns: int, subject: str
) -> None:
    """Tell the operator."""
    sink.put(
        Alert(
            service="ingestor",
            severity=severity,
            code=code,
            text=text,
            ts_ns=now_ns,
            subject=subject,
        )
    )


class Refusals:
    """The refused and withheld instruments of one connection."""

    def __init__(self, venue: str, sink: MessageSink) -> None:
        self._venue, self._sink = venue, sink
        self._refused: dict[str, str] = {}
        self._withheld: dict[str, str] = {}
        self._proof = ListingProof()

    def why(self, instrument: str) -> str:
        """Return why it is not served; empty if it is."""
        return self._withheld.get(instrument) or self._refused.get(instrument, "")

    def holds_back(self, message: Message) -> bool:
        """Tell whether a message must not be published."""
        return (
            bool(self._withheld)
            and isinstance(message, (BookSnapshot, BookDelta))
            and message.instrument in self._withheld
        )

    def refuse(self, instrument: str, reason: str, now_ns: int) -> None:
        """The venue does not serve it."""
        self._name(instrument, reason, now_ns)
        self._refused[instrument] = reason

    def on_live(self, instrument: str) -> None:
        """Its book came."""
        self._refused.pop(instrument, None)

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> bool:
        """The venue lists it; return whether it may be used again."""
        self._proof.on_rules(rules)
        return self._judge(rules.instrument, now_ns)

    def on_missing(self, instrument: str, reason: str, now_ns: int) -> None:
        """The venue does not list it."""
        self._proof.on_missing(instrument, reason)
        self._judge(instrument, now_ns)

    def on_snapshot(self, snapshot: BookSnapshot, now_ns: int) -> None:
        """A whole book came: is it the one that its name says?"""
        self._proof.on_snapshot(snapshot)
        self._judge(snapshot.instrument, now_ns)

    def _judge(self, instrument: str, now_ns: int) -> bool:
        problem = self._proof.problem(instrument)
        if not problem:
            return self._withheld.pop(instrument, None) is not None
        self._name(instrument, problem, now_ns)
        self._withheld[instrument] = problem
        return False

    def _name(self, instrument: str, reason: str, now_ns: int) -> None:
        if self.why(instrument):
            return
        extra = {"venue": self._venue, "instrument": instrument, "reason": reason}
        log.error("instrument_refused", extra=extra)
        text = f"{self._venue} {instrument}: {reason}"
        subject = f"{self._venue}|{instrument}"
        alert(self._sink, Severity.CRITICAL, "INSTRUMENT_REFUSED", text, now_ns, subject)
