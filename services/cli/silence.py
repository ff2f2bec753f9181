"""When a watcher shouts: who should be heard from, and for how long was not. Pure.

Times are monotonic nanoseconds: a clock that is set changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

S: Final = 1_000_000_000
AGAIN_NS: Final = (300 * S, 900 * S, 3_600 * S)
"""After the first shout; then every hour."""
NOTIFIER, ALERTMANAGER = "notifier", "alertmanager"
NAMES: Final = {
    NOTIFIER: "the notifier's ping",
    ALERTMANAGER: "Alertmanager's ArbWatchdog",
}


@dataclass(slots=True)
class Source:
    """One that should be heard from."""

    heard_ns: int
    is_heard: bool = False
    shouts: int = 0
    again_ns: int = 0


@dataclass(frozen=True, slots=True)
class Shout:
    """What is to be said: of whom, for how long nobody heard it, or that it is heard again."""

    source: str
    silent_ns: int
    was_heard: bool
    is_over: bool = False
    is_first: bool = False


class Silence:
    """Follows those who should be heard from.

    Args:
        expected: Who is missed from the start on; others once they were heard.
        limit_ns: For how long they may be silent.
        now_ns: The start.
    """

    def __init__(self, expected: tuple[str, ...], limit_ns: int, now_ns: int) -> None:
        self._limit_ns = limit_ns
        self._sources = {name: Source(now_ns) for name in expected}

    def is_heard(self, name: str) -> bool:
        """Tell whether one was ever heard."""
        return name in self._sources and self._sources[name].is_heard

    def heard(self, name: str, now_ns: int) -> Shout | None:
        """Note that one was heard; returns what is to be said if it was missed before."""
        source = self._sources.setdefault(name, Source(now_ns))
        silent_ns, was_missed = now_ns - source.heard_ns, bool(source.shouts)
        was_heard = source.is_heard
        source.heard_ns, source.is_heard, source.shouts = now_ns, True, 0
        return Shout(name, silent_ns, was_heard, is_over=True) if was_missed else None

    def due(self, now_ns: int) -> list[Shout]:
        """Return who is to be shouted about now."""
        found = []
        for name, source in self._sources.items():
            silent_ns = now_ns - source.heard_ns
            if silent_ns < self._limit_ns or (source.shouts and now_ns < source.again_ns):
                continue
            is_first = not source.shouts
            source.again_ns = now_ns + AGAIN_NS[min(source.shouts, len(AGAIN_NS) - 1)]
            source.shouts += 1
            found.append(Shout(name, silent_ns, source.is_heard, is_first=is_first))
        return found

    def next_ns(self) -> int:
        """Return when the next one is to be shouted about."""
        return min(
            source.again_ns if source.shouts else source.heard_ns + self._limit_ns
            for source in self._sources.values()
        )


def words(shout: Shout, system: str) -> str:
    """Return what is said."""
    what, seconds = NAMES[shout.source], shout.silent_ns // S
    if shout.is_over:
        return f"[{system}] over: {what} is heard again, after {seconds} s"
    since = f"for {seconds} s" if shout.was_heard else f"since this watcher started {seconds} s ago"
    return (
        f"[{system}] CRITICAL DEAD: {what} was not heard {since}\n"
        "The machine, its network, the notifier, risk or the executor is down, or no message gets "
        "through.\n"
        "Do: look at that machine, `arb status`; if nobody can, `arb kill` from another one."
    )
