"""A recording as the ingestor's outside: its connections, its REST books, its lists. Pure.

Every book has a connection of its own, over which its frames come at the times at which they were
recorded. A REST book that is asked for is the newest recorded one that was not given yet, or the
next; what the recording lacks is not made up, so a book with a gap keeps it until the recording
brings another snapshot. A connection lives as long as the recording: what the recorder's own
connections did shows in the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import msgspec

from services.ingestor.engine.requests import (
    ConnectionOpened,
    FetchSnapshot,
    FrameReceived,
    ListingAnswered,
    ListingJob,
    OpenConnection,
    ReadListings,
    SnapshotAnswered,
)
from services.ingestor.engine.settings import VenueSettings
from services.lab.kernel import Kernel
from services.lab.unlisted import UnlistedFeed
from shared.capture import Capture, CaptureItem, Kind, known_venues
from shared.capture.damage import no_book_text, refuse_damage
from shared.domain.instrument import MarketKey
from shared.engine import Action, Result
from shared.errors import ConfigError
from shared.messages.rules import InstrumentRules
from shared.venues.grid import Grid
from shared.venues.obstacles import WithObstacles
from shared.venues.port import (
    Effect,
    FeedConnection,
    FeedKind,
    FeedSession,
    Recordings,
    RestBudget,
)

LIFETIME_S = 1e9
"""A recorded connection is never renewed."""
HOUR_NS = 3_600_000_000_000
PAUSE_NS_MAX = 6 * HOUR_NS
"""A longer pause is no outage but two recordings, and every second of it is played."""
WEIGHT_PER_MINUTE = 1_000_000_000


FACTS = b"\x00facts "
"""Before a topic and the answer about it, which come unasked: at the times of the recorder's
requests. No venue's frame begins so."""
KEPT_BYTES_MAX = 128 * 1024 * 1024
"""A survey keeps so much of a recording; a longer one is read once more when it is played."""
KEPT_ITEM_BYTES = 240
"""What an item takes beside its payload."""


@dataclass(slots=True)
class Contents:
    """What a recording holds."""

    capture: Capture
    kept: list[CaptureItem] | None = None
    """All of it, where that is not too long and another reading would yield the same."""
    rules: dict[MarketKey, InstrumentRules] = field(default_factory=dict)
    first_ns: int = 0
    last_ns: int = 0
    frames: int = 0

    def items(self) -> Iterator[CaptureItem]:
        """Yield what was recorded."""
        return iter(self.capture if self.kept is None else self.kept)


class _KeptItems:
    """What a survey keeps, so that nothing need be read twice."""

    def __init__(self, capture: Capture) -> None:
        self._capture, self._lessons = capture, capture.lessons
        self._kept: list[CaptureItem] = []
        self._room = KEPT_BYTES_MAX

    def take(self, item: CaptureItem) -> None:
        """Keep an item, or nothing any more where there is no room."""
        if self._room > 0:
            self._room -= KEPT_ITEM_BYTES + len(item.payload) + len(item.recorded)
            self._kept.append(item)
            if self._room <= 0:
                self._kept = []

    def kept(self) -> list[CaptureItem] | None:
        """Return all items, if they are what another reading would yield."""
        is_whole = self._room > 0 and self._capture.lessons == self._lessons
        return self._kept if is_whole else None


def survey(paths: Sequence[Path], *, falls_ns_max: int | None = None) -> Contents:
    """Read a recording once: its books, the grid that shows in them, its span.

    Args:
        paths: Its files.
        falls_ns_max: How much earlier than the line before it a line may have been received.

    Raises:
        ConfigError: No such file, not a recording, a damaged line, a long pause, lines out of
            order, or no book of a known venue.
    """
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: no such file; give recordings as for arb verify")
    return survey_capture(Capture(paths), [str(path) for path in paths], falls_ns_max=falls_ns_max)


