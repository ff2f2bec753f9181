"""The trading rules of the configured instruments: read and repeated now and then. Pure.

A failure never touches the feed: it is named, counted and tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from services.ingestor.engine.connection import NEVER_NS
from services.ingestor.engine.requests import (
    ListingAnswered,
    ListingJob,
    LogLevel,
    ReadListings,
)
from services.ingestor.engine.step_builder import StepBuilder
from shared.delays import GrowingDelay, Uniform
from shared.messages.control import Severity
from shared.messages.market import InstrumentInfo
from shared.messages.rules import InstrumentRules

BACKOFF_S = 2.0
BACKOFF_S_MAX = 60.0
REREAD_NS = 300_000_000_000
"""Rules change rarely (ticks, minimums), but an instrument may be halted at any time."""
REREAD_ODD_NS = 20_000_000_000
"""Where the list lacks an instrument that it had: perhaps it was cut short."""
REPEAT_NS = 3_000_000_000

OnListing = Callable[[str, Sequence[InstrumentRules], Mapping[str, str], int], None]


class Listings:
    """Rules of all venues; one that fails is tried again on its own.

    Args:
        jobs: What to read, per venue.
        taker_fees_bps: Venue -> the configured fee, which overrides what the venue reports.
        on_listing: Told what a venue lists: venue, rules, instrument -> why it has none, now.
        out: Takes what is decided.
        uniform: Jitter.
    """

    def __init__(
        self,
        jobs: Sequence[ListingJob],
        *,
        taker_fees_bps: Mapping[str, Decimal],
        on_listing: OnListing,
        out: StepBuilder,
        uniform: Uniform,
    ) -> None:
        self._jobs, self._taker_fees_bps = jobs, taker_fees_bps
        self._on_listing, self._out = on_listing, out
        self._backoffs = {
            job.venue: GrowingDelay(BACKOFF_S, BACKOFF_S_MAX, uniform) for job in jobs
        }
        self._read_ns = dict.fromkeys(self._backoffs, 0)
        """Venue -> when it is read next."""
        self._reading: dict[str, None] = {}
        """Venues that have not answered yet: the next reading starts after the last of them."""
        self._repeat_ns = 0
        self._rules: dict[str, list[InstrumentRules]] = {}
        self._failing: dict[str, None] = {}
        self._reported: dict[tuple[str, str], str] = {}

    @property
    def due_ns(self) -> int:
        """When ``on_timer`` must be called."""
        read_ns = NEVER_NS if self._reading else min(self._read_ns.values(), default=NEVER_NS)
        return min(read_ns, self._repeat_ns)

    def on_timer(self, now_ns: int) -> None:
        """Read what is due, and repeat the rules known."""
        if now_ns >= self._repeat_ns:
            self._repeat_ns = now_ns + REPEAT_NS
            for venue in self._rules:
                self._publish(venue, now_ns)
        if not self._reading:
            jobs = [job for job in self._jobs if now_ns >= self._read_ns[job.venue]]
            if jobs:
                self._reading = {job.venue: None for job in jobs}
                self._out.do(ReadListings(jobs))

    def on_answer(self, answer: ListingAnswered, now_ns: int) -> None:
        """Take what a venue lists, and say when it is read again."""
        venue = answer.venue
        if venue not in self._reading:
            self._out.count("answers_late")
            return
        del self._reading[venue]
        if answer.error:
            self._note_failure(answer, now_ns)
            self._read_ns[venue] = now_ns + int(self._backoffs[venue].next_s() * 1e9)
        else:
            known = {rules.instrument for rules in self._rules.get(venue, ())}
            self._take(answer, now_ns)
            self._backoffs[venue].reset()
            is_odd = not known.isdisjoint(answer.missing)
            self._read_ns[venue] = now_ns + (REREAD_ODD_NS if is_odd else REREAD_NS)

    def _publish(self, venue: str, now_ns: int) -> None:
        for rules in self._rules[venue]:
            self._out.messages.append(InstrumentInfo(rules=rules, ts_ns=now_ns))

    def _take(self, answer: ListingAnswered, now_ns: int) -> None:
        fee_bps = self._taker_fees_bps.get(answer.venue)
        self._failing.pop(answer.venue, None)
        self._rules[answer.venue] = [
            rules if fee_bps is None else msgspec.structs.replace(rules, taker_fee_bps=fee_bps)
            for rules in answer.rules
        ]
        # First what forbids a book, then the rules that would let it be traded.
        self._on_listing(answer.venue, answer.rules, answer.missing, now_ns)
        self._publish(answer.venue, now_ns)
        for rules in answer.rules:
            self._report_if_not_traded(rules, now_ns)

    def _report_if_not_traded(self, rules: InstrumentRules, now_ns: int) -> None:
        """Alert once for each reason why an instrument is not traded."""
        market, reason = (rules.venue, rules.instrument), rules.reason
        if self._reported.get(market, "") == reason:
            return
        self._reported[market] = reason
        if not reason:
            return
        text = f"{rules.venue} {rules.instrument} is not traded: {reason}"
        self._out.log(LogLevel.WARNING, "instrument_not_traded", venue=rules.venue, reason=text)
        subject = f"{rules.venue}|{rules.instrument}"
        self._out.alert(Severity.WARNING, "INSTRUMENT_NOT_TRADED", text, subject, now_ns)

    def _note_failure(self, answer: ListingAnswered, now_ns: int) -> None:
        self._out.count("metadata_failures")
        self._out.log(LogLevel.WARNING, "metadata_failed", venue=answer.venue, error=answer.error)
        if answer.venue in self._failing:
            return
        self._failing[answer.venue] = None
        since = "; the known rules stay" if answer.venue in self._rules else ": nothing is traded"
        text = f"{answer.venue}: its list of instruments cannot be read{since}: {answer.error}"
        self._out.alert(Severity.WARNING, "LISTING_UNREAD", text, answer.venue, now_ns)
