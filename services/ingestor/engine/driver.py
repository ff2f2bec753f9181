"""Carries out what one connection's feed session decides. Pure.

A session (``shared/venues``) turns frames into effects. This module sends each effect where it
belongs: messages to the bus, frames and reconnects to the connection, snapshot requests to the
venue's queue of them, everything else to counters and statuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from services.ingestor.engine.extra import ExtraFeed
from services.ingestor.engine.refusals import Refusals
from services.ingestor.engine.requests import LogLevel
from services.ingestor.engine.step_builder import StepBuilder
from shared.messages.base import BookState, FeedName, Message
from shared.messages.control import Severity
from shared.messages.market import BookDelta, BookSnapshot, Trade, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.venues.port import (
    BookStatus,
    Checked,
    Dropped,
    Effect,
    Emit,
    FeedConnection,
    FeedKind,
    FeedRefused,
    FetchFacts,
    FetchSnapshot,
    Gap,
    Malformed,
    Reconnect,
    Send,
    VenueState,
)

SENDS_MAX = 1_000
"""Frames to send on one input; a session that wants more is broken: its connection is renewed."""

RESYNCS_MAX = 2
"""Resyncs asked for one book within ``RESYNC_WINDOW_NS`` before the connection itself is renewed:
a venue may go on answering requests on a connection whose stream is dead."""
RESYNC_WINDOW_NS = 60_000_000_000


def _as_of(message: Message, feed: FeedName) -> Message:
    """Return the message as one of this feed."""
    if type(message) is BookDelta or type(message) is BookSnapshot:
        return msgspec.structs.replace(message, feed=feed)
    return message


class FeedDriver:
    """One session and the facts known about its books.

    Args:
        connection: The socket's description with its session.
        out: Takes what is decided.
        request_snapshot: Hands a snapshot request to the venue's queue: driver, request, now.
        source: Names this ingestor in statuses.
        refusals: Shared by all connections of the venue.
        feed: Which of two ingestors of the venue this is.
    """

    def __init__(
        self,
        connection: FeedConnection,
        out: StepBuilder,
        request_snapshot: Callable[[FeedDriver, FetchSnapshot | FetchFacts, int], None],
        source: str = "",
        refusals: Refusals | None = None,
        *,
        feed: FeedName = FeedName.ONLY,
    ) -> None:
        self.connection = connection
        self.venue = connection.venue
        self.carries_books = connection.kind is FeedKind.DEPTH
        self.is_open = False
        self.reconnect_reason: str | None = None
        """Why the connection must be renewed now."""
        self.sends: list[str] = []
        """What must be sent now, in order."""
        self.refusals = refusals or Refusals(connection.venue, out)
        self.venue_state = ""
        """Why the venue itself takes no orders now."""
        self._told_state = ""
        self._session = connection.session
        self._out, self._source, self._feed = out, source, feed
        self._request_snapshot = request_snapshot
        self.extra = ExtraFeed(connection, out)
        self._resyncs: dict[str, list[int]] = {}
        self.books: dict[str, tuple[BookState, int, str]] = {}
        """Instrument -> state, epoch, reason, as the session said last of the books it carries."""

    # What happened

    def on_open(self, now_ns: int) -> None:
        """The connection is up."""
        self.is_open = True
        self.extra.on_open()
        self.reconnect_reason = None
        self.sends = []
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
            self.extra.miss_trades(reason, now_ns, ongoing=True)
        for instrument, (_, epoch, _) in list(self.books.items()):
            self._note(instrument, BookState.DOWN, epoch, reason, now_ns)

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> None:
        """A REST snapshot arrived."""
        self._carry_out(self._session.on_snapshot(instrument, body, now_ns), now_ns)

    def on_snapshot_failed(self, instrument: str, retry_after_s: float, now_ns: int) -> None:
        """A REST snapshot could not be had."""
        self._out.count("snapshots_failed")
        effects = self._session.on_snapshot_failed(instrument, retry_after_s, now_ns)
        self._carry_out(effects, now_ns)

    def on_facts(self, topic: str, body: bytes | None, retry_after_s: float, now_ns: int) -> None:
        """What was asked for beside books arrived, or could not be had (``None``)."""
        if body is None:
            self._session.on_facts_failed(topic, retry_after_s, now_ns)
        else:
            self._carry_out(self._session.on_facts(topic, body, now_ns), now_ns)

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> None:
        """Start a new epoch: a reader lost the book of this one."""
        book = self.books.get(instrument)
        if not self.is_open or book is None or not book[0].is_followed:
            return
        recent = [t for t in self._resyncs.get(instrument, ()) if now_ns - t < RESYNC_WINDOW_NS]
        recent.append(now_ns)
        self._resyncs[instrument] = recent
        self._out.count("resyncs")
        if len(recent) > RESYNCS_MAX:
            self._resyncs.clear()
            self.reconnect_reason = f"{instrument} was lost {len(recent)} times within a minute"
            return
        self._carry_out(self._session.on_resync(instrument, epoch, now_ns), now_ns)

    def on_refresh(self, instrument: str, epoch: int, now_ns: int) -> None:
        """A reader of this epoch wants a newer snapshot of a book that goes on."""
        if self.is_open and instrument in self.books:
            self._out.count("refreshes")
            self._carry_out(self._session.on_refresh(instrument, epoch, now_ns), now_ns)

    def on_refused(self, instrument: str, reason: str, now_ns: int) -> None:
        """The venue does not serve this instrument: publish that once and go on with the others."""
        self.refusals.refuse(instrument, reason, now_ns)
        self._repeat_status(instrument, now_ns)

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> None:
        """The venue lists an instrument with these rules."""
        instrument = rules.instrument
        if not self.refusals.on_rules(rules, now_ns):
            self._repeat_status(instrument, now_ns)
        elif self.is_open and instrument in self.books:
            # Its readers missed what was withheld, so it starts over.
            epoch = self.books[instrument][1]
            self._carry_out(self._session.on_resync(instrument, epoch, now_ns), now_ns)

    def on_missing(self, instrument: str, reason: str, now_ns: int) -> None:
        """The venue does not list an instrument."""
        self.refusals.on_missing(instrument, reason, now_ns)
        self._repeat_status(instrument, now_ns)

    def _repeat_status(self, instrument: str, now_ns: int) -> None:
        """Publish the book's state with its present reason."""
        if instrument in self.books:
            state, epoch, reason = self.books[instrument]
            self._note(instrument, state, epoch, reason, now_ns)

    def on_venue_state(self, reason: str, now_ns: int) -> None:
        """The venue reported its state; empty where all is well again."""
        if not self.carries_books:
            return  # a connection of books says the same, and only those are orders priced by
        self.venue_state = reason
        if reason == self._told_state:
            return
        self._told_state = reason
        self._out.log(LogLevel.WARNING, "venue_state", venue=self.venue, reason=reason)
        severity = Severity.WARNING if reason else Severity.INFO
        text = f"{self.venue}: {reason or 'the venue is back'}"
        self._out.alert(severity, "VENUE_STATE", text, self.venue, now_ns)

    def lose_books(self, now_ns: int) -> None:
        """Start a new epoch of every book: what was published may be lost."""
        self.extra.miss_trades("the bus was lost", now_ns, ongoing=not self.is_open)
        for instrument, (_, epoch, _) in list(self.books.items()):
            if self.is_open and not self.refusals.why(instrument):
                self._carry_out(self._session.on_resync(instrument, epoch, now_ns), now_ns)

    def statuses(self, now_ns: int) -> list[VenueStatus]:
        """Return the status of each book as it is now."""
        return [self._status(name, *book, now_ns=now_ns) for name, book in self.books.items()]

    def unready(self) -> str:
        """Return why this connection does not count as ready; empty if it does."""
        if not self.is_open:
            return f"{self.venue} is not connected"
        for instrument, (state, _, reason) in self.books.items():
            if not state.is_followed and not self.refusals.why(instrument):
                return f"{self.venue} {instrument} is {state.value}: {reason or 'synchronising'}"
        return ""

    # Effects

    def _carry_out(self, effects: Iterable[Effect], now_ns: int) -> None:
        out = self._out
        for effect in effects:
            if type(effect) is Emit:
                message = effect.message
                if type(message) is BookSnapshot:
                    out.count("snapshots")
                    self.refusals.on_snapshot(message, now_ns)
                if not self.refusals.withheld or not self.refusals.holds_back(message):
                    if type(message) is Trade:
                        self.extra.publish(message, now_ns)
                    else:
                        out.messages.append(_as_of(message, self._feed) if self._feed else message)
            elif type(effect) is BookStatus:
                if effect.refused:
                    self.on_refused(effect.instrument, effect.reason, now_ns)
                self._note(effect.instrument, effect.state, effect.epoch, effect.reason, now_ns)
            elif type(effect) is VenueState:
                self.on_venue_state(effect.reason, now_ns)
            elif type(effect) is Send:
                self._send(effect.frame)
            elif type(effect) is FetchSnapshot:
                out.count("snapshots_requested")
                self._request_snapshot(self, effect, now_ns)
            elif type(effect) is FetchFacts:
                self._request_snapshot(self, effect, now_ns)
            elif type(effect) is Reconnect:
                self.reconnect_reason = effect.reason
            else:
                self._count(effect)

    def _count(self, effect: Effect) -> None:
        if type(effect) is Dropped:
            self._out.count("dropped")
        elif type(effect) is Checked:
            if effect.ok is not None:
                self._out.count("checksums_ok" if effect.ok else "checksums_failed")
        elif type(effect) is Gap:
            self._out.count("gaps")
            self._out.log(
                LogLevel.WARNING,
                "gap",
                venue=self.venue,
                instrument=effect.instrument,
                expected=effect.expected,
                got=effect.got,
            )
        elif type(effect) is Malformed:
            self._out.count("malformed")
            self._out.log(LogLevel.WARNING, "malformed", venue=self.venue, reason=effect.reason)
        elif type(effect) is FeedRefused:
            self.extra.on_refused(effect)

    def _send(self, frame: str) -> None:
        if len(self.sends) >= SENDS_MAX:
            self._out.count("sends_overflowed")
            self.reconnect_reason = f"more than {SENDS_MAX} frames wait to be sent"
            return
        self.sends.append(frame)

    def _note(
        self, instrument: str, state: BookState, epoch: int, reason: str, now_ns: int
    ) -> None:
        if state.is_followed:
            self.refusals.on_live(instrument)
            self._told_state = self.venue_state
        if why := self.refusals.why(instrument):
            state, reason = BookState.DOWN, why
        known = (state, epoch, reason)
        if self.books.get(instrument) != known:
            self.books[instrument] = known
            self._out.messages.append(self._status(instrument, *known, now_ns=now_ns))

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
            feed=self._feed,
        )
