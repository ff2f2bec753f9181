"""Instruments that a venue does not serve, and why: named once, the others go on.

A *refused* book is one that the venue does not send; that is forgotten if it comes after all. A
*withheld* book comes but must not be used, because it is not of the instrument it is named after;
neither are its trades and funding, which come on other connections. Pure.
"""

from __future__ import annotations

from services.ingestor.engine.proof import ListingProof
from services.ingestor.engine.requests import LogLevel
from services.ingestor.engine.step_builder import StepBuilder
from shared.messages.base import Message
from shared.messages.control import Severity
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    FundingSettled,
    Mark,
    Trade,
    TradesMissed,
)
from shared.messages.rules import InstrumentRules

HELD_BACK = (BookSnapshot, BookDelta, Trade, TradesMissed, Funding, FundingSettled, Mark)


class Refusals:
    """The refused and withheld instruments of one venue."""

    def __init__(self, venue: str, out: StepBuilder) -> None:
        self._venue, self._out = venue, out
        self._refused: dict[str, str] = {}
        self.withheld: dict[str, str] = {}
        self._proof = ListingProof()

    def why(self, instrument: str) -> str:
        """Return why it is not served; empty if it is."""
        return self.withheld.get(instrument) or self._refused.get(instrument, "")

    def holds_back(self, message: Message) -> bool:
        """Tell whether a message must not be published."""
        return isinstance(message, HELD_BACK) and message.instrument in self.withheld

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
        """A whole book came: withhold it if it is not the book of this instrument."""
        self._proof.on_snapshot(snapshot)
        self._judge(snapshot.instrument, now_ns)

    def _judge(self, instrument: str, now_ns: int) -> bool:
        problem = self._proof.problem(instrument)
        if not problem:
            return self.withheld.pop(instrument, None) is not None
        self._name(instrument, problem, now_ns)
        self.withheld[instrument] = problem
        return False

    def _name(self, instrument: str, reason: str, now_ns: int) -> None:
        if self.why(instrument):
            return
        self._out.log(
            LogLevel.ERROR,
            "instrument_refused",
            venue=self._venue,
            instrument=instrument,
            reason=reason,
        )
        text = f"{self._venue} {instrument}: {reason}"
        subject = f"{self._venue}|{instrument}"
        self._out.alert(Severity.CRITICAL, "INSTRUMENT_REFUSED", text, subject, now_ns)
