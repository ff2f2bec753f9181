"""Entries a consumer group can no longer read: deleted ones, and those of destroyed groups."""

from __future__ import annotations

from collections.abc import Sequence

from shared.bus.connection import RedisLink, ReplyError
from shared.bus.latest import as_dict
from shared.bus.signing import Report
from shared.bus.wire import id_key
from shared.messages.control import Severity

_IDS_TOLD_MAX = 10
_ANY = 2**62
"""More entries than a stream can have lost."""


class Missing:
    """Notices, counts and reports what one group has lost."""

    def __init__(
        self, control: RedisLink, group: str, counters: dict[str, int], report: Report
    ) -> None:
        self._control, self._group = control, group
        self._counters, self._report = counters, report
        self._unread_gone: dict[str, tuple[bytes, int]] = {}

    async def create_group(self, key: str, group: str, position: str) -> None:
        """Create the group if it is not there: where it had come to, else before everything."""
        try:
            await self._control.call("XGROUP", "CREATE", key, group, "0", "MKSTREAM")
        except ReplyError as error:
            if error.code != "BUSYGROUP":
                raise
            return
        info = as_dict(await self._control.call("XINFO", "STREAM", key))
        if id_key(position) <= id_key(info[b"last-generated-id"]) and position != "0-0":
            await self._control.call("XGROUP", "SETID", key, group, position)
            text = f"{group} of {key} was gone and goes on after {position}"
            text += "; what it had not acknowledged may be lost"
            self._report("GROUP_GONE", text, Severity.CRITICAL, f"{group} {key}")
        elif group == self._group:  # it is new: what was removed before concerns it not
            self._unread_gone[key] = (b"0-0", _ANY)

    async def look(self, key: str) -> None:
        """Report what was deleted before this group read it; move it back if it is beyond the end.

        The stream is asked first: what is read meanwhile must not look unread.
        """
        stream = as_dict(await self._control.call("XINFO", "STREAM", key))
        groups = map(as_dict, await self._control.call("XINFO", "GROUPS", key))
        group = next((g for g in groups if g[b"name"].decode() == self._group), None)
        if group is None:
            return  # the next read says so
        end, reached = stream[b"last-generated-id"], group[b"last-delivered-id"]
        if id_key(reached) > id_key(end):
            end = as_dict(await self._control.call("XINFO", "STREAM", key))[b"last-generated-id"]
            if id_key(reached) > id_key(end):
                await self._control.call("XGROUP", "SETID", key, self._group, end)
                text = f"{self._group} of {key} was at {reached.decode()}, beyond the end"
                text += f" {end.decode()}; what is there now was not read"
                self._lose("GROUP_AHEAD", key, text, 1)
            return
        read = group.get(b"entries-read")
        if read is None and reached == b"0-0":
            read = 0
        removed = int(stream[b"entries-added"]) - int(stream[b"length"])
        gone = 0 if read is None else max(0, removed - int(read))
        if not gone and id_key(stream[b"max-deleted-entry-id"]) > id_key(reached):
            gone = 1
        before, counted = self._unread_gone.get(key, (b"", 0))
        if before != reached:
            counted = 0
        self._unread_gone[key] = (reached, max(gone, counted))
        if gone > counted:
            text = f"{key}: {gone} or more entries after {reached.decode()} were deleted unread"
            self._lose("UNREAD_ENTRY_GONE", key, text, gone - counted)

    def _lose(self, code: str, key: str, text: str, entries: int) -> None:
        self._counters["lost"] += entries
        self._report(code, text, Severity.CRITICAL, key)

    def lose_pending(self, key: str, ids: Sequence[bytes]) -> None:
        """Report that entries were deleted which this group had been given and not acknowledged."""
        told = ", ".join(raw.decode() for raw in ids[:_IDS_TOLD_MAX])
        more = f" and {len(ids) - _IDS_TOLD_MAX} more" if len(ids) > _IDS_TOLD_MAX else ""
        text = f"{key} {told}{more}: deleted while pending for {self._group}, never acknowledged"
        self._lose("PENDING_ENTRY_GONE", key, text, len(ids))
