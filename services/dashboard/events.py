"""Alerts, and the log of what happened as the bus tells it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from services.dashboard.topic import Topic
from services.dashboard.values import amount, ms
from shared.messages.base import Certainty, TradingState
from shared.messages.control import Alert, Command, Severity
from shared.messages.execution import Denied, PlanDone, PlanOutcome, TradingStateChanged

ALERTS_MAX: Final = 200
LINES_MAX: Final = 500


@dataclass(slots=True)
class Events:
    """The newest alerts and lines; each is told once, however often it is read."""

    alerts: Topic = field(default_factory=lambda: Topic("alerts", ALERTS_MAX))
    log: Topic = field(default_factory=lambda: Topic("log", LINES_MAX))
    _severities: dict[str, Severity] = field(default_factory=dict)
    _lines: dict[str, None] = field(default_factory=dict)
    _state: TradingStateChanged | None = None

    def on_message(self, message: object) -> None:
        """Take in what is an event."""
        match message:
            case Alert():
                self._on_alert(message)
            case TradingStateChanged():
                self._on_state(message)
            case Command():
                text = f"{message.kind} by {message.operator}"
                text += f": {message.reason}" if message.reason else ""
                self._add(
                    message.ts_ns, message.command_id, "ctl", "warning", event="command", text=text
                )
            case PlanDone():
                self._on_done(message)
            case Denied():
                context = ", ".join(f"{k} {v}" for k, v in sorted(message.context.items()))
                text = f"{message.opportunity_id}: {context}"
                key = message.opportunity_id
                event = f"denied {message.reason}"
                self._add(message.ts_ns, key, "risk", "info", event=event, text=text)

    def forget_later(self, than_ns: int) -> None:
        """Forget a state that is said to be of a later time; events stay."""
        if self._state is not None and self._state.ts_ns > than_ns:
            self._state = None

    def severities(self) -> dict[str, int]:
        """Return how many of the kept alerts there are of each severity."""
        counts = Counter(self._severities.values())
        return {str(each): counts[each] for each in reversed(Severity)}

    def _on_alert(self, alert: Alert) -> None:
        key = f"{ms(alert.ts_ns)}|{alert.service}|{alert.code}|{alert.subject}"
        if key in self._severities:
            return
        self._severities[key] = alert.severity
        if len(self._severities) > ALERTS_MAX:
            del self._severities[next(iter(self._severities))]
        row = {
            "ts_ms": ms(alert.ts_ns),
            "service": alert.service,
            "severity": alert.severity,
            "code": alert.code,
            "subject": alert.subject,
            "text": alert.text,
            "count": alert.count,
        }
        self.alerts.put(key, row)
        text = f"{alert.subject}: {alert.text}" if alert.subject else alert.text
        name = f"{alert.code}|{alert.subject}"
        self._add(
            alert.ts_ns, name, alert.service, str(alert.severity), event=alert.code, text=text
        )

    def _on_state(self, state: TradingStateChanged) -> None:
        """A state is told every second; what changes it is an event."""
        before = self._state
        if before is not None and state.ts_ns < before.ts_ns:
            return
        self._state = state
        if before is None or (before.state, before.reason) != (state.state, state.reason):
            level = "info" if state.state is TradingState.ACTIVE else "warning"
            since_ns = max(state.ts_since_ns, 0) or state.ts_ns
            event = f"state {state.state}"
            self._add(since_ns, event, "risk", level, event=event, text=state.reason)

    def _on_done(self, done: PlanDone) -> None:
        level = "critical" if done.outcome is PlanOutcome.FAILED else "info"
        realized = amount(done.realized)
        if done.certainty is not Certainty.KNOWN:
            realized = f"{realized} ({done.certainty})"
        text = f"{done.plan_id}: {realized} {done.quote}"
        text += f": {done.reason}" if done.reason else ""
        event = f"plan {done.outcome}"
        self._add(done.ts_ns, done.plan_id, "executor", level, event=event, text=text)

    def _add(
        self, ts_ns: int, name: str, source: str, level: str, *, event: str, text: str
    ) -> None:
        key = f"{ms(ts_ns):013d}|{name}"
        if key in self._lines:
            return
        self._lines[key] = None
        if len(self._lines) > LINES_MAX:
            del self._lines[next(iter(self._lines))]
        row: dict[str, Any] = {
            "ts_ms": ms(ts_ns),
            "source": source,
            "level": level,
            "event": event,
            "text": text,
        }
        self.log.put(key, row)
