"""Captures read as one stream: lines attributed to venue and instrument, merged by time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import log
from pathlib import Path
from statistics import median

from shared.capture.files import DamagedError, read_lines
from shared.capture.items import CaptureItem, Kind, Parsed, parse_line
from shared.capture.times import LineError
from shared.errors import ConfigError
from shared.venues.port import FrameRole, Hint, Recordings
from shared.venues.registry import EVERY, load_recordings

PROBE_LINES = 3_000
"""Lines of each file that are read ahead to learn venue, instruments and spellings."""
NOT_A_CAPTURE_LINES = 20
"""A file whose first lines are all unreadable is not a capture."""
FAR = 1.0
FAR_TIMES = 10.0
"""A book is not of a venue whose ids are this far, where another's are this many times nearer."""
HINTS_MAX = 65
"""Quotes per instrument that are remembered to find the instrument of a nameless REST book."""

URLS_MAX = 1_000
"""URLs that are known to be no news."""


@dataclass(slots=True)
class CaptureSummary:
    """What a capture holds; ``instruments`` maps venue -> instruments in order of appearance."""

    instruments: dict[str, list[str]] = field(default_factory=dict)
    unknown_urls: list[str] = field(default_factory=list)
    items: int = 0
    ts_first_ns: int = 0
    ts_last_ns: int = 0


@dataclass(slots=True)
class _File:
    """What is known of one file while it is read."""

    path: str
    recordings: Recordings | None = None
    venue: str | None = None
    url: str = ""
    connection: int = 0
    ts_ns: int = 0
    is_iso: bool = False
    """The last time was ISO 8601, as Tardis writes it: there an empty line is a disconnection."""
    is_cut: bool = False
    """The connection ended before the next frame."""
    venues: set[str] = field(default_factory=set)
    """Whose frames that name an instrument were seen in it."""


@dataclass(slots=True)
class _Knowledge:
    """What is known of the whole capture."""

    recordings: list[Recordings]
    read: Callable[[Path], Iterator[bytes]] = read_lines
    chosen: tuple[Recordings, str] | None = None
    hints: dict[tuple[str, str], list[Hint]] = field(default_factory=dict)
    lessons: int = 0
    """How often something was learned that may change what a nameless line is found to be of."""
    urls: set[str] = field(default_factory=set)
    reader_of: dict[str, Recordings] = field(default_factory=dict)


def known_venues() -> list[str]:
    """Return every venue whose recordings can be read."""
    return [venue for adapter in EVERY for venue in load_recordings(adapter).venues]


class Capture:
    """Files read as one; iterate it for the items.

    The order of ``paths`` does not matter and a file given twice is read once, by whatever names.
    Lines of one file stay in their order even where their times do not.

    Args:
        paths: Files of one or of several captures.
        venue: Whose all of it is; ``None``: found by URLs, else by the marks of the frames.
        read: Yields the lines of a path, for recordings that are not kept as files of lines.

    Raises:
        ConfigError: No such file, not a capture, or a venue that is not known.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        venue: str | None = None,
        read: Callable[[Path], Iterator[bytes]] = read_lines,
    ) -> None:
        readers = [load_recordings(adapter) for adapter in EVERY]
        self._known = known = _Knowledge(readers, read)
        known.reader_of = {venue: reader for reader in readers for venue in reader.venues}
        if venue is not None:
            known.chosen = _choose(known.recordings, venue)
        by_file = {Path(path).resolve(): str(path) for path in reversed(paths)}
        self._files = [_probe(path, known) for path in sorted(by_file.values())]

    def __iter__(self) -> Iterator[CaptureItem]:
        """Yield the lines of all files in the order they were received."""
        streams = [_keyed(replace(file), self._known) for file in self._files]
        return (item for _, item in heapq.merge(*streams, key=lambda keyed: keyed[0]))

    @property
    def paths(self) -> list[str]:
        """The files, in the order in which lines of one moment follow each other."""
        return [file.path for file in self._files]

    def recordings(self, venue: str) -> Recordings:
        """Return what reads the frames of an item's venue, with the spellings learned so far."""
        return self._known.reader_of[venue]

    @property
    def lessons(self) -> int:
        """How often something was learned that may change what a nameless line is found to be of.

        As long as it stays the same, another reading yields the same items.
        """
        return self._known.lessons


def read_capture(paths: Sequence[str | Path], venue: str | None = None) -> Iterator[CaptureItem]:
    """Yield the items of ``Capture(paths, venue)``."""
    return iter(Capture(paths, venue))


