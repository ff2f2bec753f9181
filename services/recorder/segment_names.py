"""Which segment a row belongs to: one at a time per venue and hour. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from urllib.parse import quote

from services.recorder.requests import Part
from shared.store.rows import HOUR_NS, SEGMENT_SUFFIX, UNKNOWN_VENUE, Missing, RawRow, partition_of

LATE_NS = 10_000_000_000
"""How long after its hour a segment is kept open for rows that are late."""
VENUES_MAX = 10_000
"""Connections whose venue is remembered."""


class Segments:
    """The segments that are open.

    Args:
        bytes_max: A segment of this size is finished, and another one begun.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._by_hour: dict[tuple[str, int], str] = {}
        self._full: list[str] = []
        self._venues: dict[tuple[str, str], str] = {}

    @property
    def open(self) -> list[str]:
        """Names of the segments that may get rows, or wait to be finished."""
        return [*self._by_hour.values(), *self._full]

    @property
    def has_full(self) -> bool:
        """Whether one has grown to its size."""
        return bool(self._full)

    @property
    def due_ns(self) -> int | None:
        """When the next one's hour is over."""
        return min((_over_ns(hour) for _, hour in self._by_hour), default=None)

    def note_venue(self, recording: str, connection: str, venue: str) -> None:
        """Remember whose connection it is."""
        self._venues[recording, connection] = venue
        if len(self._venues) > VENUES_MAX:
            del self._venues[next(iter(self._venues))]

    def divide(self, rows: Sequence[RawRow], missing: Sequence[Missing], now_ns: int) -> list[Part]:
        """Return the rows by segment; what is missing goes with the first of its recording."""
        by_segment: dict[str, list[RawRow]] = {}
        of_recording: dict[str, str] = {}
        for row in rows:
            venue = self._venues.get((row.recording, row.connection), UNKNOWN_VENUE)
            hour = row.ts_recv_ns // HOUR_NS
            name = self._by_hour.get((venue, hour))
            if name is None:
                name = self._by_hour[venue, hour] = _name(venue, row.ts_recv_ns, now_ns)
            of_recording.setdefault(row.recording, name)
            by_segment.setdefault(name, []).append(row)
        told: dict[str, list[Missing]] = {}
        for each in missing:
            told.setdefault(of_recording[each.recording], []).append(each)
        return [Part(name, part, told.get(name, [])) for name, part in by_segment.items()]

    def note_sizes(self, sizes: Mapping[str, int]) -> None:
        """Close those that have grown to their size."""
        for key, name in list(self._by_hour.items()):
            if sizes.get(name, 0) >= self._bytes_max:
                del self._by_hour[key]
                self._full.append(name)

    def over(self, now_ns: int, busy: Set[str], *, everything: bool) -> list[str]:
        """Close and return those that get no more rows; not those that are busy."""
        names = [name for name in self._full if name not in busy]
        self._full = [name for name in self._full if name in busy]
        for key, name in list(self._by_hour.items()):
            if name not in busy and (everything or now_ns >= _over_ns(key[1])):
                del self._by_hour[key]
                names.append(name)
        return names


def _over_ns(hour: int) -> int:
    return (hour + 1) * HOUR_NS + LATE_NS


def _name(venue: str, ts_recv_ns: int, now_ns: int) -> str:
    date, hour = partition_of(ts_recv_ns)
    folder = f"raw/venue={quote(venue, safe='')}/date={date}/hour={hour}"
    # The present time, too: a segment that was finished while its hour lasts is not written again.
    return f"{folder}/{ts_recv_ns}-{now_ns}{SEGMENT_SUFFIX}"
