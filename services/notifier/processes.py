"""Who beats, who fell silent, and who was replaced, by the heartbeats that arrive. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.notifier.troubles import Cause
from shared.alerting.table import RULE_OF
from shared.messages.control import Heartbeat, Severity
from shared.services import SERVICES

S: Final = 1_000_000_000
SILENT_NS: Final = 8 * S
"""Heartbeats come every second. Prometheus, which looks less often, waits longer."""
GRACE_NS: Final = 15 * S
"""After the bus or this process was away: others need a moment to be heard again."""
EXPECTED_NS: Final = 90 * S
"""From the start of this process until a service that was never heard is missing."""
FORGET_NS: Final = 3_600 * S
GONE_NS: Final = 2 * S
PROCESSES_MAX: Final = 256
TRADERS: Final = ("risk", "executor")
"""Without these two nothing is decided or sent."""

Place = tuple[str, str]


@dataclass(slots=True)
class Process:
    """One instance: its newest heartbeat, when it came (UNIX ns), since when it is not ready."""

    beat: Heartbeat
    heard_ns: int
    unready_ns: int = 0


class Processes:
    """All processes that are expected to beat."""

    def __init__(self, now_ns: int) -> None:
        self._known: dict[Place, Process] = {}
        self._began_ns = now_ns
        self._calm_ns = now_ns + GRACE_NS
        self._heard_ns = now_ns
        self._replaced: list[Cause] = []

    def on_beat(self, beat: Heartbeat, now_ns: int) -> None:
        """Take a heartbeat in."""
        if now_ns - beat.ts_ns >= FORGET_NS:
            return
        if now_ns - self._heard_ns >= SILENT_NS:
            self._calm_ns = max(self._calm_ns, now_ns + GRACE_NS)
        self._heard_ns = now_ns
        place = beat.service, beat.instance
        known = self._known.get(place)
        if known is not None and not _is_same(known.beat, beat):
            if beat.ts_started_ns < known.beat.ts_started_ns:
                return  # of the one before
            self._replace(known, beat)
            known = None
        elif known is None:
            self._look_for_replaced(beat)
        if known is None:
            if place not in self._known and len(self._known) >= PROCESSES_MAX:
                return
            # What was said before this process listened says when it was said.
            heard_ns = min(now_ns, beat.ts_ns)
            self._known[place] = Process(beat, heard_ns, 0 if beat.ready else now_ns)
        elif beat.ts_ns > known.beat.ts_ns:
            known.beat, known.heard_ns = beat, now_ns
            known.unready_ns = 0 if beat.ready else known.unready_ns or now_ns

    def paused(self, now_ns: int) -> None:
        """Note that this process did not run for a while, so nobody was heard."""
        self._calm_ns = max(self._calm_ns, now_ns + GRACE_NS)
        self._heard_ns = now_ns

    def is_beating(self, service: str, now_ns: int) -> bool:
        """Tell whether a service is heard."""
        return any(
            now_ns - each.heard_ns < SILENT_NS
            for (name, _), each in self._known.items()
            if name == service
        )

    def bus_silent_ns(self, now_ns: int) -> int | None:
        """Return since when nobody at all was heard, if that is too long.

        This process beats as well, so then it is Redis that cannot be read.
        """
        return self._heard_ns if now_ns - self._heard_ns >= SILENT_NS else None

    def replaced(self) -> list[Cause]:
        """Return the processes that another one took the place of, each once."""
        found, self._replaced = self._replaced, []
        return found

    def silent(self, now_ns: int) -> Iterator[tuple[Cause, int]]:
        """Yield who is not heard, and since when."""
        if now_ns < self._calm_ns:
            return
        rule = RULE_OF["ArbDown"]
        for place, each in list(self._known.items()):
            if now_ns - each.heard_ns >= FORGET_NS:
                del self._known[place]
            elif now_ns - each.heard_ns >= SILENT_NS:
                others = self.is_beating(place[0], now_ns)
                yield (
                    _cause(
                        "ArbDown",
                        place,
                        "another process of it works" if others else "no process of it is heard",
                        Severity.WARNING if others else Severity(rule.severity.value),
                        halt=rule.halt if place[0] in TRADERS and not others else "",
                    ),
                    each.heard_ns,
                )
        if now_ns - self._began_ns < EXPECTED_NS:
            return
        heard = {service for service, _ in self._known}
        for service in SERVICES:
            if service not in heard:
                severity = Severity(rule.severity.value)
                detail = "it was not heard since the notifier started"
                yield _cause("ArbDown", (service, ""), detail, severity), self._began_ns

    def unready(self, now_ns: int) -> Iterator[tuple[Cause, int]]:
        """Yield who beats but is not ready, why, and since when."""
        for place, each in self._known.items():
            if each.unready_ns and now_ns - each.heard_ns < SILENT_NS:
                cause = _cause("ArbNotReady", place, each.beat.reason, Severity.WARNING)
                yield cause, each.unready_ns

    def _look_for_replaced(self, beat: Heartbeat) -> None:
        """Forget a silent one of the same service, of another name, that this one came after."""
        for place, each in list(self._known.items()):
            if place[0] == beat.service and beat.ts_started_ns - each.beat.ts_ns > GONE_NS:
                del self._known[place]
                self._replace(each, beat)
                return

    def _replace(self, old: Process, beat: Heartbeat) -> None:
        if old.beat.reason in {"stopping", "draining"}:
            return
        self._replaced.append(
            _cause(
                "ArbRestarted",
                (beat.service, beat.instance),
                f"its last word was {(old.beat.reason or 'that all is well')[:200]!r}",
                Severity.WARNING,
                lasts=False,
            )
        )


def _is_same(known: Heartbeat, beat: Heartbeat) -> bool:
    return (known.process, known.ts_started_ns) == (beat.process, beat.ts_started_ns)


def _cause(
    name: str, place: Place, detail: str, severity: Severity, *, halt: str = "", lasts: bool = True
) -> Cause:
    rule = RULE_OF[name]
    remedy = f"`{rule.first}`. {rule.remedy}"
    return Cause(
        code=name,
        severity=severity,
        subject=place[0],
        where=place[1],
        summary=rule.summary,
        detail=detail,
        remedy=f"{remedy} {halt}".strip(),
        lasts=lasts,
    )