def survey(paths: Sequence[str | Path], venue: str | None = None) -> CaptureSummary:
    """Read a capture once and return what it holds.

    Raises:
        ConfigError: As ``read_capture``.
    """
    summary = CaptureSummary()
    for item in read_capture(paths, venue):
        summary.items += 1
        summary.ts_first_ns = summary.ts_first_ns or item.ts_recv_ns
        summary.ts_last_ns = max(summary.ts_last_ns, item.ts_recv_ns)
        if item.venue is not None:
            instruments = summary.instruments.setdefault(item.venue, [])
            if item.instrument is not None and item.instrument not in instruments:
                instruments.append(item.instrument)
        elif item.url and item.url not in summary.unknown_urls:
            summary.unknown_urls.append(item.url)
    return summary


def _choose(recordings: list[Recordings], venue: str) -> tuple[Recordings, str]:
    for reader in recordings:
        if venue in reader.venues:
            return reader, venue
    raise ConfigError(f"no venue {venue!r}; there are: {', '.join(known_venues())}")


def _probe(path: str, known: _Knowledge) -> _File:
    """Read ahead to see whether it is a capture, whose and of what; return the file to read."""
    if Path(path).is_dir():
        raise ConfigError(f"{path} is a directory; give the files in it")
    file = _File(path)
    good = faults = first_ns = 0
    reason = ""
    for item in islice(_items(file, known), PROBE_LINES):
        if item.kind is Kind.FAULT:
            faults += 1
            reason = reason or f"line {item.line}: {item.reason}"
        else:
            good += 1
            first_ns = first_ns or item.ts_recv_ns
        if not good and faults >= NOT_A_CAPTURE_LINES:
            break
    if not good:
        raise ConfigError(
            f"{path} is not a capture: {reason or 'it is empty'}; "
            "expected lines of '<time> <frame>' or '<url> <arrow> <time>: <payload>'"
        )
    # The first lines may have had to guess: they start from what the whole probe told.
    return _File(path, file.recordings, file.venue, ts_ns=first_ns, venues=file.venues)


def _remember(
    payload: bytes, reader: Recordings, owner: tuple[str, str], known: _Knowledge
) -> None:
    """Keep what identifies an instrument's REST book, also of one that comes late in the file."""
    hints = known.hints.get(owner)
    if hints is None:
        hints = known.hints[owner] = []
        known.lessons += 1
    if len(hints) < HINTS_MAX:
        hint = reader.hint_of_frame(payload)
        if hint is not None:
            hints.append(hint)
            known.lessons += 1


def _keyed(file: _File, known: _Knowledge) -> Iterator[tuple[int, CaptureItem]]:
    """Pair each item with a time that never falls within its file, so that merging keeps order."""
    key = 0
    for item in _items(file, known):
        key = max(key, item.ts_recv_ns)
        yield key, item


def _items(file: _File, known: _Knowledge) -> Iterator[CaptureItem]:
    number = 0
    try:
        for number, line in enumerate(known.read(Path(file.path)), 1):
            try:
                parsed = parse_line(line)
            except LineError as error:
                yield _fault(file, number, str(error))
                continue
            if parsed is None:
                file.is_cut = file.is_cut or (file.is_iso and not line.strip())
                continue
            if file.is_cut:
                yield _reconnected(parsed, number, file)
            yield _attribute(parsed, number, file, known)
    except DamagedError as error:
        yield _fault(file, number + 1, str(error))


def _fault(file: _File, line: int, reason: str) -> CaptureItem:
    return CaptureItem(
        kind=Kind.FAULT,
        path=file.path,
        line=line,
        ts_recv_ns=file.ts_ns,
        connection=file.connection,
        venue=file.venue,
        reason=reason,
    )


def _reconnected(parsed: Parsed, number: int, file: _File) -> CaptureItem:
    """Yield the opening of the next frame's connection where only an end is recorded."""
    file.is_cut, file.connection = False, number
    return CaptureItem(
        kind=Kind.OPENED,
        path=file.path,
        line=number,
        ts_recv_ns=file.ts_ns if parsed.ts_recv_ns is None else parsed.ts_recv_ns,
        url=file.url,
        connection=number,
        venue=file.venue,
    )


def _time_of(parsed: Parsed, file: _File) -> int:
    """Return when a line was received: as recorded, else the venue's time, else as before."""
    file.is_iso = parsed.is_iso
    if parsed.ts_recv_ns is not None:
        file.ts_ns = parsed.ts_recv_ns
    elif file.recordings is not None:
        file.ts_ns = max(file.ts_ns, file.recordings.time_of_frame(parsed.payload) or 0)
    return file.ts_ns


