"""The resting leg of a plan: when it is hedged, canceled and ended. Pure.

A MAKER_TAKER plan sends its post-only leg and waits. Whatever that fills is traded away by an IOC
order of the other leg, while the first one keeps working: one at a time, priced by the book and
bounded by the plan's loss cap. A quantity too small for an order waits for more fills or the end.

The resting leg is canceled when its time is over; when hedging all that is left of it would cost
more than the other leg's limit, or pay so much better than expected that it should be requoted;
when the book that it is hedged in is not LIVE or too thin, either venue stands down, a hedge fell
short, its own answer was lost, or nothing new may start (halted, reducing, flattening, stopping).
It is also canceled if an order about to be sent would trade with it, and that order waits: both
sides of such a trade would be ours, under one trade id.
A cancel request does not end it: until the venue reports the order as over, its fills are hedged as
before. Then the rest is traded at the other leg if that is still within its limit; after that the
plan continues like any other: it evens out wherever that is cheapest, and ends. Quoting again is a
new plan, which risk approves only when this one has ended. After a restart, resting orders that are
found are canceled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from services.executor.actions import Submit
from services.executor.even_orders import NoOrder, OrderIntent, Uneven, is_dust, trade_at
from services.executor.ids import client_order_id
from services.executor.market import Markets
from services.executor.nets import net_base, net_cash
from services.executor.order_record import OrderRecord
from services.executor.state import ExecutorState, PlanRecord
from services.executor.weakness import is_weak
from services.executor.working_orders import WorkingOrders
from shared.domain.depth import walk_quantity
from shared.domain.fees import BPS
from shared.engine import Step
from shared.messages.base import Side
from shared.messages.execution import OrderPurpose, OrderStatus, PlanLeg
from shared.messages.market import DepthView
from shared.messages.terms import OrderTerms, Resting, would_meet

LOOK_NS: Final = 100_000_000
"""A resting leg is looked at this often, and with every view of the book that it is hedged in."""
HEDGE_PAUSE_NS: Final = 50_000_000
"""Least pause after a hedge that fell short; doubles with each one in a row."""
HEDGES_SHORT_MAX: Final = 3
"""Hedges in a row that may fall short while the leg rests; then the end of it is waited for."""
HEDGES_MAX: Final = 64
"""Hedges of one resting leg; if it is filled in smaller pieces, it is canceled and quoted again."""

WhyNone = Callable[[], str]
"""Why nothing may rest now; empty if it may."""


def maker_first(legs: Sequence[PlanLeg]) -> tuple[int, int]:
    """Return the index of the leg that rests, and of the one that hedges it."""
    return (0, 1) if legs[0].rests else (1, 0)


class RestingLegs:
    """The resting legs of open plans. Every method changes ``state`` and adds to ``out``."""

    def __init__(
        self,
        state: ExecutorState,
        markets: Markets,
        orders: WorkingOrders,
        why_none: WhyNone,
        same_books: Mapping[str, str],
    ) -> None:
        self._state, self._markets, self._orders = state, markets, orders
        self._why_none, self._same_books = why_none, same_books
        self._plans: dict[str, PlanRecord] = {}

    def begin(self, plan: PlanRecord, resting: Resting, now_ns: int, out: Step) -> None:
        """Put the leg that rests on record, and ask for it to be sent at once."""
        plan.resting = resting
        index, _ = maker_first(plan.legs)
        leg = plan.legs[index]
        intent = OrderIntent(
            terms=leg.terms,
            fee_bps=leg.fee_bps,
            purpose=OrderPurpose.LEG,
            rest_ms=max(1, resting.rest_ms),
        )
        out.at_once.append(self._orders.submit(plan, intent, (index, 0), now_ns, out))
        plan.wait_until_ns = now_ns + LOOK_NS
        self._plans[plan.plan_id] = plan

    @property
    def plans(self) -> list[PlanRecord]:
        """The plans of which a leg may rest."""
        return list(self._plans.values())

    def hedged_in(self, view: DepthView) -> list[PlanRecord]:
        """Return those whose fills are hedged in this book."""
        market = view.venue, view.instrument
        return [p for p in self._plans.values() if p.legs[maker_first(p.legs)[1]].market == market]

    def avoids(self, venue: str, instrument: str) -> object:
        """Return markets that stand down or hold a resting order of ours (no self-trades)."""
        if down := self._state.down_at(venue, instrument):
            return down
        book = self._book(venue, instrument)
        for plan in self._plans.values():
            maker = plan.legs[maker_first(plan.legs)[0]]
            if self._book(maker.venue, maker.instrument) == book:
                return plan
        return None

    def _book(self, venue: str, instrument: str) -> tuple[str, str]:
        return self._same_books.get(venue, venue), instrument

    def objection(self, legs: Sequence[PlanLeg]) -> str:
        """Return which order of ours, not known to be over, a leg would trade with; else empty."""
        if not self._state.open_plans():
            return ""
        for leg in legs:
            for order in self._met_by(leg.terms):
                return f"{leg.text} would meet {order.client_order_id}, an order of ours"
        return ""

    def is_in_the_way(self, terms: OrderTerms, now_ns: int, out: Step) -> bool:
        """Cancel resting orders of ours that it would trade with; tell whether it must wait."""
        met = self._met_by(terms)
        for order in met:
            if order.terms.rests and now_ns < order.rest_until_ns:
                self._orders.cancel(order, now_ns, out)
        return bool(met)

    def _met_by(self, terms: OrderTerms) -> list[OrderRecord]:
        return [
            order
            for plan in self._state.open_plans()
            for order in self._state.orders_of(plan)
            if not order.life.is_terminal and would_meet(order.terms, terms, self._same_books)
        ]

    def goes_on(
        self, plan: PlanRecord, orders: Sequence[OrderRecord], now_ns: int, out: Step
    ) -> bool:
        """Hedge fills, cancel what must not rest any longer; tell whether this phase goes on."""
        if plan.resting is None:
            return False
        maker, *hedges = orders
        if maker.life.is_terminal:
            return self._ends(plan, orders, now_ns, out)
        plan.wait_until_ns = now_ns + LOOK_NS
        short, is_hedged = _short_of(hedges), True
        if all(order.life.is_terminal for order in hedges):
            is_hedged = self._hedge(plan, orders, short, now_ns, out)
        is_to_go = short or not is_hedged or self._why_over(plan, maker, orders, now_ns)
        if is_to_go and now_ns < maker.rest_until_ns:
            self._orders.cancel(maker, now_ns, out)
        return True

    def _ends(
        self, plan: PlanRecord, orders: Sequence[OrderRecord], now_ns: int, out: Step
    ) -> bool:
        """Hedge once more when the leg rests no longer; tell whether that goes on."""
        plan.wait_until_ns = 0
        self._plans.pop(plan.plan_id, None)
        if not all(order.life.is_terminal for order in orders):
            return True
        step = NoOrder.EVEN if _short_of(orders[1:]) else self._next_hedge(plan, orders, now_ns)
        is_free = isinstance(step, OrderIntent) and not self.is_in_the_way(step.terms, now_ns, out)
        if isinstance(step, OrderIntent) and is_free and len(orders) <= HEDGES_MAX:
            self._send(plan, step, orders, now_ns, out)
            return True
        plan.resting = None
        return False

    def _hedge(
        self,
        plan: PlanRecord,
        orders: Sequence[OrderRecord],
        short: int,
        now_ns: int,
        out: Step,
    ) -> bool:
        """Send what hedges the fills; tell whether all can be hedged, or is too little to be."""
        step = self._next_hedge(plan, orders, now_ns)
        if not isinstance(step, OrderIntent):
            return step is not NoOrder.NO_PRICE
        if short >= HEDGES_SHORT_MAX or len(orders) > HEDGES_MAX:
            return False
        if self.is_in_the_way(step.terms, now_ns, out):
            return False
        if short:
            last = orders[-1]
            pause_until_ns = (last.ts_ended_ns or last.ts_created_ns) + (HEDGE_PAUSE_NS << short)
            if now_ns < pause_until_ns:
                plan.wait_until_ns = min(plan.wait_until_ns, pause_until_ns)
                return True
        self._send(plan, step, orders, now_ns, out)
        return True

    def _send(
        self,
        plan: PlanRecord,
        intent: OrderIntent,
        orders: Sequence[OrderRecord],
        now_ns: int,
        out: Step,
    ) -> None:
        _, index = maker_first(plan.legs)
        attempt = len(orders) - 1
        while client_order_id(plan.plan_id, index, attempt) in plan.orders:
            attempt += 1  # an adopted order has this number
        hedge = self._orders.submit(plan, intent, (index, attempt), now_ns, out)
        out.actions.append(Submit(hedge.order, 0))  # no tick caused it: a fill did

    def _next_hedge(
        self, plan: PlanRecord, orders: Sequence[OrderRecord], now_ns: int
    ) -> OrderIntent | NoOrder:
        """Return the order of the other leg that hedges what is filled and not hedged.

        Once nothing rests any more it is held to the leg's limit: elsewhere it may be cheaper.
        """
        leg = plan.legs[maker_first(plan.legs)[1]]
        net, rules = net_base(plan, orders), self._markets.rules.get(leg.market)
        if not net:
            return NoOrder.EVEN
        if rules is None or not rules.active or self._state.down_at(*leg.market):
            return NoOrder.NO_PRICE
        uneven = Uneven(plan, orders, [rules], net, net_cash(plan, orders), plan.reference, 0)
        if is_dust(uneven, net, [rules], self._markets, now_ns):
            return NoOrder.DUST
        view = self._markets.live_view(leg.market, now_ns)
        found = trade_at(rules, uneven, view) if view is not None else None
        if found is None or found[2].terms.side is not leg.side:
            return NoOrder.NO_PRICE
        effective, _, intent = found
        fee = leg.side.signed(rules.taker_fee_bps) / BPS
        is_beyond = leg.side.signed(effective / (1 + fee) - leg.price_limit) > 0
        if is_beyond and orders[0].life.is_terminal:
            return NoOrder.NO_PRICE
        # A fee that the maker's venue took in the base asset is hedged by an order of its own.
        terms = msgspec.structs.replace(intent.terms, qty=min(intent.terms.qty, leg.qty))
        return msgspec.structs.replace(intent, terms=terms, purpose=OrderPurpose.LEG)

    def _why_over(
        self, plan: PlanRecord, maker: OrderRecord, orders: Sequence[OrderRecord], now_ns: int
    ) -> str:
        """Return why the leg must rest no longer; empty if it may."""
        leg = plan.legs[maker_first(plan.legs)[1]]
        if why := self._why_none():
            return why
        if self._state.down_at(maker.venue, maker.instrument) or self._state.down_at(*leg.market):
            return "a venue stands down"
        if maker.life.status is OrderStatus.UNKNOWN:
            return "whether it rests is not known"
        if (view := self._markets.live_view(leg.market, now_ns)) is None:
            return "the book that it is hedged in is not LIVE"
        left = maker.life.qty - maker.life.filled_qty + abs(net_base(plan, orders))
        if left <= 0:
            return ""  # all of it is filled and hedged; the venue has yet to say that it is over
        levels = view.asks if leg.side is Side.BUY else view.bids
        walked = walk_quantity(levels, left, leg.side)
        if walked is None:
            return "the book that it is hedged in is too thin"
        if leg.side.signed(walked.price_avg - leg.price_limit) > 0:
            return "its hedge costs more than its limit"
        assert plan.resting is not None
        better = leg.side.signed(leg.price_expected - walked.price_avg) / leg.price_expected * BPS
        is_far = 0 < plan.resting.better_bps < better
        return "its hedge pays so much better that it is to be placed anew" if is_far else ""


def _short_of(hedges: Sequence[OrderRecord]) -> int:
    """Return how many hedges in a row, the last one included, were over and fell short."""
    count = 0
    for order in reversed(hedges):
        if not order.life.is_terminal or not is_weak(order):
            break
        count += 1
    return count
