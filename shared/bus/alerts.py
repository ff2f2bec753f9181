"""Alerts on their way out of a process, from all of its parts."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from shared.alerts import AlertRate
from shared.clock import Clock
from shared.messages.base import Message
from shared.messages.control import Alert, Severity

log = logging.getLogger(__name__)

WAITING_MAX: Final = 256
"""Alerts that wait for the next commit; the oldest beyond it are dropped."""
_LEVELS: Final[Mapping[Severity, int]] = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class AlertOutlet:
    """Bounds the rate of a process's alerts, logs those that go out, and keeps the bus's own."""

    def __init__(self, service: str, clock: Clock) -> None:
        self._service, self._clock = service, clock
        self._rate = AlertRate()
        self._waiting: deque[Alert] = deque(maxlen=WAITING_MAX)

    def report(
        self, code: str, text: str, severity: Severity = Severity.WARNING, subject: str = ""
    ) -> None:
        """Queue an alert of the bus itself."""
        alert = Alert(
            ts_ns=self._clock.now_ns(),
            service=self._service,
            severity=severity,
            code=code,
            text=text,
            subject=subject,
        )
        if self._passes(alert):
            self._waiting.append(alert)

    def outgoing(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages without alerts that must wait, with those that have waited."""
        has_alert = Alert in map(type, messages)
        if not has_alert and not self._waiting and self._rate.is_idle:
            return messages
        if has_alert:
            messages = [m for m in messages if type(m) is not Alert or self._passes(m)]
        waited = self.waited()
        return [*messages, *waited] if waited else messages

    def waited(self) -> list[Alert]:
        """Return what waited and may go out now."""
        due = self._rate.due(self._clock.monotonic_ns())
        self._log(due)
        waited = [*self._waiting, *due]
        self._waiting.clear()
        return waited

    def rest(self) -> list[Alert]:
        """Return everything that waits: the process ends."""
        return [*self.waited(), *self._rate.rest()]

    def wait_again(self, alerts: Sequence[Alert]) -> None:
        """Take back what could not be sent."""
        self._waiting.extend(alerts)

    def _passes(self, alert: Alert) -> bool:
        passes = self._rate.passes(alert, self._clock.monotonic_ns())
        if passes:
            self._log([alert])
        return passes

    def _log(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            log.log(
                _LEVELS[alert.severity], "alert", extra={"code": alert.code, "text": alert.text}
            )