def survey_capture(
    capture: Capture, names: Sequence[str], *, falls_ns_max: int | None = None
) -> Contents:
    """Do the same for a capture that is open; ``names`` is what it is called where it has no book.

    Raises:
        ConfigError: As for ``survey``.
    """
    contents = Contents(capture)
    grids: dict[MarketKey, Grid] = {}
    newest_ns: dict[str, int] = {}
    kept_items = _KeptItems(capture)
    for item in capture:
        refuse_damage(item)
        kept_items.take(item)
        if falls_ns_max is not None:
            before_ns = newest_ns.get(item.path, 0)
            if before_ns - item.ts_recv_ns > falls_ns_max:
                raise ConfigError(
                    f"{item.path}:{item.line}: received {(before_ns - item.ts_recv_ns) / 1e9:.1f} "
                    "s before a line above it; sort the file by the time of receipt"
                )
            newest_ns[item.path] = max(before_ns, item.ts_recv_ns)
        if item.kind not in {Kind.FRAME, Kind.REST}:
            continue
        if contents.last_ns and item.ts_recv_ns - contents.last_ns > PAUSE_NS_MAX:
            hours = (item.ts_recv_ns - contents.last_ns) // HOUR_NS
            raise ConfigError(
                f"{item.path}:{item.line}: nothing was recorded for {hours} hours before this; "
                "replay recordings of different times one by one"
            )
        contents.first_ns = contents.first_ns or item.ts_recv_ns
        contents.last_ns = max(contents.last_ns, item.ts_recv_ns)
        contents.frames += item.kind is Kind.FRAME
        if item.venue is not None and item.instrument is not None:
            grid = grids.setdefault((item.venue, item.instrument), Grid())
            grid.add(capture.recordings(item.venue).levels_of_frame(item.payload))
    if not grids:
        raise ConfigError(no_book_text(list(names), known_venues()))
    for (venue, instrument), grid in grids.items():
        reader = capture.recordings(venue)
        rules = grid.rules(
            venue,
            instrument,
            taker_fee_bps=reader.taker_fee_bps,
            notional_min=reader.notional_min,
        )
        if isinstance(reader, WithObstacles) and (reason := reader.obstacle(instrument)):
            rules = msgspec.structs.replace(rules, active=False, reason=reason)
        contents.rules[venue, instrument] = rules
    contents.kept = kept_items.kept()
    return contents


class RecordedSession:
    """A venue's session that sends nothing and gives nothing up: a recording does not answer."""

    def __init__(self, session: FeedSession) -> None:
        self._session = session
        self.on_open = session.on_open
        self.on_snapshot = session.on_snapshot
        self.on_snapshot_failed = session.on_snapshot_failed
        self.on_resync = session.on_resync
        self.on_refresh = session.on_refresh
        self.on_facts = session.on_facts
        self.on_facts_failed = session.on_facts_failed
        self.on_close = session.on_close

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Take a frame, or facts."""
        if raw.startswith(FACTS):
            topic, _, body = raw.removeprefix(FACTS).partition(b"\n")
            return self._session.on_facts(topic.decode(), body, now_ns)
        return self._session.on_frame(raw, now_ns)

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Silence is as recorded."""
        return ()


