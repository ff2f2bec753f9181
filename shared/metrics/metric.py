"""What a metric of the exporter is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LIMIT_S: Final = 5.0
"""What comes every second (heartbeats, reports, statuses) is told while it is not older."""
BOOKS_LIMIT_S: Final = 15.0
"""Books are looked at every five seconds."""
HOST_LIMIT_S: Final = 15.0
"""The host as well."""


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Where a figure comes from, and so when it is absent."""

    SELF = "always"
    BEAT = "while the process sends heartbeats (5 s)"
    SEEN = "once seen; kept, because a time does not go stale"
    COUNT = "while Redis is read; counted since the exporter started"
    KEPT = "counted since the exporter started, and kept without Redis"
    RISK = "while risk reports (5 s)"
    EXECUTOR = "while the executor reports (5 s)"
    STATUS = "while the venue's feed reports (5 s)"
    BOOKS = "while books are read (15 s)"
    HOST = "while the host is read (15 s), and tells it"
    BUS = "while Redis is read (5 s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row.

    Attributes:
        name: As it is exposed; a counter's ends in ``_total``.
        kind: Counter, gauge or histogram.
        source: Where it comes from.
        text: What it means, with its unit.
        labels: Names of its labels, in order.
        series_max: Sets of label values that it may have; further ones become ``other`` in a
            counter, are left out of a gauge, and are counted.
    """

    name: str
    kind: Kind
    source: Source
    text: str
    labels: tuple[str, ...] = ()
    series_max: int = 64
