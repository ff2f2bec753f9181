"""Whether processes run: the exporter, Redis, services, and that alerts arrive. Pure."""

from __future__ import annotations

from typing import Final

from shared.alerting.rule import AlertRule, AlertSeverity, Series
from shared.services import SERVICES

_CRITICAL, _WARNING = AlertSeverity.CRITICAL, AlertSeverity.WARNING
_BEAT: Final = "arb_heartbeat_timestamp_seconds"
_ABSENT: Final = " or ".join(f'absent({_BEAT}{{service="{name}"}})' for name in SERVICES)


def _beating(*services: str) -> Series:
    return {f'{_BEAT}{{service="{name}",proc="{name}-0"}}': "0+15x60" for name in services}


FLAPPING_WINDOW: Final = "10m"
FLAPPING_MAX: Final = 3
"""Restarts of a process within it."""
OVERFLOW_WINDOW: Final = "10m"
CHANNEL_SILENT_DAYS: Final = 8
"""A test is sent once a week."""

PROCESSES: Final = (
    AlertRule(
        name="ArbExporterDown",
        severity=_CRITICAL,
        expression="absent(arb_up)",
        lasts="1m",
        summary="Nothing is known: the exporter does not answer",
        first="arb status",
        causes="The exporter or the whole machine is down, or Prometheus cannot reach its port.",
        remedy="Start the exporter; it needs nothing else to answer. Trading goes on without it.",
        fires={"arb_ready": "0x60"},
        quiet={"arb_up": "1x60"},
    ),
    AlertRule(
        name="ArbBusDown",
        severity=_CRITICAL,
        expression="arb_up == 0",
        lasts="30s",
        summary="Redis cannot be read: every service waits for it",
        first="arb status",
        causes="Redis is down, full, hangs, or refuses the exporter's user.",
        remedy="Start Redis, or mend what its log says. Services go on by themselves.",
        halt="It is halted by itself: no order leaves that Redis does not hold.",
        fires={"arb_up": "1x10 0x50"},
        quiet={"arb_up": "1x60"},
    ),
    AlertRule(
        name="ArbDown",
        severity=_CRITICAL,
        # As old as it was when it was scraped: until the next scrape it ages here alone.
        expression="timestamp(arb_heartbeat_timestamp_seconds) - arb_heartbeat_timestamp_seconds "
        "> 5 and on () arb_up == 1",
        lasts="15s",
        summary="A process sends no heartbeats",
        first="arb status",
        causes="It ended and is not started again, or hangs.",
        remedy="Read its log, start it again. It resumes from what Redis holds.",
        halt="If it is risk or the executor and does not come back: `arb kill`.",
        fires={
            "arb_up": "1x60",
            'arb_heartbeat_timestamp_seconds{service="risk",proc="risk-0"}': "0x60",
        },
        labels={"service": "risk", "proc": "risk-0"},
        quiet={
            "arb_up": "1x60",
            'arb_heartbeat_timestamp_seconds{service="risk",proc="risk-0"}': "0+60x60",
        },
        interval="1m",
        at="10m45s",
    ),
    AlertRule(
        name="ArbMissing",
        severity=_CRITICAL,
        expression=f"({_ABSENT}) and on () arb_up == 1",
        lasts="2m",
        summary="No process of a service was heard for an hour, or since the exporter started",
        first="arb status",
        causes="It was never started, or ended long ago: then ArbDown is over, and this goes on.",
        remedy="Start it. Without it nothing is traded, or what is open is not watched.",
        fires={"arb_up": "1x60", **_beating(*SERVICES[:-1])},
        labels={"service": SERVICES[-1]},
        quiet={"arb_up": "1x60", **_beating(*SERVICES)},
    ),
    AlertRule(
        name="ArbNotReady",
        severity=_WARNING,
        expression="arb_ready == 0",
        lasts="2m",
        summary="A process runs, but does not do its work",
        first="arb status",
        causes="It waits: for a venue, a lease, a recovery. `arb status` has its own words for it.",
        remedy="Mend what it waits for.",
        fires={'arb_ready{service="executor",proc="executor-0"}': "0x60"},
        labels={"service": "executor", "proc": "executor-0"},
        quiet={'arb_ready{service="executor",proc="executor-0"}': "0x4 1x56"},
    ),
    AlertRule(
        name="ArbRestarted",
        severity=_WARNING,
        expression='increase(arb_restarts_total{service=~"risk|executor"}[5m]) > 0',
        summary="A process ended and another one took its place",
        first="arb status",
        causes="A failure, the kernel short of memory, somebody who restarted it.",
        remedy="Read the last lines of its log; nothing is to be done if it was asked to.",
        fires={'arb_restarts_total{service="executor",proc="executor-0"}': "0x30 1x30"},
        labels={"service": "executor", "proc": "executor-0"},
        quiet={'arb_restarts_total{service="executor",proc="executor-0"}': "1x60"},
    ),
    AlertRule(
        name="ArbFlapping",
        severity=_WARNING,
        expression=f"increase(arb_restarts_total[{FLAPPING_WINDOW}]) > {FLAPPING_MAX}",
        summary="A process was started more than three times in ten minutes",
        first="arb tail alert --since 0",
        causes="It ends soon after each start.",
        remedy="Read the last lines of its log: a failure is one line there.",
        halt="If it is the executor and orders are open.",
        fires={'arb_restarts_total{service="risk",proc="risk-0"}': "0+1x60"},
        labels={"service": "risk", "proc": "risk-0"},
        quiet={'arb_restarts_total{service="risk",proc="risk-0"}': "0x20 1x20 2x20"},
    ),
    AlertRule(
        name="ArbSeriesOverflow",
        severity=_WARNING,
        expression=f"increase(arb_series_overflow_total[{OVERFLOW_WINDOW}]) > 0",
        summary="A metric has more label values than its bound, and leaves some out",
        first="arb status",
        causes="More assets, strategies or processes than metrics were made for.",
        remedy="Raise `series_max` of the metric in shared/metrics/table.py.",
        fires={'arb_series_overflow_total{metric="arb_exposure_base"}': "0+1x60"},
        labels={"metric": "arb_exposure_base"},
        quiet={'arb_series_overflow_total{metric="arb_exposure_base"}': "5x60"},
    ),
    AlertRule(
        name="ArbChannelSilent",
        severity=_WARNING,
        expression="time() - arb_notify_last_ok_timestamp_seconds > "
        f"{CHANNEL_SILENT_DAYS} * 24 * 3600",
        summary="A channel of the notifier took no message for a week, not even the test",
        first="arb status",
        causes="A token or address that is not valid any more, a chat that is gone.",
        remedy="`arb status` has the provider's reason; docs/notifier.md, on channels.",
        fires={'arb_notify_last_ok_timestamp_seconds{channel="phone"}': "-700000x60"},
        labels={"channel": "phone"},
        quiet={'arb_notify_last_ok_timestamp_seconds{channel="phone"}': "-600000x60"},
    ),
    AlertRule(
        name="ArbWatchdog",
        severity=AlertSeverity.NONE,
        expression="vector(1)",
        summary="Always fires: who no longer hears it knows that alerts do not arrive",
        first="amtool alert",
        causes="None.",
        remedy="Send it to a dead man's switch on another machine.",
        fires={"arb_up": "1x60"},
        quiet={},
    ),
)
