"""Funding carry: what a round costs, how many settlements earn that, when to open and close. Pure.

A round is two legs with opposite amounts of one asset: spot against a perpetual, or two perpetuals.
What it receives per hour is what its legs receive together; rates below are what *we* get, so below
zero is what we pay.

    C  = 2 (f_a + f_b) + both spreads - (open basis - expected close basis)
    n* = ceil(C / F)          settlements until the funding has paid for the round

Book cash at settlements only; accrual is an estimate and shown apart (``funding.py``).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import NamedTuple

from shared.domain.fees import BPS
from shared.domain.funding import HOUR_NS, YEAR_HOURS, Predicted, per_hour, per_year
from shared.messages.base import Side

_ZERO = Decimal(0)
_MS = 1_000_000


class CarryCost(NamedTuple):
    """What one round costs, in basis points of its notional, term by term.

    Attributes:
        fees_bps: Of all four trades.
        spreads_bps: Of both books, each crossed once there and once back: one whole spread.
        open_basis_bps: Of the middles when it is opened: what is sold above what is bought.
        close_basis_bps: The same as it is expected when it is closed.

    Executable bases have the spreads in them already: with those, ``spreads_bps`` is 0.
    """

    fees_bps: Decimal
    spreads_bps: Decimal
    open_basis_bps: Decimal = _ZERO
    close_basis_bps: Decimal = _ZERO

    @property
    def total_bps(self) -> Decimal:
        """All of it; below zero where the basis alone pays for the round."""
        return self.fees_bps + self.spreads_bps - (self.open_basis_bps - self.close_basis_bps)


def fees_bps(first_bps: Decimal, second_bps: Decimal) -> Decimal:
    """Return the fees of a round of two legs: each is traded twice."""
    return 2 * (first_bps + second_bps)


def for_side(rate: Decimal, side: Side) -> Decimal:
    """Return what a rate brings to one side: above zero, longs pay shorts."""
    return -side.signed(rate)


def settlements_to_earn(cost: Decimal, rate: Decimal) -> int | None:
    """Return n*, how many settlements of ``rate`` earn ``cost``; ``None`` if they never do.

    Both as fractions of the same notional, or both in basis points.
    """
    if cost <= 0:
        return 0
    if rate <= 0:
        return None
    return int((cost / rate).to_integral_value(ROUND_CEILING))


def spread_per_hour(receive: Predicted, pay: Predicted) -> Decimal:
    """Return what being short the first and long the second brings per hour."""
    return per_hour(receive.rate, receive.interval_ns) - per_hour(pay.rate, pay.interval_ns)


class Apr(NamedTuple):
    """Fractions per year of the notional, without compounding."""

    gross: Decimal
    cost: Decimal
    borrow: Decimal

    @property
    def net(self) -> Decimal:
        """After costs spread over the holding, and borrow."""
        return self.gross - self.cost - self.borrow


def apr(
    earned_per_hour: Decimal, cost: Decimal, hold_hours: Decimal, *, borrow_apr: Decimal = _ZERO
) -> Apr:
    """Return what a holding earns in a year's terms.

    Args:
        earned_per_hour: Funding to us, fraction of notional.
        cost: Of the round, fraction of notional; paid once.
        hold_hours: For how long it is held, over which the cost is spread.
        borrow_apr: What is borrowed costs per year.
    """
    assert hold_hours > 0
    return Apr(per_year(earned_per_hour), cost * YEAR_HOURS / hold_hours, borrow_apr)


class Act(StrEnum):
    """What the carry rule wants."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"
    STAY = "STAY"


class Cause(StrEnum):
    """Why it wants that."""

    EARNS = "EARNS"  # every condition of an opening holds
    HISTORY = "HISTORY"  # too few settled rates, or a hole among them
    SETTLED = "SETTLED"  # the settled rates are too low
    NO_RATE = "NO_RATE"  # no prediction, or its settlement is past
    BREAK_EVEN = "BREAK_EVEN"  # it would take longer than it may be held to earn its cost
    APR = "APR"  # less than the hurdle per year
    GUARD = "GUARD"  # the next settlement would charge us, and is near
    MARGIN = "MARGIN"  # too near liquidation
    MARGIN_UNKNOWN = "MARGIN_UNKNOWN"  # nobody knows how near
    ADL = "ADL"  # the venue closed the perpetual: the other leg goes at once
    RATES = "RATES"  # enough settlements in a row predicted below the bound
    HOLDS = "HOLDS"  # nothing asks for a close


