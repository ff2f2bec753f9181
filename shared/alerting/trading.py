"""Whether trading goes on, and its orders and results are known. Pure."""

from __future__ import annotations

from typing import Final

from shared.alerting.rule import AlertRule, AlertSeverity

_CRITICAL, _WARNING = AlertSeverity.CRITICAL, AlertSeverity.WARNING

QUIET_MAX_S: Final = 3_600

TRADING: Final = (
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
        name="ArbQuiet",
        severity=AlertSeverity.INFO,
        expression=f"time() - arb_last_opportunity_timestamp_seconds > {QUIET_MAX_S} and on () "
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
)
