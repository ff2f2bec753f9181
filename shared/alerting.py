"""THE TABLE OF ALERTS: what of the metrics is wrong, for how long, and what to do about it. Pure.

``python -m deploy.alert_rules`` writes ``deploy/prometheus/rules.yml`` and ``docs/alerts.md``. Each
row carries a case in which it fires and one in which it is quiet; the tests let promtool judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class AlertSeverity(StrEnum):
    """Who is told: critical wakes somebody, warning is read, info is a digest."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    NONE = "none"  # it always fires, and proves that alerts arrive


Series = Mapping[str, str]
"""A series of metrics and its values, as promtool writes them: ``0x4 5``."""


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


_P99: Final = "service:arb_tick_to_order_seconds:p99_rate5m"

RECORDING_RULES: Final = (
    RecordingRule("proc:arb_feed_frames:rate1m", "sum by (proc) (rate(arb_feed_frames_total[1m]))"),
    RecordingRule(
        _P99,
        "histogram_quantile(0.99, sum by (service, le) "
        "(rate(arb_tick_to_order_seconds_bucket[5m])))",
    ),
)


def _latency(fast: str, every: str) -> Series:
    """Return buckets of tick to order: records within 5 ms, and all of them, within 50 ms."""
    name = 'arb_tick_to_order_seconds_bucket{service="executor",proc="executor-0",le="%s"}'
    return {name % "0.005": fast, name % "0.05": every, name % "+Inf": every}


_CRITICAL, _WARNING = AlertSeverity.CRITICAL, AlertSeverity.WARNING

