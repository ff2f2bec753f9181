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
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from services.executor.candidates import candidate_instruments, trades_spot
from services.executor.even_orders import (
    ATTEMPTS_MAX,
    NoOrder,
    OrderIntent,
    StandsDown,
    Uneven,
    enlarging_order,
    is_dust,
    trade_at,
)
from services.executor.market import Markets
from services.executor.nets import net_base, net_cash
from services.executor.order_record import OrderRecord
from services.executor.state import PlanRecord
from services.executor.weakness import WEAK_ATTEMPTS_MAX, weak_venues
from shared.domain.order import ZERO
from shared.messages.execution import OrderStatus
from shared.messages.rules import InstrumentRules

STANDS_DOWN_WEIGHT = WEAK_ATTEMPTS_MAX + 1
"""What stands down comes when every other venue has had this many weak attempts."""
REFUSALS_OF_PLAN_MAX = 2
"""Orders of one plan that a venue may refuse before the plan waits for the other venues; one more
once the plan is late."""


class Rank(NamedTuple):
    """Where to even out first: the least rank. ``price`` is after fees, negative for a sale."""

    weak_attempts: int
    is_too_little: bool
    leaves_dust: bool
    price: Decimal


def decide(
    plan: PlanRecord,
    orders: Sequence[OrderRecord],
    markets: Markets,
    now_ns: int,
    *,
    stands_down: StandsDown = lambda venue, instrument: None,
    is_late: bool = False,
) -> OrderIntent | NoOrder:
    """Return the order that evens the plan out best, or why there is none now.

    Where ``stands_down`` finds something at a venue and instrument, that is the last resort. A plan
    that ``is_late`` gives up rather than wait; a rest of spot whose whole worth is within its loss
    cap then stays on record as dust. A position in a derivative does not: it pays funding, and may
    be liquidated.
    """
    net = net_base(plan, orders)
    if net == 0:
        return NoOrder.EVEN
    candidates = candidate_instruments(plan, orders, markets)
    cash = net_cash(plan, orders)
    uneven = Uneven(plan, orders, candidates, net, cash, plan.reference, plan.attempts)
    return even_out(uneven, markets, now_ns, stands_down=stands_down, is_late=is_late)


def even_out(
    uneven: Uneven, markets: Markets, now_ns: int, *, stands_down: StandsDown, is_late: bool
) -> OrderIntent | NoOrder:
    """Return the order that trades one asset away best, or why there is none now."""
    orders, candidates, net = uneven.orders, uneven.candidates, uneven.net
    willing = _willing(candidates, orders, is_late=is_late) or candidates
    if is_dust(uneven, net, willing, markets, now_ns):
        enlarging = enlarging_order(uneven, willing, markets, now_ns, stands_down=stands_down)
        # What is large enough only where it was refused is no dust: it must not end in silence.
        if enlarging or is_dust(uneven, net, candidates, markets, now_ns):
            return enlarging or NoOrder.DUST
    weak = weak_venues(orders)
    share_min = abs(net) / max(1, ATTEMPTS_MAX - uneven.attempts)
    best: tuple[Rank, OrderIntent] | None = None
    for rules in willing:
        view = markets.live_view((rules.venue, rules.instrument), now_ns)
        found = trade_at(rules, uneven, view) if view else None
        if found is None:
            continue
        price, done, trade = found
        rest = abs(net) - done
        is_down = bool(stands_down(rules.venue, rules.instrument))
        rank = Rank(
            weak_attempts=max(weak.get(rules.venue, 0), STANDS_DOWN_WEIGHT if is_down else 0),
            is_too_little=done < share_min,
            leaves_dust=rest > 0 and is_dust(uneven, rest, willing, markets, now_ns),
            price=-price if net > 0 else price,
        )
        if best is None or rank < best[0]:
            best = (rank, trade)
    if best is None and is_late and _is_covered(uneven) and trades_spot(uneven.plan, orders):
        return NoOrder.DUST
    return best[1] if best else NoOrder.NO_PRICE


def _is_covered(uneven: Uneven) -> bool:
    """Tell whether a rest may be left on record: its whole worth is within the loss cap.

    A long rest may become worth nothing, a short one cost twice its price.
    """
    worst_price = ZERO if uneven.net > 0 else 2 * uneven.reference
    return uneven.cash + uneven.net * worst_price >= -uneven.plan.loss_cap


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
