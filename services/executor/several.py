"""Making a plan of several assets even: one asset after the other, against its quote asset. Pure.

What the fills of such a plan leave of each asset is traded against the plan's quote asset, at the
best LIVE spot book within what is left of the loss cap. The asset worth most comes first; an asset
without a price does not hold up the others. What comes before an asset counts at what trading it
away would bring now, if that is less than the plan's own valuation: what is left of the cap is
kept for it. All others count at that valuation, so that the cap bounds the loss of the whole plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from services.executor.even_orders import (
    ATTEMPTS_MAX,
    NoOrder,
    OrderIntent,
    StandsDown,
    Uneven,
    is_turned,
)
from services.executor.market import Markets
from services.executor.nets import net_base, nets_of
from services.executor.order_record import OrderRecord
from services.executor.rebalance import decide, even_out
from services.executor.state import PlanRecord
from shared.domain.fees import BPS
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.order import ZERO
from shared.messages.base import Side
from shared.messages.execution import OrderPurpose
from shared.messages.rules import InstrumentRules


def next_order(
    plan: PlanRecord,
    orders: Sequence[OrderRecord],
    markets: Markets,
    now_ns: int,
    *,
    stands_down: StandsDown = lambda venue, instrument: None,
    is_late: bool = False,
) -> OrderIntent | NoOrder:
    """Return the order that evens a plan out best, or why there is none now; see ``decide``."""
    if not plan.values:
        return decide(plan, orders, markets, now_ns, stands_down=stands_down, is_late=is_late)
    found = NoOrder.EVEN
    assets = _dearest_first(plan, orders)
    if not all(plan.values[asset] for asset in assets):
        return NoOrder.NO_PRICE  # what it is worth is not known: no loss can be bounded
    for number, asset in enumerate(assets):
        uneven = uneven_of(plan, orders, asset, markets)
        cost = sum(_cost_now(plan, orders, each, markets, now_ns) for each in assets[:number])
        uneven = uneven._replace(cash=uneven.cash - cost)
        step = even_out(uneven, markets, now_ns, stands_down=stands_down, is_late=is_late)
        if isinstance(step, OrderIntent):
            if uneven.attempts < ATTEMPTS_MAX:
                return step
            step = NoOrder.NO_PRICE
        if found is not NoOrder.NO_PRICE:
            found = step
    return found


def uneven_of(
    plan: PlanRecord, orders: Sequence[OrderRecord], asset: str, markets: Markets
) -> Uneven:
    """Return what a plan has to trade away of one asset."""
    nets = nets_of(plan, orders)
    cash = nets.get(plan.quote, ZERO)
    for other, net in nets.items():
        if other not in (asset, plan.quote):
            cash += net * plan.values.get(other, ZERO)
    # What a fee in a third asset was worth is spent, though not of the asset traded.
    for order in orders:
        quote = split_instrument(order.instrument).quote
        cash -= order.fee_other * plan.values.get(quote, Decimal(1))
    pair = {asset, plan.quote}
    own = [order for order in orders if is_between(order.instrument, pair)]
    return Uneven(
        plan=plan,
        orders=own,
        candidates=[
            rules
            for key in sorted(markets.rules)
            if is_between(key[1], pair) and (rules := markets.rules[key]).active
        ],
        net=nets.get(asset, ZERO),
        cash=cash - _opening_cash(plan),
        reference=plan.values.get(asset, ZERO),
        attempts=sum(order.purpose is not OrderPurpose.LEG for order in own),
    )


def _cost_now(
    plan: PlanRecord, orders: Sequence[OrderRecord], asset: str, markets: Markets, now_ns: int
) -> Decimal:
    """Return what trading an asset away at the best price costs beyond the plan's valuation of it.

    Zero where it brings more, or where no LIVE book says.
    """
    uneven = uneven_of(plan, orders, asset, markets)
    prices = [_price_after_fee(rules, uneven, markets, now_ns) for rules in uneven.candidates]
    known = [uneven.net * (uneven.reference - price) for price in prices if price is not None]
    return max(ZERO, min(known, default=ZERO))


def _price_after_fee(
    rules: InstrumentRules, uneven: Uneven, markets: Markets, now_ns: int
) -> Decimal | None:
    """Return what a book's best level pays or asks for a unit of the asset, fees included."""
    gives = uneven.net > 0
    sells = gives is not is_turned(rules, uneven.plan)
    side = Side.SELL if sells else Side.BUY
    price = markets.best_price((rules.venue, rules.instrument), side, now_ns)
    if price is None:
        return None
    fee = rules.taker_fee_bps / BPS
    worth = price * (1 - fee if sells else 1 + fee)
    return 1 / worth if is_turned(rules, uneven.plan) else worth


def is_between(instrument: str, pair: set[str]) -> bool:
    """Tell whether an instrument is spot and trades these two assets against each other."""
    return is_spot(instrument) and set(split_instrument(instrument)[:2]) == pair


def describe_open(plan: PlanRecord, orders: Sequence[OrderRecord]) -> str:
    """Return what a plan leaves of its assets, for an alert."""
    if not plan.values:
        return f"{net_base(plan, orders)} {plan.base}"
    nets = nets_of(plan, orders)
    return ", ".join(f"{nets[a]} {a}" for a in sorted(plan.values) if nets.get(a))


def _opening_cash(plan: PlanRecord) -> Decimal:
    """What it began with is no profit of it: it counts as paid for, at what it is worth."""
    return sum((qty * plan.values.get(a, ZERO) for a, qty in plan.openings.items()), ZERO)


def _dearest_first(plan: PlanRecord, orders: Sequence[OrderRecord]) -> list[str]:
    nets = nets_of(plan, orders)
    uneven = [asset for asset in plan.values if nets.get(asset)]
    return sorted(uneven, key=lambda asset: -abs(nets[asset] * plan.values[asset]))


def open_at_worst_by_asset(
    plan: PlanRecord, orders: Sequence[OrderRecord]
) -> tuple[dict[str, Decimal], Decimal]:
    """Return the most that may be open of each asset, either way, and what all that is worth."""
    nets = nets_of(plan, orders)
    least, most = dict(nets), dict(nets)
    for order in orders:
        if order.life.is_settled or order.life.is_terminal:
            continue
        left = order.life.qty - order.life.filled_qty
        base, quote, _ = split_instrument(order.instrument)
        cash = left * order.terms.price_limit
        gains, loses = (base, quote) if order.side is Side.BUY else (quote, base)
        amounts = {base: left, quote: cash}
        most[gains] = most.get(gains, ZERO) + amounts[gains]
        least[loses] = least.get(loses, ZERO) - amounts[loses]
    worst = {
        asset: max(abs(least.get(asset, ZERO)), abs(most.get(asset, ZERO))) for asset in plan.values
    }
    return worst, sum((qty * plan.values[asset] for asset, qty in worst.items()), ZERO)
