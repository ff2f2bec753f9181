"""Whether what is held and lost is within bounds. Pure."""

from __future__ import annotations

from typing import Final

from shared.alerting.rule import AlertRule, AlertSeverity
from shared.config_limits import DOLLARS

_DOLLARS: Final = "|".join(DOLLARS)

MONEY: Final = (
    AlertRule(
        name="ArbUnhedged",
        severity=AlertSeverity.CRITICAL,
        expression=f'abs(sum by (asset) (arb_position_value_quote{{quote=~"{_DOLLARS}"}})) > 100 '
        "and on () arb_plans_in_flight == 0",
        lasts="30s",
        summary="More of an asset is held unhedged than should be, and no plan evens it out",
        first="arb status",
        causes="A leg that could not be hedged, a trade by hand, a strategy of single legs.",
        remedy="`arb flatten`, or trade it away at the venue; raise the bound where it is meant.",
        halt="If it grows: `arb halt`.",
        fires={
            'arb_position_value_quote{asset="BTC",venue="venue-a",quote="USDT"}': "500x60",
            'arb_position_value_quote{asset="BTC",venue="venue-b",quote="USDT"}': "-300x60",
            "arb_plans_in_flight": "0x60",
        },
        labels={"asset": "BTC"},
        quiet={
            'arb_position_value_quote{asset="BTC",venue="venue-a",quote="USDT"}': "500x60",
            'arb_position_value_quote{asset="BTC",venue="venue-b",quote="USDT"}': "-450x60",
            "arb_plans_in_flight": "0x60",
        },
    ),
    AlertRule(
        name="ArbDrawdown",
        severity=AlertSeverity.WARNING,
        expression="arb_drawdown_quote / arb_drawdown_max_quote > 0.5",
        summary="Equity is further below its peak than half of what halts trading",
        first="arb status",
        causes="Losses, or open positions whose prices moved.",
        remedy="Find out which strategy loses: `arb pnl`; halt it before the limit does.",
        halt="If you do not know why it falls.",
        fires={
            'arb_drawdown_quote{asset="USDT"}': "600x60",
            'arb_drawdown_max_quote{asset="USDT"}': "1000x60",
        },
        labels={"asset": "USDT"},
        quiet={
            'arb_drawdown_quote{asset="USDT"}': "400x60",
            'arb_drawdown_max_quote{asset="USDT"}': "1000x60",
        },
    ),
)
