"""How often one thing is told: at once, then counted at 1, 5, 15 and 60 minutes, and its end. Pure.

A trouble is either a condition, ended by whoever raised it, or events (alerts of one code and
subject), which are over after ``QUIET_NS`` without another. No trouble is told more than
``TOLD_MAX`` times an hour, however often it comes and goes; what is held back is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from shared.messages.control import Severity

MINUTE_NS: Final = 60_000_000_000
HOUR_NS: Final = 60 * MINUTE_NS
REMIND_NS: Final = (MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS, HOUR_NS)
"""After its beginning, as long as there is more to tell; then every hour."""
QUIET_NS: Final = 15 * MINUTE_NS
ANEW_NS: Final = 5 * MINUTE_NS
"""An event that comes after so long without one is told at once: it is another occurrence."""
TOLD_MAX: Final = 6
"""Messages about one trouble in any hour; the last of them is kept for its end."""
TROUBLES_MAX: Final = 512
"""Followed at a time; further ones of a code count as one. As many more are kept for conditions and
what is critical: no flood of warnings hides it."""
OTHERS: Final = "..."
RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, as it is told.

    Attributes:
        code: Of the alert, or the name of the rule (``shared/alerting.py``).
        severity: Who is told.
        subject: What it is about where one code may be of several things: venue, asset, process.
        where: Who says so, or where it is.
        summary: What it means, if its code has a row in the table.
        detail: The numbers.
        remedy: What to do.
        lasts: It is a condition.
    """

    code: str
    severity: Severity
    subject: str = ""
    where: str = ""
    summary: str = ""
    detail: str = ""
    remedy: str = ""
    lasts: bool = False


class Trouble(msgspec.Struct, kw_only=True):
    """One thing that is wrong, or was within the last hour; times are UNIX ns."""

    cause: Cause
    since_ns: int
    newest_ns: int
    count: int = 0
    told_count: int = 0
    told_ns: list[int] = []
    steps: int = 0
    is_untold: bool = True
    is_anew: bool = False
    over_ns: int = 0
    is_over_told: bool = False


class Telling(msgspec.Struct, frozen=True):
    """What is to be told of a trouble now: that it began, goes on, or is over."""

    trouble: Trouble
    what: str


BEGAN, GOES_ON, OVER = "began", "goes on", "over"


class Troubles:
    """All that is wrong."""

    def __init__(self, known: dict[str, Trouble] | None = None) -> None:
        self.known: dict[str, Trouble] = known or {}

    def begin(self, cause: Cause, now_ns: int, *, since_ns: int = 0, count: int = 1) -> None:
        """Note that something is wrong, or an alert came."""
        key = f"{cause.code}|{cause.where}|{cause.subject}"
        matters = cause.lasts or cause.severity is Severity.CRITICAL
        room = 2 * TROUBLES_MAX if matters else TROUBLES_MAX
        if key not in self.known and len(self.known) >= room:
            key = f"{cause.code}|{OTHERS}"
            if key not in self.known and len(self.known) >= room:
                key = OTHERS
            # Nobody could end a condition under this key, so it is over once it is quiet.
            cause = msgspec.structs.replace(cause, subject=OTHERS, lasts=False)
        since_ns = since_ns or now_ns
        trouble = self.known.get(key)
        if trouble is None:
            trouble = Trouble(cause=cause, since_ns=since_ns, newest_ns=now_ns)
            self.known[key] = trouble
        elif trouble.over_ns:
            trouble.since_ns, trouble.steps, trouble.over_ns = since_ns, 0, 0
            trouble.is_anew = False
            # Its end was not told, so it is as if it had gone on.
            trouble.is_untold, trouble.is_over_told = trouble.is_over_told, False
        elif RANK[cause.severity] > RANK[trouble.cause.severity]:
            trouble.is_untold = True
        elif RANK[cause.severity] < RANK[trouble.cause.severity]:
            cause = msgspec.structs.replace(cause, severity=trouble.cause.severity)
        if not cause.lasts and now_ns - trouble.newest_ns >= ANEW_NS:
            trouble.is_anew = True
        trouble.cause = cause
        trouble.newest_ns = now_ns
        trouble.count += count

    def renew(self, key: str, cause: Cause) -> None:
        """Keep the present numbers of a condition that goes on."""
        self.known[key].cause = cause

    def end(self, key: str, now_ns: int) -> None:
        """Note that a condition does not hold any more."""
        trouble = self.known.get(key)
        if trouble is not None and not trouble.over_ns:
            trouble.over_ns = now_ns

    def due(self, now_ns: int) -> Iterator[Telling]:
        """Yield what is to be told now, and forget what is long over."""
        for key, trouble in list(self.known.items()):
            trouble.told_ns = [at for at in trouble.told_ns if 0 <= now_ns - at < HOUR_NS]
            if not trouble.cause.lasts and not trouble.over_ns:
                self._end_if_quiet(trouble, now_ns)
            if trouble.over_ns:
                if self._is_end_due(trouble):
                    trouble.is_over_told = True
                    trouble.told_ns.append(now_ns)
                    yield Telling(trouble, OVER)
                    trouble.count = trouble.told_count = 0
                elif trouble.is_over_told and not trouble.told_ns:
                    del self.known[key]
            elif (what := self._what_is_due(trouble, now_ns)) is not None:
                trouble.told_ns.append(now_ns)
                trouble.is_untold = trouble.is_anew = False
                yield Telling(trouble, what)
                trouble.told_count = trouble.count

    def _end_if_quiet(self, trouble: Trouble, now_ns: int) -> None:
        if now_ns - trouble.newest_ns >= QUIET_NS and not trouble.is_untold:
            trouble.over_ns = trouble.newest_ns
            if trouble.count == 1:  # it happened; there is nothing that could be over
                trouble.is_over_told, trouble.count, trouble.told_count = True, 0, 0

    @staticmethod
    def _is_end_due(trouble: Trouble) -> bool:
        if trouble.is_over_told:
            return False
        if trouble.is_untold:  # over before anybody was told
            trouble.is_over_told = True
            return False
        return len(trouble.told_ns) < TOLD_MAX

    @staticmethod
    def _what_is_due(trouble: Trouble, now_ns: int) -> str | None:
        if len(trouble.told_ns) >= TOLD_MAX - 1:
            return None
        steps = trouble.steps
        while now_ns >= reminder_ns(trouble.since_ns, trouble.steps):
            trouble.steps += 1
        if trouble.is_untold:
            return BEGAN
        if trouble.is_anew:
            return GOES_ON
        has_more = trouble.cause.lasts or trouble.count > trouble.told_count
        return GOES_ON if trouble.steps > steps and has_more else None


def reminder_ns(since_ns: int, steps: int) -> int:
    """Return when a trouble is told again for the ``steps``-th time, counted from 0."""
    if steps < len(REMIND_NS):
        return since_ns + REMIND_NS[steps]
    return since_ns + REMIND_NS[-1] + (steps - len(REMIND_NS) + 1) * HOUR_NS
