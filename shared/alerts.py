"""How often alerts may be said: the first ones at once, a storm of them as one with their number.

Alerts of one code, severity and subject count as the same. ``BURST_MAX`` of them pass within
``WINDOW_NS``; the others are counted and told as one when the window is over, and once per window
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
class _Said:
    """What was said of one kind in its present window, and what waits: how many, and the last."""

    until_ns: int
    passed: int = 0
    held: int = 0
    last: Alert | None = None


class AlertRate:
    """Decides about the alerts of one process."""

    def __init__(self) -> None:
        self._said: dict[Kind, _Said] = {}  # in the order in which the windows end

    @property
    def is_idle(self) -> bool:
        """Whether nothing was said lately."""
        return not self._said

    def passes(self, alert: Alert, now_ns: int) -> bool:
        """Tell whether an alert may go out now; one that may not is counted."""
        said = self._of(alert, now_ns)
        if said.passed < BURST_MAX:
            said.passed += 1
            return True
        said.held += alert.count
        said.last = alert
        return False

    def due(self, now_ns: int) -> list[Alert]:
        """Return what waited for the end of its window, each kind as one alert."""
        out = []
        while self._said:
            kind = next(iter(self._said))
            if self._said[kind].until_ns > now_ns:
                break
            said = self._said.pop(kind)
            if said.last is not None:
                out.append(_sum_of(said.last, said.held))
                # It may go on: the next is told when another window is over.
                self._said[kind] = _Said(until_ns=now_ns + WINDOW_NS, passed=BURST_MAX)
        return out

    def rest(self) -> list[Alert]:
        """Return what waits, for a process that ends."""
        waiting = [said for said in self._said.values() if said.last is not None]
        self._said.clear()
        return [_sum_of(said.last, said.held) for said in waiting if said.last is not None]

    def _of(self, alert: Alert, now_ns: int) -> _Said:
        kind: Kind = (alert.code, alert.severity, alert.subject)
        said = self._said.get(kind)
        if said is None and len(self._said) >= SUBJECTS_MAX:
            kind = (*kind[:2], _OTHERS)
            said = self._said.get(kind)
        if said is not None and said.until_ns <= now_ns and said.last is None:
            del self._said[kind]
            said = None
        if said is None:
            said = self._said[kind] = _Said(until_ns=now_ns + WINDOW_NS)
        return said


def _sum_of(last: Alert, held: int) -> Alert:
    text = f"{held} more of the same; the last: {last.text}"
    return msgspec.structs.replace(last, count=held, text=text[:TEXT_LENGTH_MAX])
