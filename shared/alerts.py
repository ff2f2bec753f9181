"""How often alerts may go out: the first ones at once, a storm of them as one with their number.

Alerts of one code, severity and subject count as the same. ``BURST_MAX`` of them pass within
``WINDOW_NS``; the others are counted and sent as one when the window is over, and once per window
for as long as it goes on. Pure: time is given, from a clock that does not run backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from shared.messages.bounds import TEXT_LENGTH_MAX
from shared.messages.control import Alert

BURST_MAX: Final = 5
"""Alerts of one kind that pass in a window before the rest of them waits."""
WINDOW_NS: Final = 10_000_000_000
SUBJECTS_MAX: Final = 4_096
"""Kinds followed at a time, as many as books; further subjects of a code count as one."""
_OTHERS: Final = "..."

Kind = tuple[str, str, str]
"""Code, severity and subject."""


@dataclass(slots=True)
class _Window:
    """One kind of alert in its present window: how many went out, how many wait, the last."""

    until_ns: int
    passed: int = 0
    held_back: int = 0
    last: Alert | None = None


class AlertRate:
    """Decides about the alerts of one process."""

    def __init__(self) -> None:
        self._windows: dict[Kind, _Window] = {}  # in the order in which the windows end

    @property
    def is_idle(self) -> bool:
        """Whether no alert went out lately."""
        return not self._windows

    def passes(self, alert: Alert, now_ns: int) -> bool:
        """Tell whether an alert may go out now; one that may not is counted."""
        window = self._of(alert, now_ns)
        if window.passed < BURST_MAX:
            window.passed += 1
            return True
        window.held_back += alert.count
        window.last = alert
        return False

    def due(self, now_ns: int) -> list[Alert]:
        """Return what waited for the end of its window, each kind as one alert."""
        out = []
        while self._windows:
            kind = next(iter(self._windows))
            if self._windows[kind].until_ns > now_ns:
                break
            window = self._windows.pop(kind)
            if window.last is not None:
                out.append(_sum_of(window.last, window.held_back))
                # It may go on: the next one is sent when another window is over.
                self._windows[kind] = _Window(until_ns=now_ns + WINDOW_NS, passed=BURST_MAX)
        return out

    def rest(self) -> list[Alert]:
        """Return what waits, for a process that ends."""
        waiting = [window for window in self._windows.values() if window.last is not None]
        self._windows.clear()
        return [
            _sum_of(window.last, window.held_back) for window in waiting if window.last is not None
        ]

    def _of(self, alert: Alert, now_ns: int) -> _Window:
        kind: Kind = (alert.code, alert.severity, alert.subject)
        window = self._windows.get(kind)
        if window is None and len(self._windows) >= SUBJECTS_MAX:
            kind = (*kind[:2], _OTHERS)
            window = self._windows.get(kind)
        if window is not None and window.until_ns <= now_ns and window.last is None:
            del self._windows[kind]
            window = None
        if window is None:
            window = self._windows[kind] = _Window(until_ns=now_ns + WINDOW_NS)
        return window


def _sum_of(last: Alert, held_back: int) -> Alert:
    text = f"{held_back} more of the same; the last: {last.text}"
    return msgspec.structs.replace(last, count=held_back, text=text[:TEXT_LENGTH_MAX])
