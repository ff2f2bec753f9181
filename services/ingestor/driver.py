"""Carries out what one connection's feed session decides; no IO of its own.

A session (``shared/venues``) turns frames into effects. This module sends each effect where it
belongs: messages to the outbox, frames and reconnects to the connection, snapshot requests to the
venue's REST client, everything else to counters and statuses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from services.ingestor.refusals import MessageSink, Refusals, alert
from shared.messages.base import BookState
from shared.messages.control import Severity
from shared.messages.market import BookSnapshot, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.observe import Observer
from shared.venues.port import (
    BookStatus,
    Checked,
    Dropped,
    Effect,
    Emit,
    FeedConnection,
    FetchSnapshot,
    Gap,
    Malformed,
    Reconnect,
    Send,
    VenueState,
)

log = logging.getLogger(__name__)

SENDS_MAX = 1_000
"""Frames waiting to be sent; a session that wants more is broken, and its connection is renewed."""

RESYNCS_MAX = 2
"""Resyncs asked for one book within ``RESYNC_WINDOW_NS`` before the connection itself is renewed:
a venue may go on answering requests on a connection whose stream is dead."""
RESYNC_WINDOW_NS = 60_000_000_000


class FeedDriver:
    """One session and the facts known about its books.

    Args:
        connection: The socket's description with its session.
        sink: Where messages go.
        observer: Counters.
        request_snapshot: Hands a snapshot request to the venue's REST client.
        source: Names this ingestor in statuses.
    """

    def __init__(
        self,
        connection: FeedConnection,
        sink: MessageSink,
        observer: Observer,
        request_snapshot: Callable[[FeedDriver, FetchSnapshot], None],
        source: str = "",
    ) -> None:
        self.connection = connection
        self.venue = connection.venue
        self.generation = 0
        """Counts connections opened; what was asked for on an earlier one is not delivered."""
        self.is_open = False
        self.reconnect_reason: str | None = None
        self.wake = asyncio.Event()
        self.refusals = Refusals(connection.venue, sink)
        self.venue_state = ""
        """Why the venue itself takes no orders now."""
        self._told_state = ""
        self._session = connection.session
        self._sink, self._observer, self._source = sink, observer, source
        self._request_snapshot = request_snapshot
        self._sends: list[str] = []
        self._resyncs: dict[str, list[int]] = {}
        self._books: dict[str, tuple[BookState, int, str]] = {}
        """Instrument -> state, epoch, reason, as the session said last of the books it carries."""

    # What happened

    def on_open(self, now_ns: int) -> None:
        """The connection is up."""
        self.generation += 1
        self.is_open = True
        self.reconnect_reason = None
        self._sends.clear()
        self._carry_out(self._session.on_open(now_ns), now_ns)

    def on_frame(self, raw: bytes, now_ns: int) -> None:
        """A data frame arrived at ``now_ns``."""
        effects = self._session.on_frame(raw, now_ns)
        if effects:
            self._carry_out(effects, now_ns)

    def on_timer(self, now_ns: int) -> None:
        """Time passed."""
        self._carry_out(self._session.on_timer(now_ns), now_ns)

    def on_close(self, now_ns: int, reason: str) -> None:
        """The connection is gone, or could not be had; ``reason`` is what is known of it."""
        reason = self.venue_state or reason
        self.venue_state = ""
        if self.is_open:
            self.is_open = False
            self._carry_out(self._session.on_close(now_ns), now_ns)
        for instrument, (_, epoch, _) in list(self._books.items()):
            self._note(instrument, BookState.DOWN, epoch, reason, now_ns)

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> None:
        """A REST snapshot arrived."""
        self._carry_out(self._session.on_snapshot(instrument, body, now_ns), now_ns)

    def on_snapshot_failed(self, instrument: str, retry_after_s: float, now_ns: int) -> None:
        """A REST snapshot could not be had."""
        self._observer.count("snapshots_failed")
        effects = self._session.on_snapshot_failed(instrument, retry_after_s, now_ns)
        self._carry_out(effects, now_ns)

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> None:
        """A reader lost the book of this epoch."""
        book = self._books.get(instrument)
        if not self.is_open or book is None or book[0] is not BookState.LIVE:
            return
        recent = [t for t in self._resyncs.get(instrument, ()) if now_ns - t < RESYNC_WINDOW_NS]
        recent.append(now_ns)
        self._resyncs[instrument] = recent
        self._observer.count("resyncs")
        if len(recent) > RESYNCS_MAX:
            self._resyncs.clear()
            self._ask_reconnect(f"{instrument} was lost {len(recent)} times within a minute")
            return
        self._carry_out(self._session.on_resync(instrument, epoch, now_ns), now_ns)

    def on_refresh(self, instrument: str, epoch: int, now_ns: int) -> None:
        """A reader of this epoch wants a newer snapshot of a book that goes on."""
        if self.is_open and instrument in self._books:
            self._observer.count("refreshes")
            self._carry_out(self._session.on_refresh(instrument, epoch, now_ns), now_ns)

    def on_refused(self, instrument: str, reason: str, now_ns: int) -> None:
        """The venue does not serve this instrument; say so once and go on with the others."""
        self.refusals.refuse(instrument, reason, now_ns)
        self._say_again(instrument, now_ns)

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> None:
        """The venue lists an instrument with these rules."""
        instrument = rules.instrument
        if not self.refusals.on_rules(rules, now_ns):
            self._say_again(instrument, now_ns)
        elif self.is_open and instrument in self._books:
            # Its readers missed what was withheld, so it starts over.
            epoch = self._books[instrument][1]
            self._carry_out(self._session.on_resync(instrument, epoch, now_ns), now_ns)

    def on_missing(self, instrument: str, reason: str, now_ns: int) -> None:
        """The venue does not list an instrument."""
        self.refusals.on_missing(instrument, reason, now_ns)
        self._say_again(instrument, now_ns)

    def _say_again(self, instrument: str, now_ns: int) -> None:
        """Say the book's state with the reason there is now."""
        if instrument in self._books:
            state, epoch, reason = self._books[instrument]
            self._note(instrument, state, epoch, reason, now_ns)

    def on_venue_state(self, reason: str, now_ns: int) -> None:
        """The venue said what state it is in; empty where all is well again."""
        self.venue_state = reason
        if reason == self._told_state:
            return
        self._told_state = reason
        log.warning("venue_state", extra={"venue": self.venue, "reason": reason})
        severity = Severity.WARNING if reason else Severity.INFO
        text = f"{self.venue}: {reason or 'the venue is back'}"
        alert(self._sink, severity, "VENUE_STATE", text, now_ns, self.venue)

    def lose_books(self, now_ns: int) -> None:
        """What was published may be lost: every book starts a new epoch."""
        for instrument, (_, epoch, _) in list(self._books.items()):
            if self.is_open and not self.refusals.why(instrument):
                self._carry_out(self._session.on_resync(instrument, epoch, now_ns), now_ns)

    # What is known

    def statuses(self, now_ns: int) -> list[VenueStatus]:
        """Return the status of each book as it is now."""
        return [
            self._status(instrument, *book, now_ns=now_ns)
            for instrument, book in self._books.items()
        ]

    def unready(self) -> str:
        """Return why this connection does not count as ready; empty if it does."""
        if not self.is_open:
            return f"{self.venue} is not connected"
        for instrument, (state, _, reason) in self._books.items():
            if state is not BookState.LIVE and not self.refusals.why(instrument):
                return f"{self.venue} {instrument} is {state.value}: {reason or 'synchronising'}"
        return ""

    def take_sends(self) -> Sequence[str]:
        """Return the frames to send now, in order."""
        sends, self._sends = self._sends, []
        return sends

    # Effects

    def _carry_out(self, effects: Iterable[Effect], now_ns: int) -> None:
        sink, observer = self._sink, self._observer
        for effect in effects:
            if type(effect) is Emit:
                message = effect.message
                if type(message) is BookSnapshot:
                    observer.count("snapshots")
                    self.refusals.on_snapshot(message, now_ns)
                if not self.refusals.holds_back(message):
                    sink.put(message)
            elif type(effect) is BookStatus:
                if effect.refused:
                    self.on_refused(effect.instrument, effect.reason, now_ns)
                self._note(effect.instrument, effect.state, effect.epoch, effect.reason, now_ns)
            elif type(effect) is VenueState:
                self.on_venue_state(effect.reason, now_ns)
            elif type(effect) is Send:
                self._send(effect.frame)
            elif type(effect) is FetchSnapshot:
                observer.count("snapshots_requested")
                self._request_snapshot(self, effect)
            elif type(effect) is Reconnect:
                self._ask_reconnect(effect.reason)
            else:
                self._count(effect)

    def _count(self, effect: Effect) -> None:
        if type(effect) is Dropped:
            self._observer.count("dropped")
        elif type(effect) is Checked:
            if effect.ok is False:
                self._observer.count("checksums_failed")
            elif effect.ok:
                self._observer.count("checksums_ok")
        elif type(effect) is Gap:
            self._observer.count("gaps")
            log.warning(
                "gap",
                extra={
                    "venue": self.venue,
                    "instrument": effect.instrument,
                    "expected": effect.expected,
                    "got": effect.got,
                },
            )
        elif type(effect) is Malformed:
            self._observer.count("malformed")
            log.warning("malformed", extra={"venue": self.venue, "reason": effect.reason})

    def _send(self, frame: str) -> None:
        if len(self._sends) >= SENDS_MAX:
            self._observer.count("sends_overflowed")
            self._ask_reconnect(f"more than {SENDS_MAX} frames wait to be sent")
            return
        self._sends.append(frame)
        self.wake.set()

    def _ask_reconnect(self, reason: str) -> None:
        self.reconnect_reason = reason
        self.wake.set()

    def _note(
        self, instrument: str, state: BookState, epoch: int, reason: str, now_ns: int
    ) -> None:
        if state is BookState.LIVE:
            self.refusals.on_live(instrument)
            self._told_state = self.venue_state
        if why := self.refusals.why(instrument):
            state, reason = BookState.DOWN, why
        known = (state, epoch, reason)
        if self._books.get(instrument) != known:
            self._books[instrument] = known
            self._sink.put(self._status(instrument, *known, now_ns=now_ns))

    def _status(
        self, instrument: str, state: BookState, epoch: int, reason: str, *, now_ns: int
    ) -> VenueStatus:
        return VenueStatus(
            venue=self.venue,
            instrument=instrument,
            state=state,
            epoch=epoch,
            reason=reason,
            ts_ns=now_ns,
            source=self._source,
            refused=bool(self.refusals.why(instrument)),
        )