class RecordedFeed(UnlistedFeed):
    """A venue's feed, one connection a book."""

    ws_url, rest_url, ccxt_id = "ws://recording", "http://recording", ""
    rest_budget = RestBudget(weight_per_minute=WEIGHT_PER_MINUTE, snapshot_share=1.0)
    lifetime_s = LIFETIME_S
    extras: Sequence[FeedKind] = ()

    def __init__(self, venue: str, recordings: Recordings) -> None:
        self.venue, self._recordings = venue, recordings

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return a connection for every book; its path is the instrument."""
        return [
            FeedConnection(
                venue,
                f"/{instrument}",
                (instrument,),
                RecordedSession(self._recordings.session(venue, instrument)),
                instrument,
            )
            for instrument in instruments
        ]


def venue_settings(contents: Contents) -> list[VenueSettings]:
    """Return what an ingestor of this recording serves."""
    by_venue: dict[str, list[str]] = {}
    for venue, instrument in sorted(contents.rules):
        by_venue.setdefault(venue, []).append(instrument)
    return [
        VenueSettings(
            name=venue,
            feed=RecordedFeed(venue, contents.capture.recordings(venue)),
            rest_url=RecordedFeed.rest_url,
            ws_url=RecordedFeed.ws_url,
            instruments=tuple(names),
            listing=ListingJob(venue, venue, "", names),
        )
        for venue, names in by_venue.items()
    ]


class RecordedVenues:
    """Carries out what an ingestor asks for, from a recording.

    Args:
        kernel: Virtual time, which is the recording's.
        contents: What ``survey`` found.
    """

    def __init__(self, kernel: Kernel, contents: Contents) -> None:
        self._kernel, self._rules, self._capture = kernel, contents.rules, contents.capture
        self._items: Iterator[CaptureItem] = contents.items()
        self._connections: dict[MarketKey, tuple[int, Callable[[Result], None]]] = {}
        self._asked: dict[MarketKey, tuple[int, Callable[[Result], None]]] = {}
        self._answers: dict[MarketKey, bytes] = {}
        self.is_over = False
        self.faults = 0
        """Lines that could not be read."""

    def play(self) -> None:
        """Let everything recorded happen at its time."""
        self._next()

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Open a connection, answer with a book or a list; frames that are sent get no answer."""
        if isinstance(action, OpenConnection):
            instrument = action.url.removeprefix(f"{RecordedFeed.ws_url}/")
            self._connections[action.venue, instrument] = action.connection, deliver
            opened = ConnectionOpened(action.connection)
            self._kernel.after(0, lambda: deliver(opened))
        elif isinstance(action, FetchSnapshot):
            self._asked[action.venue, action.instrument] = action.request, deliver
            self._answer((action.venue, action.instrument))
        elif isinstance(action, ReadListings):
            for job in action.jobs:
                rules = [r for (venue, _), r in self._rules.items() if venue == job.venue]
                answer = ListingAnswered(job.venue, rules)
                self._kernel.after(0, _delivery(deliver, answer))

    def _next(self) -> None:
        item = next(self._items, None)
        if item is None:
            self.is_over = True
        else:
            self._kernel.at(item.ts_recv_ns, lambda: self._play(item))

    def _play(self, item: CaptureItem) -> None:
        self._next()
        self.faults += item.kind is Kind.FAULT
        if item.venue is None:
            return
        if item.instrument is None:
            self._play_facts(item, item.venue)
            return
        key = item.venue, item.instrument
        if item.kind is Kind.REST:
            self._answers[key] = item.payload
            self._answer(key)
        elif item.kind is Kind.FRAME and key in self._connections:
            connection, deliver = self._connections[key]
            deliver(FrameReceived(connection, item.payload, self._kernel.now_ns()))

    def _play_facts(self, item: CaptureItem, venue: str) -> None:
        """Give an answer beside books to every connection of the venue: each knows its own."""
        if item.kind is not Kind.REST:
            return
        topic = self._capture.recordings(venue).facts_of_url(item.url)
        if topic is None:
            return
        told = FACTS + topic.encode() + b"\n" + item.payload
        for (owner, _), (connection, deliver) in list(self._connections.items()):
            if owner == venue:
                deliver(FrameReceived(connection, told, self._kernel.now_ns()))

    def _answer(self, key: MarketKey) -> None:
        """Answer a waiting request with a recorded book; each is given once."""
        if key in self._asked and key in self._answers:
            request, deliver = self._asked.pop(key)
            body = self._answers.pop(key)
            answer = SnapshotAnswered(request, HTTPStatus.OK, body)
            self._kernel.after(0, lambda: deliver(answer))


def _delivery(deliver: Callable[[Result], None], result: Result) -> Callable[[], None]:
    return lambda: deliver(result)
