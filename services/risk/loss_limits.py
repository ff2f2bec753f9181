"""The rules on what may be lost, one function each, as in ``limits.py``. Pure.

Losses are those of ``equity.py``: what is open counts at executable prices. A plan passes if
there is room for the worst result of the plans in flight and of itself.
"""

from __future__ import annotations

from decimal import Decimal

from services.risk.decision_context import DecisionContext
from services.risk.equity import Equity
from services.risk.exposure import ZERO
from services.risk.loss_trips import equity_now
from services.risk.reasons import Denial, DenyReason, deny
from shared.messages.base import Certainty

MS = 1_000_000


def equity_known(context: DecisionContext) -> Denial | None:
    """All open positions in the quote asset can be valued: an unknown loss passes no limit."""
    quote = context.opportunity.quote
    valued = context.ledger.valued.get(quote)
    if valued is None or valued.certainty is not Certainty.UNKNOWN:
        return None
    return deny(DenyReason.EQUITY_UNKNOWN, quote=quote, **valued.reasons)


def daily_loss(context: DecisionContext) -> Denial | None:
    """Today's result must bear the worst of what is in flight and of this plan."""
    limit, today = context.config.daily_loss_max, _equity(context).today
    worst = today - _at_stake(context)
    if -worst > limit:
        return deny(DenyReason.DAILY_LOSS, today=today, at_worst=worst, max=limit)
    return None


def rolling_loss(context: DecisionContext) -> Denial | None:
    """The result of the last 24 hours must bear it too, where there is such a limit."""
    limit, result = context.config.rolling_loss_max, _equity(context).rolling
    worst = result - _at_stake(context)
    if limit and -worst > limit:
        return deny(DenyReason.ROLLING_LOSS, last_24_h=result, at_worst=worst, max=limit)
    return None


def drawdown(context: DecisionContext) -> Denial | None:
    """It must not take equity further below its peak than allowed, where there is a limit."""
    limit, below = context.config.drawdown_max, _equity(context).drawdown
    worst = below + _at_stake(context)
    if limit and worst > limit:
        return deny(DenyReason.DRAWDOWN, below_peak=below, at_worst=worst, max=limit)
    return None


def losing_streak(context: DecisionContext) -> Denial | None:
    """The strategy is not in the pause that follows several losses in a row."""
    strategy = context.opportunity.strategy_id
    streak = context.ledger.streaks.streaks.get(strategy)
    if streak is None or context.now_ns >= streak.ts_paused_until_ns:
        return None
    left_ms = (streak.ts_paused_until_ns - context.now_ns) // MS
    return deny(
        DenyReason.LOSING_STREAK, strategy=strategy, losses=streak.losses_before, left_ms=left_ms
    )


def _equity(context: DecisionContext) -> Equity:
    """What the quote asset has come to, with what was realized since it was last worked out."""
    return equity_now(context.ledger, context.opportunity.quote)


def _at_stake(context: DecisionContext) -> Decimal:
    """What the plans in flight in the quote asset, and this one, may lose at worst."""
    caps = ZERO
    for held in context.ledger.reservations.values():
        if held.quote == context.opportunity.quote:
            caps += held.loss_cap
    return caps + context.loss_cap
