"""Plans that the executor opens itself: to even out late fills, and to flatten. Pure.

No opportunity gave them a loss cap, so it is a share of what they trade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from services.executor.ids import attempt_after_loss, plan_key
from services.executor.market import Markets
from services.executor.order_record import OrderRecord
from services.executor.state import ExecutorState, PlanKind, PlanRecord
from shared.accounts.gateway import FillReport
from shared.config_limits import DOLLARS
from shared.domain.accounting import holding_key, holding_place, signed_qty
from shared.domain.fees import BPS
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.order import ZERO
from shared.domain.quantities import is_inverse, worth_of
from shared.messages.execution import OPERATOR_STRATEGY
from shared.messages.terms import OrderTerms

OWN_LOSS_BPS: Final = Decimal(100)
"""Loss cap, of notional, where none was given: adopted orders, late fills, FLATTEN."""
OWN_LOSS_MIN: Final = Decimal(1)
"""Least such cap in dollars: what sweeping up a rest below the venues' least size may cost."""
ONE: Final = Decimal(1)


class ClosingPlans:
    """Opens plans in ``state``; what they do next is up to the PlanRunner, as with any other.

    ``dollars`` are the assets that ``OWN_LOSS_MIN`` is counted in.
    """

    def __init__(
        self, state: ExecutorState, markets: Markets, dollars: Sequence[str] = DOLLARS
    ) -> None:
        self._state, self._markets, self._dollars = state, markets, dollars

    def open_for_news(
        self,
        late: Iterable[tuple[OrderRecord, FillReport]],
        closed_twice: Iterable[tuple[str, FillReport]],
        now_ns: int,
    ) -> list[str]:
        """Open plans for late fills, and what a venue closed before we did; return their ids."""
        opened = [self.open_for_late_fill(*each, now_ns) for each in late]
        return opened + [self.open_for_reduction(*each, now_ns) for each in closed_twice]

    def open_for_late_fill(self, order: OrderRecord, fill: FillReport, now_ns: int) -> str:
        """Open a plan that will even out a late fill of a finished one; return its id.

        The id follows from the fill, so that after a loss of records orders of this very plan,
        found at the venues before the fill was, turn out to be its own.
        """
        base, quote, _ = split_instrument(order.instrument)
        in_coins = is_inverse(order.instrument)
        is_in_base = fill.fee is not None and fill.fee_asset == base and not in_coins
        fee_base = (fill.fee or ZERO) if is_in_base else ZERO
        notional = worth_of(order.instrument, fill.qty, fill.price)
        entry = (order.inverse_entry or fill.price) if in_coins else ZERO
        opening = signed_qty(order.side, fill.qty) - fee_base
        opening_cash = -signed_qty(order.side, notional)
        reason = f"late fill of {order.client_order_id}"
        values = self._state.plans[order.plan_id].values
        openings = _openings(order, fill, values)
        plan_id = plan_key(f"late {order.venue} {fill.trade_id} {order.client_order_id}")
        owner = self._state.plans[order.plan_id]
        adopted = self._state.plans.get(plan_id)
        if adopted is not None and adopted.is_open:
            adopted.opening, adopted.opening_cash = opening, opening_cash
            adopted.reference, adopted.reason = fill.price, reason
            adopted.inverse_entry = entry
            adopted.holding = holding_key(order.venue, order.instrument) if entry else ""
            if openings:
                adopted.opening = adopted.opening_cash = ZERO
                adopted.quote = self._state.plans[order.plan_id].quote
                adopted.values, adopted.openings = dict(values), openings
            adopted.strategy, adopted.round_id = owner.strategy, owner.round_id
            adopted.late_of = owner.plan_id
            return plan_id
        if self._state.is_known(plan_id):  # its orders were evened out without the fill
            plan_id = plan_key(f"{plan_id} {now_ns}")
        plan = PlanRecord(
            plan_id=plan_id,
            kind=PlanKind.ADOPTED,
            base=base,
            quote=quote,
            legs=[],
            loss_cap=self._loss_cap(notional, quote, now_ns),
            reference=fill.price,
            ts_started_ns=now_ns,
            opening=opening,
            opening_cash=opening_cash,
            attempt_next=attempt_after_loss(now_ns),
            reason=reason,
            holding=holding_key(order.venue, order.instrument),
            strategy=owner.strategy,
            round_id=owner.round_id,
            late_of=owner.plan_id,
            inverse_entry=entry,
        )
        if openings:
            price = values.get(quote, Decimal(1))
            plan.opening = plan.opening_cash = ZERO
            plan.base, plan.quote = owner.base, owner.quote
            plan.values, plan.openings, plan.holding = dict(values), openings, ""
            plan.loss_cap = self._loss_cap(notional * price, plan.quote, now_ns)
        self._state.add_plan(plan)
        return plan.plan_id

    def open_for_reduction(self, venue: str, fill: FillReport, now_ns: int) -> str:
        """Open a plan that closes what a venue's own order opened; return its id.

        It closed what we closed a moment later, before anybody had told us.
        """
        base, quote, _ = split_instrument(fill.instrument)
        key = fill.key_at(venue)
        plan_id = plan_key(f"reduced {' '.join(key)}")
        of_trade = plan_key(f"reduced {' '.join(key.trade)}")
        if self._state.is_known(of_trade):  # a version that named it by the trade has begun it
            plan_id = of_trade
        reason = f"{venue} had closed it before we did: {fill.trade_id}"
        opening = fill.side.signed(fill.qty)
        notional = worth_of(fill.instrument, fill.qty, fill.price)
        plan = self._state.plans.get(plan_id)
        if plan is None or not plan.is_open:
            if self._state.is_known(plan_id):  # its orders were evened out without the fill
                plan_id = plan_key(f"{plan_id} {now_ns}")
            plan = PlanRecord(
                plan_id=plan_id,
                kind=PlanKind.ADOPTED,
                base=base,
                quote=quote,
                legs=[],
                loss_cap=self._loss_cap(notional, quote, now_ns),
                reference=fill.price,
                ts_started_ns=now_ns,
                attempt_next=attempt_after_loss(now_ns),
            )
            self._state.add_plan(plan)
        plan.holding, plan.reason = holding_key(venue, fill.instrument), reason
        plan.opening, plan.opening_cash = opening, -fill.side.signed(notional)
        plan.inverse_entry = fill.price if is_inverse(fill.instrument) else ZERO
        return plan_id

    def flatten(self, command_id: str, key: str, qty: Decimal, now_ns: int) -> PlanRecord | None:
        """Open a plan that closes one holding: a position in a derivative, or a rest of spot.

        ``None`` if nothing prices it yet. The id holds the time: a command that comes again after
        a loss of records meets the plan its first orders were adopted into.
        """
        venue, instrument = holding_place(key)
        base, quote, _ = split_instrument(instrument)
        price = self.price_of(key, now_ns)
        if price is None:
            return None
        # Dollars held against tethers are traded in USDT/USD, as the rest of a plan of several is.
        spot = (is_spot(rules.instrument) for rules in self._markets.tradable(base, quote))
        is_turned = not venue and not any(spot)
        held = self._state.books.holdings.get(key)
        entry = held.inverse_entry if held is not None and is_inverse(instrument) else None
        notional = worth_of(instrument, abs(qty), price)
        plan = PlanRecord(
            plan_id=plan_key(f"flatten {command_id} {key} {now_ns}"),
            kind=PlanKind.FLATTEN,
            base=base,
            quote=quote,
            legs=[],
            loss_cap=self._loss_cap(notional, quote, now_ns),
            reference=price,
            ts_started_ns=now_ns,
            opening=qty,
            opening_cash=-self._state.books.cost_of(key, qty),
            reason=f"flatten {command_id}",
            holding=key,
            strategy=OPERATOR_STRATEGY,
            inverse_entry=entry or (price if is_inverse(instrument) else ZERO),
        )
        if is_turned:
            plan.opening = plan.opening_cash = ZERO
            plan.values, plan.openings, plan.holding = {base: price}, {base: qty}, ""
        self._state.add_plan(plan)
        return plan

    def price_of(self, key: str, now_ns: int) -> Decimal | None:
        """Return what books say of a holding's price now."""
        venue, instrument = holding_place(key)
        if venue:
            return self._markets.mid((venue, instrument), now_ns)
        return self._markets.price_either_way(*split_instrument(instrument)[:2], now_ns)

    def _loss_cap(self, notional: Decimal, quote: str, now_ns: int) -> Decimal:
        """Return how much closing ``notional`` may lose, in the quote asset.

        The lower bound of the cap is in dollars. Where no book prices a dollar in the quote asset
        there is no lower bound: the same number of bitcoins would be far too much.
        """
        prices = (self._markets.price_either_way(quote, each, now_ns) for each in self._dollars)
        price = ONE if quote in self._dollars else next(filter(None, prices), None)
        least = OWN_LOSS_MIN / price if price else ZERO
        return max(notional * OWN_LOSS_BPS / BPS, least)


