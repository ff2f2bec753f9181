"""The bus in memory: entries a group can no longer read. As shared/bus/missing.py."""

from __future__ import annotations

from typing import Protocol

from shared.bus.memory_store import ZERO, Group, Id, MemoryServer, Stream, format_id
from shared.bus.signing import Report
from shared.bus.wire import id_key, newest_position
from shared.messages.control import Severity
from shared.streams import StreamSpec


class Reporter(Protocol):
    """The bus, as far as it is needed here."""

    counters: dict[str, int]

    def reach(self) -> MemoryServer:
        """Return the server."""

    report: Report


class Missing:
    """Notices, counts and reports what one group has lost."""

    def __init__(self, bus: Reporter, group: str) -> None:
        self._bus, self._group = bus, group
        self._gone: dict[str, Id] = {}

    def create_groups(self, key: str, spec: StreamSpec, stream: Stream) -> None:
        """Create the groups of a stream that are not there, and look after our own."""
        for name in sorted({*spec.consumers, self._group} - set(stream.groups)):
            self.create_group(key, name, stream)
        self.look(key, stream.groups[self._group])

    def lose_pending(self, key: str, group: Group, entry_id: Id) -> None:
        """Report that an entry was deleted which had been delivered and not acknowledged."""
        del group.pending[entry_id]
        self.lose("PENDING_ENTRY_GONE", f"{key} {format_id(entry_id)}: deleted while pending")

    def create_group(self, key: str, name: str, stream: Stream) -> None:
        """Create a group where it had come to, else before everything."""
        position = newest_position(self._bus.reach().positions, name, key)
        group = stream.groups[name] = Group()
        if ZERO < id_key(position) <= stream.last_id:
            group.last_id = id_key(position)
            text = f"{name} of {key} was gone and goes on after {position}"
            self._bus.report("GROUP_GONE", text, Severity.CRITICAL)
        elif name == self._group:  # it is new: what was removed before concerns it not
            self._gone[key] = stream.removed_to

    def look(self, key: str, group: Group) -> None:
        """Report what was deleted before this group read it, and move it back if beyond the end."""
        stream = self._bus.reach().stream(key)
        if group.last_id > stream.last_id:
            text = f"{self._group} of {key} was at {format_id(group.last_id)}, beyond the end"
            group.last_id = stream.last_id
            self.lose("GROUP_AHEAD", text)
        elif stream.removed_to > group.last_id and self._gone.get(key) != stream.removed_to:
            self._gone[key] = stream.removed_to
            self.lose("UNREAD_ENTRY_GONE", f"{key}: deleted unread")

    def lose(self, code: str, text: str) -> None:
        """Count and report a loss."""
        self._bus.counters["lost"] += 1
        self._bus.report(code, text, Severity.CRITICAL)
