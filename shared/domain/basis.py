"""Spot against a perpetual: both bases, a round's profit by terms, when to open and close. Pure.

S is spot, F the perpetual; every price is the average of the depth that the quantity walks, never
the middle and never the last:

    open basis  = F_bid / S_ask - 1    of buying spot and selling the perpetual
    close basis = F_ask / S_bid - 1    of undoing it

    profit = (F_e - S_e) - (F_x - S_x) + funding - f_s (S_e + S_x) - f_p (F_e + F_x)   per unit

A perpetual has no expiry, so convergence is not guaranteed: besides the threshold a round ends by
time, or when its short nears liquidation. A round the other way, short spot, has both signs turned
and pays for the coins it borrows.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from shared.domain.contracts import SPOT, Contract
from shared.domain.depth import ExactLevel
from shared.domain.fees import ONE_BP, fee_amount
from shared.messages.base import Side

YEAR_NS = 365 * 86_400 * 1_000_000_000
"""A market that never closes has 365 days."""
_MS = 1_000_000
_ZERO = Decimal(0)


class Sides(NamedTuple):
    """One book in Decimal, best first; quantities as the instrument trades them."""

    bids: Sequence[ExactLevel]
    asks: Sequence[ExactLevel]


class Bases(NamedTuple):
    """What opening pays and what closing costs, as fractions of the spot price.

    For a round of one direction: ``opening`` at or above a threshold opens it, ``closing`` at or
    below one closes it, whichever the direction is.
    """

    opening: Decimal
    closing: Decimal


def basis(perp: Decimal, spot: Decimal) -> Decimal:
    """Return how far a perpetual is above spot, as a fraction of spot."""
    return perp / spot - 1


def basis_bps(perp: float, spot: float) -> float:
    """Return the same as a signal, in basis points."""
    return (perp / spot - 1.0) * 1e4


def executable_bases(
    spot: Sides, perp: Sides, qty: Decimal, contract: Contract, *, side: Side = Side.BUY
) -> Bases | None:
    """Return both bases for a quantity, at the averages it would trade at.

    Args:
        spot: Book in base units.
        perp: Book in contracts.
        qty: Base units of spot.
        contract: What one contract of ``perp`` is.
        side: What an opening does on spot: BUY also sells the perpetual.

    Returns:
        ``None`` if a side does not hold the quantity.
    """
    buy_spot, sell_spot = _spot(spot.asks, qty, Side.BUY), _spot(spot.bids, qty, Side.SELL)
    if buy_spot is None or sell_spot is None:
        return None
    sell_perp = _perp(perp.bids, qty, contract, Side.SELL)
    buy_perp = _perp(perp.asks, qty, contract, Side.BUY)
    if sell_perp is None or buy_perp is None:
        return None
    low, high = basis(sell_perp, buy_spot), basis(buy_perp, sell_spot)
    return Bases(low, high) if side is Side.BUY else Bases(-high, -low)


def takeable(
    spot: Sequence[ExactLevel],
    perp: Sequence[ExactLevel],
    bound: Decimal,
    *,
    at_least: bool,
    qty_max: Decimal,
) -> Decimal:
    """Return the base units whose every unit has a basis at least (or at most) ``bound``.

    Stops at the *marginal* unit: a good first level must not pay for a bad third one.

    Args:
        spot: Side of the spot book that is taken, in base units.
        perp: Side of the perpetual's book that is taken, in base units (``Contract.in_base``).
        bound: As a fraction of spot.
        at_least: Opening a long of spot wants at least; closing it, or opening a short, at most.
        qty_max: Cap in base units.
    """
    taken = _ZERO
    spot_rows, perp_rows = iter(spot), iter(perp)
    spot_price = perp_price = spot_left = perp_left = _ZERO
    while taken < qty_max:
        if not spot_left:
            spot_price, spot_left = next(spot_rows, (_ZERO, _ZERO))
        if not perp_left:
            perp_price, perp_left = next(perp_rows, (_ZERO, _ZERO))
        if not (spot_left and perp_left):
            break  # one side has no more
        here = basis(perp_price, spot_price)
        if here < bound if at_least else here > bound:
            break
        step = min(spot_left, perp_left, qty_max - taken)
        taken += step
        spot_left -= step
        perp_left -= step
    return taken


class Prices(NamedTuple):
    """Averages of both legs at one end of a round."""

    spot: Decimal
    perp: Decimal


class LegFees(NamedTuple):
    """Fees of both legs, in basis points of what is traded."""

    spot_bps: Decimal
    perp_bps: Decimal


class Holding(NamedTuple):
    """What a round holds: ``side`` is that of its spot leg; neither quantity is signed."""

    side: Side
    spot_qty: Decimal
    contracts: Decimal
    contract: Contract


class RoundTerms(NamedTuple):
    """The profit of a round in quote units, term by term; costs are above zero."""

    spot: Decimal
    perp: Decimal
    funding: Decimal
    spot_fees: Decimal
    perp_fees: Decimal
    borrow: Decimal

    @property
    def basis(self) -> Decimal:
        """What the change of the basis brought."""
        return self.spot + self.perp

    @property
    def net(self) -> Decimal:
        """Everything together."""
        return self.basis + self.funding - self.spot_fees - self.perp_fees - self.borrow


def round_terms(
    held: Holding,
    entry: Prices,
    leave: Prices,
    fees: LegFees,
    *,
    funding: Decimal = _ZERO,
    borrow: Decimal = _ZERO,
) -> RoundTerms:
    """Return the profit of a round from ``entry`` to ``leave``.

    What an inverse perpetual earns and pays is in coins; it counts at the spot price of the end.

    Args:
        held: What it holds in between.
        entry: Averages paid and received at the opening.
        leave: The same at the closing.
        fees: Of each trade, taker or maker.
        funding: Received (paid: below zero), in the perpetual's settlement asset.
        borrow: What borrowed coins cost, in quote units.
    """
    contract, sign = held.contract, held.side.signed(Decimal(1))
    worth = leave.spot if contract.is_inverse else Decimal(1)
    perp_fees = sum(
        (contract.fee(held.contracts, prices.perp, fees.perp_bps) for prices in (entry, leave)),
        _ZERO,
    )
    spot_fees = sum(
        (fee_amount(held.spot_qty * prices.spot, fees.spot_bps) for prices in (entry, leave)),
        _ZERO,
    )
    return RoundTerms(
        spot=SPOT.profit(sign * held.spot_qty, entry.spot, leave.spot),
        perp=contract.profit(-sign * held.contracts, entry.perp, leave.perp) * worth,
        funding=funding * worth,
        spot_fees=spot_fees,
        perp_fees=perp_fees * worth,
        borrow=borrow,
    )


def round_trip_cost_bps(fees: LegFees, slippage_bps: Decimal = _ZERO) -> Decimal:
    """Return what a round costs: each leg's fee twice, and the slippage of its four trades."""
    return 2 * (fees.spot_bps + fees.perp_bps) + slippage_bps


