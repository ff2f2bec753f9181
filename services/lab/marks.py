"""The ledger's marks in the lab: a process's requests on their way to the bus and back."""

from __future__ import annotations

from collections.abc import Callable

from services.lab.kernel import Kernel
from shared.bus.memory_store import MemoryServer
from shared.engine import Result
from shared.ledger import ClearMark, MarkAction, MarksFailed, MarksRead, WriteMarks

AWAY = "the server in memory is down"


class MarkPort:
    """One process's requests, which arrive in the order they were made.

    A request that has left arrives also if the process ends meanwhile.

    Args:
        kernel: Time.
        server: The bus's server, which holds the marks.
        hop_ns: Draws how long a hop over the bus takes.
    """

    def __init__(self, kernel: Kernel, server: MemoryServer, hop_ns: Callable[[], int]) -> None:
        self._kernel, self._server, self._hop_ns = kernel, server, hop_ns
        self._last_ns = 0

    def carry_out(self, action: MarkAction, deliver: Callable[[Result], None]) -> None:
        """Send a request; its answer comes back after another hop."""
        self._last_ns = max(self._last_ns, self._kernel.now_ns() + self._hop_ns())
        self._kernel.at(self._last_ns, lambda: self._arrive(action, deliver))

    def _arrive(self, action: MarkAction, deliver: Callable[[Result], None]) -> None:
        marks = self._server.marks
        answer: Result | None = None
        if not self._server.is_up:
            answer = MarksFailed(action, AWAY)
        elif isinstance(action, WriteMarks):
            new = {k: v for k, v in action.fields.items() if not (action.only_new and k in marks)}
            marks.update(new)
        elif isinstance(action, ClearMark):
            marks.pop(action.name, None)
        else:
            answer = MarksRead(dict(marks))
        if answer is not None:
            told = answer
            self._kernel.after(self._hop_ns(), lambda: deliver(told))
