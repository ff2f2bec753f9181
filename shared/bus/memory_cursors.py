"""How far one consumer has read the LATEST streams of the bus in memory, and which have more. Pure.

Most streams have nothing new at most readings, so each is looked up once and known by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shared.bus.memory_store import ZERO, Cursor, MemoryServer, Stream
from shared.bus.port import Input
from shared.streams import Delivery, StreamSpec


class Cursors:
    """The cursors of one inbox."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.all = [
            Cursor(item, item.spec.key(shard))
            for item in inputs
            if item.spec.delivery is Delivery.LATEST
            for shard in item.shards
        ]
        self._paced: dict[str, list[Cursor]] = {}
        """By stream, where it is looked at once in an interval."""
        for cursor in self.all:
            if cursor.interval_ns:
                self._paced.setdefault(cursor.spec.name, []).append(cursor)
        self._looked_at: list[Cursor] = []
        """Of those whose stream nobody has written to yet only the ones with an interval."""
        self._found_in = (-1, 0)
        """Losses and number of streams of the server when the streams were looked up."""

    def unread(self, server: MemoryServer, now_ns: int) -> Iterator[tuple[Cursor, Stream]]:
        """Look at all that are due; yield those whose stream has more, or had and was trimmed."""
        losses = server.losses
        self._find_streams(server)
        for cursor in self._looked_at:
            if cursor.interval_ns:
                if now_ns < cursor.due_ns:
                    continue
                cursor.due_ns = now_ns + cursor.interval_ns
            if cursor.losses != losses:
                cursor.last_id, cursor.ordinal, cursor.losses = ZERO, 0, losses
            stream = cursor.stream
            if stream is not None and cursor.last_id is not stream.last_id:  # seldom
                yield cursor, stream

    def pass_empty(self, server: MemoryServer, now_ns: int) -> bool:
        """Tell whether there is surely nothing to read now; if so, it counts as a reading."""
        if self._found_in != (server.losses, len(server.streams)):
            return False
        for cursor in self._looked_at:
            stream = cursor.stream
            if stream is None or cursor.last_id is stream.last_id:  # nearly always
                continue
            if now_ns >= cursor.due_ns and cursor.last_id < stream.last_id:
                return False
        for cursors in self._paced.values():
            for cursor in cursors:
                if now_ns >= cursor.due_ns:
                    cursor.due_ns = now_ns + cursor.interval_ns
        return True

    def next_due_ns(self, server: MemoryServer) -> int | None:
        """Return when one may go on that has something to read (UNIX ns), or ``None``."""
        self._find_streams(server)
        due_ns: int | None = None
        for cursor in self._looked_at:  # asked after every reading, so written out
            stream = cursor.stream
            if stream is None or cursor.last_id is stream.last_id:  # nearly always
                continue
            if cursor.last_id < stream.last_id and (due_ns is None or cursor.due_ns < due_ns):
                due_ns = cursor.due_ns
        return due_ns

    def reads_from_ns(self, streams: Iterable[StreamSpec]) -> int:
        """Return from when on one of these streams is read; 0: whenever there is something."""
        first_ns: int | None = None
        for spec in streams:
            cursors = self._paced.get(spec.name)
            if cursors is None:
                return 0
            for cursor in cursors:
                if first_ns is None or cursor.due_ns < first_ns:
                    first_ns = cursor.due_ns
        return first_ns or 0

    def _find_streams(self, server: MemoryServer) -> None:
        """Look the streams up anew where the server has others than before."""
        found_in = server.losses, len(server.streams)
        if self._found_in != found_in:
            self._found_in = found_in
            for cursor in self.all:
                cursor.stream = server.streams.get(cursor.key)
            self._looked_at = [each for each in self.all if each.stream or each.interval_ns]