ALERT_RULES: Final = (
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
        name="ArbFlapping",
        severity=_WARNING,
        expression="increase(arb_restarts_total[10m]) > 3",
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
        name="ArbHalted",
        severity=_CRITICAL,
        expression='arb_trading_state{state="HALTED"} == 1 unless on () '
        'arb_halt_cause{cause="OPERATOR"} == 1',
        lasts="1m",
        summary="Trading is halted, and not by an operator",
        first="arb status",
        causes="A limit on losses, a plan that failed, data that Redis lost, a start that waits.",
        remedy="docs/denials.md explains the cause that `arb status` names; then `arb resume`.",
        fires={
            'arb_trading_state{state="HALTED"}': "1x60",
            'arb_halt_cause{cause="DRAWDOWN"}': "1x60",
        },
        labels={"state": "HALTED"},
        quiet={
            'arb_trading_state{state="HALTED"}': "1x60",
            'arb_halt_cause{cause="OPERATOR"}': "1x60",
        },
    ),
    AlertRule(
        name="ArbCriticalAlert",
        severity=_CRITICAL,
        # A series that begins has no increase: what is there now and was not then counts as well.
        expression='increase(arb_alerts_total{severity="critical"}[5m]) > 0 or '
        '(arb_alerts_total{severity="critical"} unless arb_alerts_total offset 5m)',
        summary="A service raised a critical alert",
        first="arb tail alert --since 0",
        causes="Its own text has the numbers: an unhedged rest, an odd position, an account.",
        remedy="docs/runbook.md has a row for each code.",
        halt="If the row says so, or a position is not ours.",
        fires={
            'arb_alerts_total{service="risk",severity="critical",code="PLAN_FAILED"}': "_x30 1x30"
        },
        labels={"service": "risk", "code": "PLAN_FAILED"},
        quiet={
            'arb_alerts_total{service="risk",severity="critical",code="PLAN_FAILED"}': "1x60",
            'arb_alerts_total{service="risk",severity="warning",code="SLOW"}': "0+1x60",
        },
    ),
    AlertRule(
        name="ArbOrderUnsettled",
        severity=_CRITICAL,
        expression="arb_orders_unsettled > 0",
        lasts="1m",
        summary="The outcome of an order is not known",
        first="arb orders --json",
        causes="The venue's answer was lost, and it does not answer the query either.",
        remedy="The executor goes on asking. Look at the venue's own page.",
        halt="If it lasts and the venue answers others.",
        fires={"arb_orders_unsettled": "1x60"},
        quiet={"arb_orders_unsettled": "0x10 1x2 0x48"},
        at="14m",
    ),
    AlertRule(
        name="ArbMoneyUnknown",
        severity=_WARNING,
        expression="arb_money_unknown == 1",
        lasts="10m",
        summary="A part of the results is not known",
        first="arb status",
        causes="A position without a price, a fee that nothing prices, funding not read.",
        remedy="`arb status` names the part; mend its source. Until then it is in no figure.",
        fires={"arb_money_unknown": "1x80"},
        quiet={"arb_money_unknown": "1x20 0x60"},
        at="15m",
    ),
    AlertRule(
        name="ArbFeedSilent",
        severity=_WARNING,
        expression="arb_feed_up == 0",
        lasts="30s",
        summary="A venue's market data is down",
        first="arb books",
        causes="The venue's outage or maintenance, the network, a block of our address.",
        remedy="It reconnects by itself. Books of the venue price nothing meanwhile.",
        fires={'arb_feed_up{venue="venue-a"}': "0x60"},
        labels={"venue": "venue-a"},
        quiet={'arb_feed_up{venue="venue-a"}': "1x60"},
    ),
    AlertRule(
        name="ArbFeedsSilent",
        severity=_CRITICAL,
        expression="count(arb_feed_up == 0) >= 2",
        lasts="30s",
        summary="Market data of two or more venues is down",
        first="arb books",
        causes="Our network, name service or clock rather than the venues.",
        remedy="Look at the machine's network first.",
        halt="If orders are open: nothing is known of the prices.",
        fires={'arb_feed_up{venue="venue-a"}': "0x60", 'arb_feed_up{venue="venue-b"}': "0x60"},
        quiet={'arb_feed_up{venue="venue-a"}': "0x60", 'arb_feed_up{venue="venue-b"}': "1x60"},
    ),
    AlertRule(
        name="ArbVenueOrdersDown",
        severity=_WARNING,
        expression="arb_venue_orders_up == 0",
        lasts="1m",
        summary="The executor sends no new orders to a venue",
        first="arb status",
        causes="It refuses orders, its account cannot be read, or it answers late.",
        remedy="`arb status` has the venue's reason; `arb resume` probes at once.",
        fires={'arb_venue_orders_up{venue="venue-a"}': "0x60"},
        labels={"venue": "venue-a"},
        quiet={'arb_venue_orders_up{venue="venue-a"}': "1x60"},
    ),
    AlertRule(
        name="ArbBooksUntrusted",
        severity=_WARNING,
        expression='sum by (venue) (arb_books{state!="LIVE"}) / sum by (venue) (arb_books) > 0.2',
        lasts="2m",
        summary="More than a fifth of a venue's books are not LIVE",
        first="arb books",
        causes="Gaps that do not heal, instruments that are not traded, a slow snapshot.",
        remedy="`arb books` has each book's reason.",
        fires={
            'arb_books{venue="venue-a",state="LIVE"}': "3x60",
            'arb_books{venue="venue-a",state="GAP"}': "1x60",
        },
        labels={"venue": "venue-a"},
        quiet={
            'arb_books{venue="venue-a",state="LIVE"}': "4x60",
            'arb_books{venue="venue-a",state="GAP"}': "1x60",
        },
    ),
    AlertRule(
        name="ArbQuiet",
        severity=AlertSeverity.INFO,
        expression="time() - arb_last_opportunity_timestamp_seconds > 3600 and on () "
        'sum(arb_books{state="LIVE"}) > 0',
        summary="No opportunity for an hour, with books LIVE",
        first="arb tail arb.nearmiss",
        causes="A quiet market, or a limit that nothing passes.",
        remedy="arb_near_misses_total by gate shows what stops them.",
        fires={
            "arb_last_opportunity_timestamp_seconds": "0x300",
            'arb_books{venue="venue-a",state="LIVE"}': "4x300",
        },
        quiet={
            "arb_last_opportunity_timestamp_seconds": "0x300",
            'arb_books{venue="venue-a",state="LIVE"}': "0x300",
        },
        at="70m",
    ),
    AlertRule(
        name="ArbSlow",
        severity=_WARNING,
        expression=f"{_P99} > 3 * quantile_over_time(0.5, {_P99}[1d])",
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
        # Risk is 3 s behind rules that are repeated every 3 s, and none the worse for it.
        expression="arb_stream_lag_seconds > 5",
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
        expression="increase(arb_dead_letters_total[10m]) > 0",
        summary="A plan, event or command was put aside unread",
        first="arb tail alert --since 0",
        causes="It cannot be decoded, its signature is wrong, or it failed five times.",
        remedy="docs/runbook.md, on dead letters and ENTRY_UNVERIFIED.",
        halt="If signatures are wrong: somebody writes to Redis who should not.",
        fires={'arb_dead_letters_total{stream="exec.plan"}': "0x30 1x30"},
        labels={"stream": "exec.plan"},
        quiet={'arb_dead_letters_total{stream="exec.plan"}': "1x60"},
    ),
    AlertRule(
        name="ArbSeriesOverflow",
        severity=_WARNING,
        expression="increase(arb_series_overflow_total[10m]) > 0",
        summary="A metric has more label values than its bound, and leaves some out",
        first="arb status",
        causes="More assets, strategies or processes than metrics were made for.",
        remedy="Raise `series_max` of the metric in services/exporter/metrics.py.",
        fires={'arb_series_overflow_total{metric="arb_exposure_base"}': "0+1x60"},
        labels={"metric": "arb_exposure_base"},
        quiet={'arb_series_overflow_total{metric="arb_exposure_base"}': "5x60"},
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
