"""What an alert is: a row of the table in ``table.py``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class AlertSeverity(StrEnum):
    """Who is told: critical wakes somebody, warning is read, info is a digest."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    NONE = "none"  # it always fires, and proves that alerts arrive


Series = Mapping[str, str]
"""A series of metrics and its values, as promtool writes them: ``0x4 5``."""


def seconds(text: str) -> int:
    """Return a duration in PromQL, of one number and unit like ``5m``, in seconds."""
    return int(text[:-1]) * _SECONDS[text[-1]]


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A series that Prometheus works out."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """One alert.

    Attributes:
        name: Of the alert.
        severity: Who is told.
        expression: What is wrong, in PromQL.
        lasts: For how long it must hold.
        summary: What it means.
        first: The first command to run.
        causes: What it usually comes from.
        remedy: What to do.
        halt: When to halt trading for it; empty: not for this.
        fires: Series with which it fires at ``at``.
        labels: Labels that it then has beside its severity.
        quiet: Series with which it does not.
        at: When both are judged, from the first value on.
        interval: Between two values.
    """

    name: str
    severity: AlertSeverity
    expression: str
    lasts: str = "0s"
    summary: str
    first: str
    causes: str
    remedy: str
    halt: str = ""
    fires: Series
    labels: Series = field(default_factory=dict)
    quiet: Series
    at: str = "10m"
    interval: str = "15s"
