"""Who is told by Alertmanager, how often, and what a cause keeps quiet of its consequences. Pure.

``python -m deploy.alertmanager`` writes ``deploy/prometheus/alertmanager.yml`` from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.alerting.rule import AlertSeverity


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where alerts of one severity go.

    Attributes:
        severity: Of the alerts.
        receiver: Who is told.
        wait: From the first of a group to its message.
        interval: Between two messages about one group that has changed.
        repeat: Until one that goes on is told again.
    """

    severity: AlertSeverity
    receiver: str
    wait: str = "10s"
    interval: str = "1m"
    repeat: str = "4h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """A cause that is told, and what follows from it and is not.

    Attributes:
        cause: The alert.
        services: Of the cause; empty: whatever it is about.
        consequences: Alerts that are kept quiet while it fires.
        equal: Labels in which both must agree.
        consumers: Of the consequence, where it is about the reader of a stream.
    """

    cause: str
    services: tuple[str, ...] = ()
    consequences: tuple[str, ...]
    equal: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()


GROUP_BY: Final = ("alertname", "venue")
ROUTES: Final = (
    # More often than `arb watch` misses it.
    Route(severity=AlertSeverity.NONE, receiver="watchdog", wait="0s", interval="30s", repeat="1m"),
    Route(severity=AlertSeverity.CRITICAL, receiver="page", repeat="30m"),
    Route(severity=AlertSeverity.WARNING, receiver="chat"),
    Route(severity=AlertSeverity.INFO, receiver="digest", wait="5m", interval="1h", repeat="24h"),
)
_FEED: Final = ("ArbFeedSilent", "ArbBooksUntrusted", "ArbQuiet")
INHIBITIONS: Final = (
    Inhibition(
        cause="ArbBusDown",
        consequences=("ArbDown", "ArbNotReady", "ArbStreamLag", "ArbFeedsSilent", *_FEED),
    ),
    Inhibition(
        cause="ArbDown", consequences=("ArbNotReady", "ArbFlapping"), equal=("service", "proc")
    ),
    Inhibition(cause="ArbDown", services=("ingestor",), consequences=_FEED),
    Inhibition(
        cause="ArbDown", services=("orderbook",), consequences=("ArbBooksUntrusted", "ArbQuiet")
    ),
    Inhibition(cause="ArbDown", services=("scanner",), consequences=("ArbQuiet",)),
    *(
        Inhibition(
            cause="ArbDown",
            services=(service,),
            consequences=("ArbStreamLag",),
            consumers=(service,),
        )
        for service in ("orderbook", "scanner", "risk", "executor", "recorder")
    ),
    Inhibition(cause="ArbFeedsSilent", consequences=("ArbFeedSilent",)),
)
