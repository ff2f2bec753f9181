"""Making an uneven plan even: where to trade the difference, and at which price at most. Pure.

A plan whose fills do not match has a net base quantity. Trading it away on another venue than the
one that filled too much is a **hedge**; on the same one it is an **unwind**. Both are one decision:
among all LIVE spot books of that base and quote, and the derivatives that the plan itself traded
(see candidates.py), the best price after fees whose loss stays within the
plan's cap. The cap is exact: the worst price allowed is the one at which everything the plan has
paid and received, fees included, comes out at ``-loss_cap``.

Dust, a rest too small for any venue, is avoided where possible: an order that
would leave dust ranks behind one that would not, and dust that is there is enlarged: an order of
the least size plus the dust, whose rest of exactly the least size the next order trades back.

What a book shows need not be there. An order that filled less than half of what was shown is a
**weak attempt**; after two in a row at one venue, or one refusal, the other venues come first,
whatever that venue shows, and where all of them are weak they take turns. Prices decide among
orders large enough to be done within the attempts that are left. A venue that has refused two
orders of the plan is asked no more while there is another candidate, even one without a price now:
the plan waits for it, and only past its deadline asks the refusing venue once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from services.executor.candidates import candidate_instruments
from services.executor.market import Markets
from services.executor.state import OrderRecord, PlanKind, PlanRecord
from shared.domain.depth import qty_of, walk_quantity
from shared.domain.fees import BPS
from shared.domain.order import ZERO
from shared.domain.rounding import (
    exact,
    is_enough,
    is_multiple,
    price_to_tick,
    qty_accepted,
    qty_to_lot,
)
from shared.messages.base import Side
from shared.messages.execution import OrderPurpose, OrderStatus
from shared.messages.market import DepthView, Level
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms

ATTEMPTS_MAX = 8
"""Orders that may be tried to even out one plan."""
WEAK_SHARE = Decimal("0.5")
"""A rebalancing order that filled less of its quantity than this was a weak attempt."""
WEAK_ATTEMPTS_MAX = 2
"""Weak attempts in a row at one venue before the others are tried first."""
STANDS_DOWN_WEIGHT = WEAK_ATTEMPTS_MAX + 1
"""What stands down comes when every other venue has had this many weak attempts."""
REFUSALS_OF_PLAN_MAX = 2
"""Orders of one plan that a venue may refuse before the plan waits for the other venues; one more
once the plan is late."""
ENLARGE_ATTEMPTS = 3
"""Attempts that must be left before dust is enlarged: the rest must surely be traded back."""
MINIMUM_MARGIN = Decimal("1.25")
"""Above the least size, so that the rest is enough at a somewhat lower price too."""
SLIPPAGE_BPS = Decimal(2)
"""Room beyond the walked price at the first attempt; doubles with each one, never past the cap."""


class NoOrder(StrEnum):
    """Why there is nothing to trade."""

    EVEN = "EVEN"
    DUST = "DUST"  # too small for every venue
    NO_PRICE = "NO_PRICE"  # no LIVE book, or none within the loss cap


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An order to be: a leg, or one that would make the plan (more) even."""

    terms: OrderTerms
    fee_bps: Decimal
    purpose: OrderPurpose


class Rank(NamedTuple):
    """Where to even out first: the least rank. ``price`` is after fees, negative for a sale."""

    weak_attempts: int
    is_too_little: bool
    leaves_dust: bool
    price: Decimal


def net_base(plan: PlanRecord, orders: Sequence[OrderRecord]) -> Decimal:
    """Return the plan's signed base exposure: fills, less fees charged in the base asset."""
    return sum((order.signed_base for order in orders), plan.opening)


def net_cash(plan: PlanRecord, orders: Sequence[OrderRecord]) -> Decimal:
    """Return quote units received less paid; exposure taken over counts at the reference price."""
    return sum((order.signed_cash for order in orders), -plan.opening * plan.reference)


def is_dust(
    plan: PlanRecord,
    net: Decimal,
    candidates: Sequence[InstrumentRules],
    markets: Markets,
    now_ns: int,
) -> bool:
    """Tell whether none of these candidates accepts an order as small as ``net``.

    An instrument without rules cannot be judged: it is then not dust, the cautious reading.
    """
    known = False
    for rules in candidates:
        known = True
        price = markets.mid((rules.venue, rules.instrument), now_ns) or plan.reference
        if is_enough(rules, qty_accepted(rules, abs(net)), price):
            return False
    return known


def price_bound(net: Decimal, cash: Decimal, loss_cap: Decimal, fee_bps: Decimal) -> Decimal:
    """Return the worst price at which trading ``net`` away loses no more than ``loss_cap``.

    For a sale the least price (may be below zero: any price will do), for a purchase the highest
    (may be below zero: none will do).
    """
    qty, fee = abs(net), fee_bps / BPS
    if net > 0:
        return (-loss_cap - cash) / (qty * (1 - fee))
    return (cash + loss_cap) / (qty * (1 + fee))