def _attribute(parsed: Parsed, number: int, file: _File, known: _Knowledge) -> CaptureItem:
    kind, payload = parsed.kind, parsed.payload
    if kind is Kind.FRAME:
        if known.chosen is not None:
            file.recordings, file.venue = known.chosen
        elif not file.url:
            _look(payload, file, known)
    else:
        _take_url(parsed, number, file, known)
    reader, venue = file.recordings, file.venue
    instrument = None
    ts_recv_ns = _time_of(parsed, file)
    if reader is not None and venue is not None:
        if kind is Kind.FRAME and reader.role_of_frame(payload) is FrameRole.REST_BOOK:
            kind = Kind.REST
        if kind is Kind.REST:
            instrument = _instrument_of_answer(parsed, reader, venue, known)
            payload = payload if parsed.url else reader.body_of_frame(payload)
        else:
            instrument = reader.instrument_of_frame(payload)
            if instrument is not None and kind is Kind.FRAME:
                if venue not in file.venues:
                    file.venues.add(venue)
                    known.lessons += 1
                _remember(payload, reader, (venue, instrument), known)
    return CaptureItem(
        kind=kind,
        path=file.path,
        line=number,
        ts_recv_ns=ts_recv_ns,
        payload=payload,
        url=parsed.url or file.url,
        connection=file.connection,
        venue=venue,
        instrument=instrument,
        recorded=parsed.payload,
    )


def _look(payload: bytes, file: _File, known: _Knowledge) -> None:
    """Find the venue by a frame's marks; a frame without marks is of the venue before it."""
    reader = file.recordings
    venue = None if reader is None else reader.venue_of_frame(payload)
    if reader is None or venue is None:
        for other in known.recordings:
            if other is not file.recordings:
                venue = other.venue_of_frame(payload)
                if venue is not None:
                    reader = other
                    break
    if reader is None or venue is None:
        return
    if reader.role_of_frame(payload) is FrameRole.REST_BOOK:
        venue = _venue_of_book(venue, reader.hint_of_frame(payload), file, known)
    if venue != file.venue:
        file.recordings, file.venue = known.reader_of[venue], venue


def _venue_of_book(venue: str, hint: Hint | None, file: _File, known: _Knowledge) -> str:
    """Return the venue of a REST book: its marks are few, futures once answered without ``E``.

    It is the marked venue's if that has frames in this file, unless ids and prices clearly show
    that it is another one's of this file.
    """
    told = {owner for (owner, _), hints in known.hints.items() if hints}
    family = sorted(name for name in file.venues & told if name != venue)
    if not family:
        return venue
    if venue not in file.venues and len(family) == 1:
        return family[0]
    if hint is None:
        return venue
    far = {name: _distance_to_venue(hint, name, known) for name in (venue, *family)}
    nearest = min(family, key=far.__getitem__)
    is_clear = far[venue] > FAR and far[nearest] < far[venue] / FAR_TIMES
    return nearest if is_clear or venue not in file.venues else venue


def _distance_to_venue(hint: Hint, venue: str, known: _Knowledge) -> float:
    hints = [hints for (owner, _), hints in known.hints.items() if owner == venue]
    return min((_distance(hint, of_one) for of_one in hints), default=float("inf"))


def _take_url(parsed: Parsed, number: int, file: _File, known: _Knowledge) -> None:
    if parsed.kind is Kind.OPENED:
        file.url, file.connection = parsed.url, number
    if known.chosen is not None:
        file.recordings, file.venue = known.chosen
    else:
        file.recordings, file.venue = None, None
        for reader in known.recordings:
            venue = reader.venue_of_url(parsed.url)
            if venue is not None:
                file.recordings, file.venue = reader, venue
                break
    if parsed.url not in known.urls:
        known.lessons += 1
        if len(known.urls) < URLS_MAX:
            known.urls.add(parsed.url)
    if parsed.kind is Kind.REST and file.recordings is not None:
        known.lessons += file.recordings.learn(parsed.url, parsed.payload)


def _instrument_of_answer(
    parsed: Parsed, reader: Recordings, venue: str, known: _Knowledge
) -> str | None:
    """Return the instrument of a REST book: by URL, its fields, or the nearest ids and prices."""
    if parsed.url:
        return reader.instrument_of_url(parsed.url)
    named = reader.instrument_of_frame(parsed.payload)
    if named is not None:
        return named
    candidates = {name: hints for (owner, name), hints in known.hints.items() if owner == venue}
    if len(candidates) <= 1:
        return next(iter(candidates), None)
    hint = reader.hint_of_frame(parsed.payload)
    if hint is None:
        return None
    return min(candidates, key=lambda name: (_distance(hint, candidates[name]), name))


def _distance(hint: Hint, hints: list[Hint]) -> float:
    """Return how unlike a book and an instrument are: relative, in update ids and in price.

    Spot numbers each instrument apart, so ids decide; futures share one counter, so prices decide.
    """
    if not hints:
        return float("inf")
    price = median(entry.price for entry in hints)
    number = median(entry.update_id for entry in hints)
    return abs(log(hint.price / price)) + abs(hint.update_id - number) / max(number, 1)
