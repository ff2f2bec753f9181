"""What a process also logs of what it publishes, so that whoever follows its log sees it trade.

The streams hold everything, and ``arb tail`` shows them. Here are only the ends of plans, changes
of the trading state, and alerts: rare, and each worth a line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from shared.messages.base import Message, TradingState
from shared.messages.control import Alert, Severity
from shared.messages.execution import PlanDone, PlanOutcome, TradingStateChanged

log = logging.getLogger(__name__)
Line = tuple[int, str, dict[str, Any]]

_LEVELS: Final = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class LogLines:
    """Logs what one process has published."""

    def __init__(self) -> None:
        self._trading: tuple[TradingState, str] | None = None

    def published(self, messages: Sequence[Message]) -> None:
        """Log those of the messages that have a line."""
        for message in messages:
            if (line_of := _LINES.get(type(message))) is not None:
                if isinstance(message, TradingStateChanged) and not self._changes(message):
                    continue
                level, event, fields = line_of(message)
                log.log(level, event, extra=fields)

    def _changes(self, told: TradingStateChanged) -> bool:
        """Whether the state or its cause is another one than before: both are told each second."""
        now = (told.state, told.reason.partition(":")[0])
        is_new, self._trading = now != self._trading, now
        return is_new


def _plan_done(done: PlanDone) -> Line:
    level = logging.WARNING if done.outcome is PlanOutcome.FAILED else logging.INFO
    fields = {
        "plan": done.plan_id,
        "strategy": done.strategy,
        "outcome": done.outcome,
        "realized": done.realized,
        "fees": done.fees,
        "quote": done.quote,
    }
    told = {"residual": done.residual, "dust": done.dust, "round": done.round_id}
    fields |= {name: value for name, value in told.items() if value}
    return level, "plan_done", fields | ({"reason": done.reason} if done.reason else {})


def _trading(changed: TradingStateChanged) -> Line:
    return logging.INFO, "trading", {"state": changed.state, "reason": changed.reason}


def _alert(alert: Alert) -> Line:
    fields = {"code": alert.code, "subject": alert.subject, "text": alert.text, "over": alert.over}
    level = logging.INFO if alert.over else _LEVELS[alert.severity]
    return level, "alert", {name: value for name, value in fields.items() if value}


_LINES: Final[dict[type, Callable[[Any], Line]]] = {
    PlanDone: _plan_done,
    TradingStateChanged: _trading,
    Alert: _alert,
}