def decide(
    plan: PlanRecord,
    orders: Sequence[OrderRecord],
    markets: Markets,
    now_ns: int,
    *,
    stands_down: Callable[[str, str], object] = lambda venue, instrument: None,
    is_late: bool = False,
) -> OrderIntent | NoOrder:
    """Return the order that evens the plan out best, or why there is none now.

    Where ``stands_down`` finds something at a venue and instrument, that is the last resort. A plan
    that ``is_late`` gives up rather than wait; a rest whose whole worth is within its loss cap then
    stays on record as dust.
    """
    net = net_base(plan, orders)
    if net == 0:
        return NoOrder.EVEN
    cash = net_cash(plan, orders)
    candidates = candidate_instruments(plan, orders, markets)
    willing = _willing(candidates, orders, is_late=is_late) or candidates
    if is_dust(plan, net, willing, markets, now_ns):
        enlarging = _enlarging_order(
            plan, orders, willing, markets, now_ns, stands_down=stands_down
        )
        # What is large enough only where it was refused is no dust: it must not end in silence.
        if enlarging or is_dust(plan, net, candidates, markets, now_ns):
            return enlarging or NoOrder.DUST
    weak = weak_venues(orders)
    share_min = abs(net) / max(1, ATTEMPTS_MAX - plan.attempts)
    best: tuple[Rank, OrderIntent] | None = None
    for rules in willing:
        view = markets.live_view((rules.venue, rules.instrument), now_ns)
        found = _trade_at(rules, plan, net, cash, view) if view else None
        if found is None:
            continue
        price, trade = found
        rest = abs(net) - trade.terms.qty
        is_down = bool(stands_down(rules.venue, rules.instrument))
        rank = Rank(
            weak_attempts=max(weak.get(rules.venue, 0), STANDS_DOWN_WEIGHT if is_down else 0),
            is_too_little=trade.terms.qty < share_min,
            leaves_dust=rest > 0 and is_dust(plan, rest, willing, markets, now_ns),
            price=-price if net > 0 else price,
        )
        if best is None or rank < best[0]:
            best = (rank, trade)
    if best is None and is_late and _is_covered(plan, net, cash, plan.reference):
        return NoOrder.DUST
    return best[1] if best else NoOrder.NO_PRICE


def _is_covered(plan: PlanRecord, net: Decimal, cash: Decimal, price: Decimal) -> bool:
    """Tell whether a rest may be left on record: its whole worth is within the loss cap.

    A long rest may become worth nothing, a short one cost twice ``price``.
    """
    worst_price = ZERO if net > 0 else 2 * price
    return cash + net * worst_price >= -plan.loss_cap


def _willing(
    candidates: Sequence[InstrumentRules], orders: Sequence[OrderRecord], *, is_late: bool
) -> list[InstrumentRules]:
    """Return the candidates at venues that have not refused too many of this plan's orders.

    Their price may be out of reach now, or their book not LIVE. Waiting for it uses up no attempt;
    asking a venue that refuses again would use up all of them.
    """
    refused = Counter(
        order.venue
        for order in orders
        if order.life.status in {OrderStatus.REJECTED, OrderStatus.NOT_SENT}
    )
    refusals_max = REFUSALS_OF_PLAN_MAX + is_late
    return [rules for rules in candidates if refused[rules.venue] < refusals_max]


def is_weak(order: OrderRecord) -> bool:
    """Tell whether an order that is over filled little of what the book had shown."""
    return order.life.filled_qty < order.life.qty * WEAK_SHARE


def weak_venues(orders: Sequence[OrderRecord]) -> dict[str, int]:
    """Return the venues to be passed over, with their weak attempts in a row.

    A refusal counts like as many as make a venue weak. A leg is no attempt to even out: only a
    refusal counts there.

    Args:
        orders: Of one plan, in the order they were made, all over.
    """
    weak: dict[str, int] = {}
    for order in orders:
        before = weak.get(order.venue, 0)
        if order.life.status in {OrderStatus.REJECTED, OrderStatus.NOT_SENT}:
            weak[order.venue] = before + WEAK_ATTEMPTS_MAX
        elif order.purpose is not OrderPurpose.LEG:
            weak[order.venue] = before + 1 if is_weak(order) else 0
    return {venue: count for venue, count in weak.items() if count >= WEAK_ATTEMPTS_MAX}