class CarryLimits(NamedTuple):
    """When a round opens and closes; rates are to us, per hour, in basis points.

    Attributes:
        enter_bps_per_hour: Least realised rate of the last settlements.
        exit_bps_per_hour: Predictions below this count towards a close.
        exit_count: Settlements in a row predicted below it that close.
        hold_hours_max: Within which the cost must be earned.
        apr_bps_min: Least net rate per year.
        guard_ms: Before a settlement that would charge us nothing is opened.
        distance_bps_min: Least distance from liquidation.
    """

    enter_bps_per_hour: Decimal
    exit_bps_per_hour: Decimal
    exit_count: int
    hold_hours_max: Decimal
    apr_bps_min: Decimal
    guard_ms: int
    distance_bps_min: Decimal


class Offer(NamedTuple):
    """What opening a round now would mean; rates and costs as fractions, to us.

    Attributes:
        settled_per_hour: Realised rate of the last settlements; ``None`` where it is not known.
        predicted: Of the leg that receives, its rate as it counts for us; ``None``: not known.
        cost: Of the round.
        borrow_apr: Per year.
        distance_bps: From liquidation that it would have; ``None``: not known.
    """

    settled_per_hour: Decimal | None
    predicted: Predicted | None
    cost: Decimal
    borrow_apr: Decimal
    distance_bps: Decimal | None


class Verdict(NamedTuple):
    """What to do, why, and the figures behind it where they could be worked out."""

    act: Act
    cause: Cause
    settlements: int | None = None
    apr: Apr | None = None


def decide_open(offer: Offer, limits: CarryLimits, now_ns: int) -> Verdict:
    """Decide whether to open a round. What is not known opens nothing."""
    settled, predicted = offer.settled_per_hour, offer.predicted
    if settled is None:
        return Verdict(Act.STAY, Cause.HISTORY)
    if predicted is None or predicted.ts_funding_ns <= now_ns:
        return Verdict(Act.STAY, Cause.NO_RATE)
    found = apr(settled, offer.cost, limits.hold_hours_max, borrow_apr=offer.borrow_apr)
    count = settlements_to_earn(offer.cost, predicted.rate)
    cause = _obstacle(offer, limits, count, found, now_ns)
    return Verdict(Act.OPEN if cause is Cause.EARNS else Act.STAY, cause, count, found)


def decide_close(
    limits: CarryLimits, *, below_count: int, distance_bps: Decimal | None, is_adl: bool
) -> Verdict:
    """Decide whether to close a round. A payment that arrived is no reason, and is not asked for.

    Args:
        limits: As configured.
        below_count: Settlements in a row predicted below the bound (``funding.Below``).
        distance_bps: From liquidation; ``None`` is not known, which is reported and closes nothing.
        is_adl: Whether the venue took (part of) the perpetual away.
    """
    if is_adl:
        return Verdict(Act.CLOSE, Cause.ADL)
    if distance_bps is not None and distance_bps < limits.distance_bps_min:
        return Verdict(Act.CLOSE, Cause.MARGIN)
    if below_count >= limits.exit_count:
        return Verdict(Act.CLOSE, Cause.RATES)
    unknown = distance_bps is None and limits.distance_bps_min > 0
    return Verdict(Act.STAY, Cause.MARGIN_UNKNOWN if unknown else Cause.HOLDS)


def _obstacle(
    offer: Offer, limits: CarryLimits, count: int | None, found: Apr, now_ns: int
) -> Cause:
    predicted = offer.predicted
    assert predicted is not None
    assert offer.settled_per_hour is not None
    if offer.settled_per_hour * BPS < limits.enter_bps_per_hour:
        return Cause.SETTLED
    guard_ns = limits.guard_ms * _MS
    if predicted.rate < 0 and predicted.ts_funding_ns - now_ns <= guard_ns:
        return Cause.GUARD
    if count is None or count * predicted.interval_ns > limits.hold_hours_max * HOUR_NS:
        return Cause.BREAK_EVEN
    if found.net * BPS < limits.apr_bps_min:
        return Cause.APR
    if limits.distance_bps_min > 0:
        if offer.distance_bps is None:
            return Cause.MARGIN_UNKNOWN
        if offer.distance_bps < limits.distance_bps_min:
            return Cause.MARGIN
    return Cause.EARNS