def _openings(
    order: OrderRecord, fill: FillReport, values: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return what a late fill of a plan of several assets brought in of each; empty for others."""
    if not values:
        return {}
    base, quote, _ = split_instrument(order.instrument)
    changes = {
        base: signed_qty(order.side, fill.qty),
        quote: -signed_qty(order.side, fill.price * fill.qty),
    }
    if fill.fee is not None and fill.fee_asset in changes:
        changes[fill.fee_asset] -= fill.fee
    return {asset: amount for asset, amount in changes.items() if asset in values}


def entry_of_closed(state: ExecutorState, terms: OrderTerms, price: Decimal) -> Decimal:
    """Return the entry at which inverse contracts of an order count as coins; 0 for other kinds.

    Of an order found without its plan it is that of the holding that it reduces, else its price.
    """
    if not is_inverse(terms.instrument):
        return ZERO
    held = state.books.holdings.get(holding_key(terms.venue, terms.instrument))
    if held is None or held.qty * terms.signed_qty >= 0:
        return price
    return held.inverse_entry or price


def widen_adopted(plan: PlanRecord, markets: Markets, now_ns: int) -> None:
    """Turn a plan found at the venues into one of several assets, if its orders are in several.

    The asset that the plan started in is not on record. It is taken to be the asset that is least
    often a base asset and in which the others are priced; their values are those of the books now.
    Without a price nothing is traded, and the plan fails.
    """
    names = [split_instrument(leg.instrument) for leg in plan.legs]
    if len({name[:2] for name in names}) < 2:
        return
    bases = Counter(name.base for name in names)
    assets = dict.fromkeys(asset for name in names for asset in name[:2])

    def rank(asset: str) -> tuple[int, int, str]:
        unpriced = sum(markets.price(other, asset, now_ns) is None for other in assets)
        return bases[asset], unpriced, asset

    quote = min(assets, key=rank)
    plan.quote = quote
    plan.base = next(asset for asset in assets if asset != quote)
    plan.values = {
        asset: markets.price_either_way(asset, quote, now_ns) or ZERO
        for asset in assets
        if asset != quote
    }
    worth = ZERO
    for leg, name in zip(plan.legs, names, strict=True):
        worth += leg.qty * leg.price_expected * plan.values.get(name.quote, ONE)
    plan.loss_cap = worth * OWN_LOSS_BPS / BPS
