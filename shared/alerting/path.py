"""Whether messages get through the bus, and in time. Pure."""

from __future__ import annotations

from typing import Final

from shared.alerting.rule import AlertRule, AlertSeverity, Series

SLOW_TIMES: Final = 3
SLOW_QUANTILE: Final = 0.99
SLOW_WINDOW: Final = "5m"
USUAL_WINDOW: Final = "1d"
"""Of whose median it may be so many times the more."""
LAG_MAX_S: Final = 5
"""Risk is 3 s behind rules that are repeated every 3 s, and none the worse for it."""
DEAD_WINDOW: Final = "10m"
P99: Final = "service:arb_tick_to_order_seconds:p99_rate5m"


def _latency(fast: str, every: str) -> Series:
    """Return buckets of tick to order: records within 5 ms, and all of them, within 50 ms."""
    name = 'arb_tick_to_order_seconds_bucket{service="executor",proc="executor-0",le="%s"}'
    return {name % "0.005": fast, name % "0.05": every, name % "+Inf": every}


_CRITICAL, _WARNING = AlertSeverity.CRITICAL, AlertSeverity.WARNING

PATH: Final = (
    AlertRule(
        name="ArbSlow",
        severity=_WARNING,
        expression=f"{P99} > {SLOW_TIMES} * quantile_over_time(0.5, {P99}[{USUAL_WINDOW}])",
        lasts="10m",
        summary="Tick to order is three times slower than its median of a day",
        first="arb latency",
        causes="Other work on the machine, swapping, a full disk under Redis.",
        remedy="deploy/README.md, on the machine; `arb latency` shows which step it is.",
        fires=_latency("0+10x240 2400x60", "0+10x240 2400+10x60"),
        labels={"service": "executor"},
        quiet=_latency("0+10x300", "0+10x300"),
        at="74m",
    ),
    AlertRule(
        name="ArbStreamLag",
        severity=_WARNING,
        expression=f"arb_stream_lag_seconds > {LAG_MAX_S}",
        lasts="1m",
        summary="A service is behind on a stream",
        first="arb status",
        causes="The service is overloaded, hangs, or is down.",
        remedy="A LATEST stream heals by itself; for exec.plan or exec.event look at the service.",
        halt="If it is exec.event and lasts: risk does not know what was filled.",
        fires={'arb_stream_lag_seconds{stream="exec.event",consumer="risk"}': "9x60"},
        labels={"stream": "exec.event", "consumer": "risk"},
        quiet={'arb_stream_lag_seconds{stream="md.instrument",consumer="risk"}': "3x60"},
    ),
    AlertRule(
        name="ArbStreamLarge",
        severity=_WARNING,
        expression="arb_stream_bytes > arb_stream_bytes_max",
        lasts="1m",
        summary="A stream is larger than its bound",
        first="arb status",
        causes="A DURABLE stream whose reader does not acknowledge is never trimmed past it.",
        remedy="Start or mend that reader; `arb status` shows who is behind.",
        fires={
            'arb_stream_bytes{stream="exec.event"}': "200x60",
            'arb_stream_bytes_max{stream="exec.event"}': "100x60",
        },
        labels={"stream": "exec.event"},
        quiet={
            'arb_stream_bytes{stream="exec.event"}': "90x60",
            'arb_stream_bytes_max{stream="exec.event"}': "100x60",
        },
    ),
    AlertRule(
        name="ArbDeadLetter",
        severity=_CRITICAL,
        expression=f"increase(arb_dead_letters_total[{DEAD_WINDOW}]) > 0",
        summary="A plan, event or command was put aside unread",
        first="arb tail alert --since 0",
        causes="It cannot be decoded, its signature is wrong, or it failed five times.",
        remedy="docs/runbook.md, on dead letters and ENTRY_UNVERIFIED.",
        halt="If signatures are wrong: somebody writes to Redis who should not.",
        fires={'arb_dead_letters_total{stream="exec.plan"}': "0x30 1x30"},
        labels={"stream": "exec.plan"},
        quiet={'arb_dead_letters_total{stream="exec.plan"}': "1x60"},
    ),
)