def threshold_problem(enter_bps: Decimal, exit_bps: Decimal, cost_bps: Decimal) -> str:
    """Return why two thresholds cannot earn what a round costs, in one line; empty if they can."""
    if enter_bps - exit_bps >= cost_bps:
        return ""
    return (
        f"opening at {enter_bps} bps and closing at {exit_bps} bps earns "
        f"{enter_bps - exit_bps} bps, a round costs {cost_bps} bps; open at "
        f"{exit_bps + cost_bps} bps or more"
    )


def annualised(earned: Decimal, span_ns: int) -> Decimal:
    """Return a fraction earned over a span as a fraction per year, without compounding.

    A perpetual's basis has no date: ``span_ns`` is how long a round is expected to last.
    """
    assert span_ns > 0
    return earned * YEAR_NS / span_ns


class Move(StrEnum):
    """The action of a basis rule."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"
    STAY = "STAY"


class Why(StrEnum):
    """The reason of a decision."""

    THRESHOLD = "THRESHOLD"  # the basis is wide enough to open, or narrow enough to close
    TIME = "TIME"  # held for as long as it may be
    MARGIN = "MARGIN"  # the perpetual is, or would be, too near its liquidation
    MARGIN_UNKNOWN = "MARGIN_UNKNOWN"  # nobody knows how near it is
    BETWEEN = "BETWEEN"  # neither wide nor narrow enough


class BasisLimits(NamedTuple):
    """The thresholds and stops of one direction.

    Attributes:
        enter_bps: Opens at this opening basis or more.
        exit_bps: Closes at this closing basis or less.
        held_ms_max: Longest holding.
        distance_bps_min: Least distance of the perpetual from liquidation.
    """

    enter_bps: Decimal
    exit_bps: Decimal
    held_ms_max: int
    distance_bps_min: Decimal = _ZERO


class Decision(NamedTuple):
    """What to do and why."""

    move: Move
    why: Why


def is_over(ts_opened_ns: int, now_ns: int, held_ms_max: int) -> bool:
    """Tell whether a round has lasted for as long as it may."""
    return now_ns - ts_opened_ns >= held_ms_max * _MS


def decide_flat(bases: Bases, limits: BasisLimits, distance_bps: Decimal | None = None) -> Decision:
    """Decide without a round: open or stay.

    Args:
        bases: At the quantity that would be opened.
        limits: As configured.
        distance_bps: From liquidation that the perpetual would have; ``None`` is not known, which
            opens nothing where a least distance is asked for.
    """
    if bases.opening < limits.enter_bps * ONE_BP:
        return Decision(Move.STAY, Why.BETWEEN)
    if limits.distance_bps_min > 0:
        if distance_bps is None:
            return Decision(Move.STAY, Why.MARGIN_UNKNOWN)
        if distance_bps < limits.distance_bps_min:
            return Decision(Move.STAY, Why.MARGIN)
    return Decision(Move.OPEN, Why.THRESHOLD)


def decide_held(
    bases: Bases | None,
    limits: BasisLimits,
    *,
    ts_opened_ns: int,
    now_ns: int,
    distance_bps: Decimal | None = None,
) -> Decision:
    """Decide with an open round: close or stay. The stops come first and need no basis.

    Args:
        bases: At the round's quantity; ``None`` where no book prices it now.
        limits: As configured.
        ts_opened_ns: When the round was open.
        now_ns: Now.
        distance_bps: Of the mark from liquidation; ``None``: not known, is reported and closes
            nothing: every start begins with it.
    """
    has_margin_stop = limits.distance_bps_min > 0
    if has_margin_stop and distance_bps is not None and distance_bps < limits.distance_bps_min:
        return Decision(Move.CLOSE, Why.MARGIN)
    if is_over(ts_opened_ns, now_ns, limits.held_ms_max):
        return Decision(Move.CLOSE, Why.TIME)
    if bases is not None and bases.closing <= limits.exit_bps * ONE_BP:
        return Decision(Move.CLOSE, Why.THRESHOLD)
    unknown = has_margin_stop and distance_bps is None
    return Decision(Move.STAY, Why.MARGIN_UNKNOWN if unknown else Why.BETWEEN)


def _spot(levels: Sequence[ExactLevel], qty: Decimal, side: Side) -> Decimal | None:
    walked = SPOT.walk(levels, qty, side)
    return None if walked is None else walked.price_avg


def _perp(
    levels: Sequence[ExactLevel], qty: Decimal, contract: Contract, side: Side
) -> Decimal | None:
    """Return the average of the contracts that are ``qty`` base units at the best price."""
    if not levels:
        return None
    contracts = contract.contracts(qty, levels[0][0])
    walked = contract.walk(levels, contracts, side)
    return None if walked is None else walked.price_avg
