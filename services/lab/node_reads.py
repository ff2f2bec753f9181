"""What a node of the lab's fast host reads: its cursors, and which of their entries are due. Pure.

Most of what is read are views of books of which an engine only keeps the newest. Such a read takes
no event of the heap: its time and place among the events are noted, and the engine is given the
newest view of each book before it is called with anything else, which is all that it can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.lab.chain import Chain, Cursor
from shared.bus.wire import newest_per_key
from shared.messages.base import Message
from shared.messages.market import DepthView


class NodeReads:
    """The inputs of one node.

    Args:
        chain: The streams.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain, self._kernel = chain, chain.kernel
        self._durable: list[Cursor] = []
        self._latest: list[Cursor] = []
        self._paced: list[Cursor] = []
        self._first: list[Message] | None = None
        self.unread = 0
        """Entries in all its cursors."""
        self.newest: Cursor | None = None
        """The cursor to which the last entry came."""
        self.quiet: tuple[int, int] | None = None
        """Time and place of a read, to come or passed, of views that the engine would only keep."""
        self._kept: dict[tuple[str, str], DepthView] = {}
        """What was read so, the newest view of each book; the engine has not been given it yet."""

    def pass_quiet(self) -> None:
        """Take in what a quiet read has taken, if its time has passed."""
        kernel, quiet, kept = self._kernel, self.quiet, self._kept
        assert quiet is not None
        if quiet >= (kernel.time_ns, kernel.running):
            return
        read_ns = quiet[0]
        self.quiet = None
        for cursor in self._paced:
            if read_ns >= cursor.due_ns:
                cursor.due_ns = read_ns + cursor.interval_ns
            entries = cursor.entries
            self.unread -= len(entries)
            for entry in entries:
                for view in entry:
                    assert isinstance(view, DepthView)
                    kept[view.venue, view.instrument] = view
            entries.clear()

    def _poll(self, now_ns: int) -> Sequence[Message] | None:
        """Return a batch of durable entries or of newest ones; ``None`` where nothing is there."""
        if self._first is not None:
            messages, self._first = self._first, None
            return messages
        found: list[Message] | None = None
        for cursor in self._durable:
            if cursor.entries:
                found = [*(found or ()), *cursor.take()]
        if found is not None:
            return found
        for cursor in self._paced:
            cursor.is_due = now_ns >= cursor.due_ns
            if cursor.is_due:
                cursor.due_ns = now_ns + cursor.interval_ns
        for cursor in self._latest:
            if cursor.entries and cursor.is_due:
                taken = cursor.take()
                if len(taken) > 1:
                    taken = newest_per_key([*taken], cursor.spec.conflate)[0]
                found = [*(found or ()), *taken]
        return found

    def _pass_empty(self, now_ns: int) -> bool:
        """Tell whether another reading would find nothing; if so, it counts as one, as a host's."""
        if self.unread:
            for cursor in (*self._durable, *self._latest):
                if cursor.entries and now_ns >= cursor.due_ns:
                    return False
        for cursor in self._paced:
            if now_ns >= cursor.due_ns:
                cursor.due_ns = now_ns + cursor.interval_ns
        return True
