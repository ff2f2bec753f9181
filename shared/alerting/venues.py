"""Whether venues answer, and their clocks and ours agree. Pure."""

from __future__ import annotations

from typing import Final

from shared.alerting.rule import AlertRule, AlertSeverity, Series

ANSWERED: Final = ("answered", "refused")
"""Results of requests that did not fail."""
ERRORS_WINDOW: Final = "5m"
ERRORS_MAX: Final = 0.05
FAILING_MAX: Final = 0.2
"""Parts of the requests to a venue that fail: a warning, and critical."""
BUDGET_USED_MAX: Final = 0.9
CLOCK_OFFSET_MAX_S: Final = 0.25
ERROR_RATIO: Final = "venue:arb_venue_requests:error_ratio_rate5m"
_CAUSES: Final = "The venue's outage, our network, a key that expired, a rate limit used up."


def _requests(answered: int, failed: int) -> Series:
    """Return requests to a venue by result, as they rise in each interval of 15 s."""
    name = (
        'arb_venue_requests_total{service="executor",proc="executor-0",venue="venue-a",'
        'kind="query",result="%s"}'
    )
    return {
        name % "answered": f"0+{answered}x60",
        name % "refused": "0+50x60",
        name % "failed": f"0+{failed}x60",
    }


VENUES: Final = (
    AlertRule(
        name="ArbVenueErrors",
        severity=AlertSeverity.WARNING,
        expression=f"{ERROR_RATIO} > {ERRORS_MAX}",
        lasts="5m",
        summary="More than a twentieth of the requests to a venue fail",
        first="arb status",
        causes=_CAUSES,
        remedy="`arb status` has the venue's words. Orders that it refuses are not counted here.",
        fires=_requests(44, 6),
        labels={"venue": "venue-a"},
        quiet=_requests(47, 3),
        at="14m",
    ),
    AlertRule(
        name="ArbVenueFailing",
        severity=AlertSeverity.CRITICAL,
        expression=f"{ERROR_RATIO} > {FAILING_MAX}",
        lasts="5m",
        summary="More than a fifth of the requests to a venue fail",
        first="arb status",
        causes=_CAUSES,
        remedy="Look at the venue's status page; its orders cannot be steered meanwhile.",
        halt="If orders are open there and it does not recover.",
        fires=_requests(20, 30),
        labels={"venue": "venue-a"},
        quiet=_requests(45, 5),
        at="14m",
    ),
    AlertRule(
        name="ArbVenueBudget",
        severity=AlertSeverity.WARNING,
        expression=f"arb_rate_budget_used_ratio > {BUDGET_USED_MAX}",
        lasts="5m",
        summary="A venue's rate limit is nearly used up",
        first="arb status",
        causes="Many orders and queries, or another program with the same key.",
        remedy="Give each program its own key; trade fewer instruments there.",
        fires={
            'arb_rate_budget_used_ratio{service="executor",proc="executor-0",'
            'venue="venue-a"}': "0.95x60"
        },
        labels={"service": "executor", "proc": "executor-0", "venue": "venue-a"},
        quiet={
            'arb_rate_budget_used_ratio{service="executor",proc="executor-0",'
            'venue="venue-a"}': "0.95x10 0.2x50"
        },
        at="14m",
    ),
    AlertRule(
        name="ArbClock",
        severity=AlertSeverity.WARNING,
        expression=f"abs(arb_venue_clock_offset_seconds) > {CLOCK_OFFSET_MAX_S}",
        lasts="2m",
        summary="A venue's clock and ours differ by more than 250 ms",
        first="arb doctor",
        causes="Of one venue: its clock, or a slow way to it. Of all: this machine's clock.",
        remedy="Set this machine's clock (chrony, NTP); move nearer to a venue that is far.",
        fires={'arb_venue_clock_offset_seconds{venue="venue-a"}': "-0.4x60"},
        labels={"venue": "venue-a"},
        quiet={'arb_venue_clock_offset_seconds{venue="venue-a"}': "0.14x60"},
    ),
)
