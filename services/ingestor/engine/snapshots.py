"""REST order books, and other facts, of one venue, asked for within its rate budget. Pure.

Addresses of connections come first, then books, then facts, then what books are compared with.
Requests wait for their turn in three ways: the time the session set (backoff), the venue's answer
(``Retry-After`` of a 429 or 418 stops every request), and a bucket that refills with the share of
the venue's weight per minute that snapshots may use. At most ``CONCURRENT_MAX`` are in flight, so
that a hundred books lost at once neither storm the venue nor starve the feed of CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from services.ingestor.engine.connection import NEVER_NS, OK, Connection
from services.ingestor.engine.requests import FetchSnapshot, LogLevel, SnapshotAnswered
from services.ingestor.engine.step_builder import StepBuilder
from shared.ratelimit import TokenBucket
from shared.retry_after import RETRY_AFTER_S, retry_after_s
from shared.venues import port

CONCURRENT_MAX = 4
BURST_S = 10.0
"""The bucket holds this many seconds of the budget: what may be asked at once after quiet."""
BAD_REQUEST = 400
NOT_FOUND = 404
DEFINITE = (BAD_REQUEST, NOT_FOUND)
"""The venue does not know this instrument; asking again will not help."""
ERROR_BYTES_MAX = 200


Fetch = port.FetchAddress | port.FetchSnapshot | port.FetchFacts | port.FetchAudit
_RANK = {port.FetchAddress: 0, port.FetchSnapshot: 1, port.FetchFacts: 2, port.FetchAudit: 3}


class AuditBooks(Protocol):
    """Who asks for books to compare with."""

    def on_sent(self, connection: Connection, instrument: str, now_ns: int) -> None:
        """The request leaves now."""

    def on_answer(self, instrument: str, body: bytes | None, now_ns: int) -> None:
        """Its answer came, or none (``None``)."""


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """What is asked for; ``opened`` is the connection it was asked on."""

    connection: Connection
    opened: int
    fetch: Fetch
    number: int

    @property
    def is_current(self) -> bool:
        """Tell whether the connection is still the one that asked."""
        if self.connection.id != self.opened:
            return False
        return self.connection.driver.is_open or type(self.fetch) is port.FetchAddress

    @property
    def rank(self) -> tuple[int, int, int]:
        """Its place in the queue."""
        return _RANK[type(self.fetch)], self.fetch.not_before_ns, self.number

    @property
    def key(self) -> Key:
        """What a newer request takes the place of."""
        return self.connection, self.fetch.instrument, type(self.fetch)


Key = tuple[Connection, str, type]


class SnapshotQueue:
    """The requests of one venue.

    Args:
        base_url: The venue's REST base, without a slash at its end.
        budget: Its rate budget.
        out: Takes what is decided.
        ids: Names of requests, shared by all of the engine.

    Whoever compares books sets ``audits``.
    """

    audits: AuditBooks | None = None

    def __init__(
        self, base_url: str, budget: port.RestBudget, out: StepBuilder, ids: Iterator[int]
    ) -> None:
        self._base_url, self._out, self._ids = base_url, out, ids
        per_s = budget.weight_per_minute * budget.snapshot_share / 60
        self._bucket = TokenBucket(per_s, per_s * BURST_S, 0.0, 0)
        self._waiting: dict[Key, SnapshotRequest] = {}
        """One per book or fact: bounded by the instruments configured."""
        self._in_flight: dict[int, SnapshotRequest] = {}
        self._newest: dict[Key, int] = {}
        """What was asked for -> its newest request; answers to older ones are not delivered."""
        self._blocked_until_ns = 0
        self.due_ns = NEVER_NS
        """When ``advance`` must be called."""

    def request(self, connection: Connection, fetch: Fetch, now_ns: int) -> None:
        """Ask in its turn; a newer request for the same replaces the one before."""
        if not connection.driver.is_open and type(fetch) is not port.FetchAddress:
            return
        pending = SnapshotRequest(connection, connection.id, fetch, next(self._ids))
        self._waiting.pop(pending.key, None)
        self._waiting[pending.key] = pending
        self._newest[pending.key] = pending.number
        self.advance(now_ns)

    def awaits(self, request: int) -> bool:
        """Tell whether a request of this number is in flight."""
        return request in self._in_flight

    def on_answer(self, answer: SnapshotAnswered, now_ns: int) -> None:
        """Hand the answer to a request in flight to the session, if it still waits for it."""
        pending = self._in_flight.pop(answer.request)
        pause_s = retry_after_s(answer.status, answer.retry_after)
        if answer.status in RETRY_AFTER_S:
            self._out.count("rest_limited")
            self._blocked_until_ns = max(self._blocked_until_ns, now_ns + int(pause_s * 1e9))
        if answer.status != OK:
            self._note_failure(pending, answer, pause_s)
        if pending.is_current and self._newest.get(pending.key) == pending.number:
            self._deliver(pending, answer, pause_s, now_ns)
        else:
            self._out.count("answers_late")
        self.advance(now_ns)

    def advance(self, now_ns: int) -> None:
        """Ask for what may be asked for now, in the order of the sessions' times."""
        while (pending := self._next()) is not None:
            due_ns = max(pending.fetch.not_before_ns, self._blocked_until_ns)
            if due_ns > now_ns:
                self.due_ns = due_ns
                return
            if len(self._in_flight) >= CONCURRENT_MAX:
                break
            wait_s = self._bucket.wait_s(pending.fetch.weight, now_ns)
            if wait_s > 0:
                # Rounded up: a moment too early would find the bucket short once more.
                self.due_ns = now_ns + ceil(wait_s * 1e9) + 1
                return
            del self._waiting[pending.key]
            self._in_flight[pending.number] = pending
            is_audit = type(pending.fetch) is port.FetchAudit
            if is_audit and self.audits is not None:
                self.audits.on_sent(pending.connection, pending.fetch.instrument, now_ns)
            self._out.count("rest_requests")
            self._out.do(
                FetchSnapshot(
                    pending.number,
                    self._base_url + pending.fetch.path,
                    pending.connection.driver.venue,
                    pending.opened,
                    pending.fetch.instrument,
                    is_audit,
                    "POST" if type(pending.fetch) is port.FetchAddress else "GET",
                )
            )
        self.due_ns = NEVER_NS  # an answer or a request goes on from here

    def _next(self) -> SnapshotRequest | None:
        """Return what is to be asked for next; forget requests of connections that are gone."""
        waiting = self._waiting
        for key in [key for key, pending in waiting.items() if not pending.is_current]:
            del waiting[key]
        if not waiting:
            return None
        return min(waiting.values(), key=lambda w: w.rank)

    def _deliver(
        self, pending: SnapshotRequest, answer: SnapshotAnswered, pause_s: float, now_ns: int
    ) -> None:
        driver, instrument = pending.connection.driver, pending.fetch.instrument
        body = answer.body if answer.status == OK else None
        if type(pending.fetch) is port.FetchAddress:
            pending.connection.on_address(answer, now_ns)
        elif type(pending.fetch) is port.FetchAudit:
            if self.audits is not None:
                self.audits.on_answer(instrument, body, now_ns)
        elif type(pending.fetch) is port.FetchFacts:
            driver.on_facts(pending.fetch.topic, body, pause_s, now_ns)
        elif answer.status == OK:
            driver.on_snapshot(instrument, answer.body, now_ns)
        elif answer.status in DEFINITE:
            text = answer.body[:ERROR_BYTES_MAX].decode("utf-8", "replace")
            driver.on_refused(instrument, f"the venue answered {answer.status}: {text}", now_ns)
        else:
            driver.on_snapshot_failed(instrument, pause_s, now_ns)
        pending.connection.flush(now_ns)

    def _note_failure(
        self, pending: SnapshotRequest, answer: SnapshotAnswered, pause_s: float
    ) -> None:
        why: dict[str, str | float] = {"error": answer.error}
        if answer.status:
            why = {"status": answer.status, "retry_after_s": pause_s}
        venue, path = pending.connection.driver.venue, pending.fetch.path
        self._out.log(LogLevel.WARNING, "snapshot_failed", venue=venue, path=path, **why)