def _trade_at(
    rules: InstrumentRules, plan: PlanRecord, net: Decimal, cash: Decimal, view: DepthView
) -> tuple[Decimal, OrderIntent] | None:
    """Return the effective price after fees and the order at one instrument, if it can be had."""
    side = Side.SELL if net > 0 else Side.BUY
    bound = price_bound(net, cash, plan.loss_cap, rules.taker_fee_bps)
    levels = _levels_within(view.bids if net > 0 else view.asks, bound, side)
    qty = qty_accepted(rules, min(abs(net), qty_of(levels, len(levels))))
    walked = walk_quantity(levels, qty, side) if qty > 0 else None
    if walked is None or not is_enough(rules, qty, walked.price_worst):
        return None
    limit = _limit(walked.price_worst, bound, rules.tick_size, side, plan.attempts)
    fee = rules.taker_fee_bps / BPS
    effective = walked.price_avg * (1 - fee if net > 0 else 1 + fee)
    return effective, _intent(plan, rules, side, qty, limit)


def _enlarging_order(
    plan: PlanRecord,
    orders: Sequence[OrderRecord],
    candidates: Sequence[InstrumentRules],
    markets: Markets,
    now_ns: int,
    *,
    stands_down: Callable[[str, str], object],
) -> OrderIntent | None:
    """Return an order that turns dust into a rest that can be traded, if its cost is in the cap.

    Only where the dust lies on the venue's lot grid, so that both orders together leave nothing.
    """
    if plan.attempts > ATTEMPTS_MAX - ENLARGE_ATTEMPTS:
        return None
    net, cash, weak = net_base(plan, orders), net_cash(plan, orders), weak_venues(orders)
    for rules in candidates:
        view = markets.live_view((rules.venue, rules.instrument), now_ns)
        price = markets.mid((rules.venue, rules.instrument), now_ns)
        if view is None or price is None or rules.venue in weak:
            continue
        if stands_down(rules.venue, rules.instrument):
            continue
        if not is_multiple(net, rules.lot_size):
            continue
        least = _least_qty(rules, price)
        cost = 2 * (least + abs(net)) * price * (rules.taker_fee_bps + SLIPPAGE_BPS) / BPS
        if cash + net * price - cost < -plan.loss_cap:
            continue
        side = Side.SELL if net > 0 else Side.BUY
        levels = view.bids if net > 0 else view.asks
        walked = walk_quantity(levels, least + abs(net), side)
        if walked is None:
            continue
        room = walked.price_worst * SLIPPAGE_BPS * 2**plan.attempts / BPS
        limit = walked.price_worst + (room if side is Side.BUY else -room)
        limit = price_to_tick(limit, rules.tick_size, side, aggressive=True)
        return _intent(plan, rules, side, least + abs(net), limit)
    return None


def _least_qty(rules: InstrumentRules, price: Decimal) -> Decimal:
    """Return the least quantity the venue accepts at this price, with some margin, on its grid."""
    wanted = max(rules.qty_min, rules.notional_min / price, rules.lot_size) * MINIMUM_MARGIN
    return qty_to_lot(wanted, rules.lot_size) + rules.lot_size


def _levels_within(levels: Sequence[Level], bound: Decimal, side: Side) -> list[Level]:
    """Return the levels not worse than the bound."""
    if side is Side.SELL:
        return [level for level in levels if exact(level[0]) >= bound]
    return [level for level in levels if exact(level[0]) <= bound]


def _limit(worst: Decimal, bound: Decimal, tick: Decimal, side: Side, attempts: int) -> Decimal:
    """Return the limit price: the walked price with some room, never past the bound."""
    room = worst * SLIPPAGE_BPS * 2**attempts / BPS
    wanted = worst + room if side is Side.BUY else worst - room
    bounded = min(wanted, bound) if side is Side.BUY else max(wanted, bound, tick)
    limit = price_to_tick(bounded, tick, side, aggressive=False)
    # The walked level itself lies within the bound, so rounding must not fall short of it.
    return max(limit, worst) if side is Side.BUY else min(limit, worst)


def _intent(
    plan: PlanRecord, rules: InstrumentRules, side: Side, qty: Decimal, limit: Decimal
) -> OrderIntent:
    terms = OrderTerms(
        venue=rules.venue, instrument=rules.instrument, side=side, qty=qty, price_limit=limit
    )
    return OrderIntent(
        terms=terms, fee_bps=rules.taker_fee_bps, purpose=_purpose(plan, rules, side)
    )


def _purpose(plan: PlanRecord, rules: InstrumentRules, side: Side) -> OrderPurpose:
    if plan.kind is PlanKind.FLATTEN:
        return OrderPurpose.FLATTEN
    undoes = any(
        leg.market == (rules.venue, rules.instrument) and leg.side is not side for leg in plan.legs
    )
    return OrderPurpose.UNWIND if undoes else OrderPurpose.HEDGE
