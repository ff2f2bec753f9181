"""What the fills of a backtest cost against the mid prices of the books. Pure, Decimal.

The cash flow of a fill is that at the mid price of the book decided on, and three changes:

* **latency drift**: from that to the mid price when the order arrived at the venue,
* **spread**: from there to the best price of the side that is taken,
* **slippage**: from there to the price of the fill, in the depth that our earlier orders left.

They add up to the fill exactly. Of a leg that exchanges one quote asset for another the three
together are its **conversion**. An order of a plan was decided on the book that its strategy
walked, so was a hedge or an unwinding in the same market; any other order of the executor (FLATTEN)
on the newest book when it was written down. Where that book is not known any more, or has one side
only, the part is counted as not known, and stays in what the decisions earned at mid prices.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from shared.domain.executions import cost_of
from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import MarketKey, split_instrument
from shared.domain.order import ZERO
from shared.domain.quantities import is_inverse
from shared.domain.rounding import exact
from shared.messages.arb import Opportunity
from shared.messages.base import Message, Side
from shared.messages.execution import ApprovedPlan, OrderEvent, OrderPurpose, OrderStatus
from shared.messages.market import DepthView

VIEWS_MAX = 32
"""Newest views of a book among which the one that was decided on is looked for."""
REMEMBERED_MAX = 2_000
"""Decisions, plans and orders remembered, of each; the oldest make room."""
_T = TypeVar("_T")


class Best(NamedTuple):
    """The best prices of a book."""

    bid: Decimal
    ask: Decimal

    @property
    def mid(self) -> Decimal:
        """The mid price."""
        return (self.bid + self.ask) / 2

    def touch(self, side: Side) -> Decimal:
        """Return the best price that an order of a side takes."""
        return self.ask if side is Side.BUY else self.bid


def best_of(view: DepthView | None) -> Best | None:
    """Return the best prices of a view; ``None`` where a side is empty, or there is no view."""
    if view is None or not view.bids or not view.asks:
        return None
    return Best(exact(view.bids[0][0]), exact(view.asks[0][0]))


class Parts(msgspec.Struct, kw_only=True):
    """What the fills of one cash asset earned by each part; costs are negative.

    ``fills`` counts all, ``no_decision`` those whose drift is not known, ``no_book`` those of which
    no part is.
    """

    traded: Decimal = ZERO
    drift: Decimal = ZERO
    spread: Decimal = ZERO
    slippage: Decimal = ZERO
    conversion: Decimal = ZERO
    fills: int = 0
    no_decision: int = 0
    no_book: int = 0


class FillCosts:
    """Follows decisions to their fills.

    Args:
        money: Assets whose exchange for one another is a conversion.
    """

    def __init__(self, money: Collection[str]) -> None:
        self._money = frozenset(money)
        self._views: dict[MarketKey, deque[DepthView]] = {}
        self._decided: OrderedDict[str, dict[MarketKey, Best]] = OrderedDict()
        self._plans: OrderedDict[str, dict[MarketKey, Best]] = OrderedDict()
        self._orders: OrderedDict[str, Best | None] = OrderedDict()
        self.parts: dict[str, Parts] = {}

    def on_view(self, view: DepthView) -> None:
        """Take a view that is LIVE."""
        key = view.venue, view.instrument
        views = self._views.get(key)
        if views is None:
            views = self._views[key] = deque(maxlen=VIEWS_MAX)
        views.append(view)

    def on_message(self, message: Message) -> None:
        """Take what was found, approved, and written down to be sent."""
        if isinstance(message, Opportunity):
            self._on_opportunity(message)
        elif isinstance(message, ApprovedPlan):
            self._on_plan(message)
        elif isinstance(message, OrderEvent) and message.status is OrderStatus.SUBMITTED:
            self._on_order(message)

    def _on_opportunity(self, found: Opportunity) -> None:
        decided = {}
        for leg in found.legs:
            best = self._best(leg.market, partial(_is_book, leg.book_id))
            if best is not None:
                decided[leg.market] = best
        _keep(self._decided, found.opportunity_id, decided)

    def _on_plan(self, plan: ApprovedPlan) -> None:
        """Take a plan; one of a signal, or of risk itself, was decided on its newest depth."""
        decided = self._decided.get(plan.opportunity_id)
        if decided is None:
            decided = {}
            for leg in plan.legs:
                best = self._best(leg.market, partial(_was_there, plan.ts_depth_ns))
                if best is not None:
                    decided[leg.market] = best
        _keep(self._plans, plan.plan_id, decided)

    def _on_order(self, order: OrderEvent) -> None:
        market = order.venue, order.instrument
        best = self._plans.get(order.plan_id, {}).get(market)
        if best is None and order.purpose is not OrderPurpose.LEG:
            best = self.newest(market)
        _keep(self._orders, order.client_order_id, best)

    def newest(self, market: MarketKey) -> Best | None:
        """Return the best prices of the newest view of a book."""
        views = self._views.get(market)
        return best_of(views[-1]) if views else None

    def _best(self, market: MarketKey, is_it: Callable[[DepthView], bool]) -> Best | None:
        views = reversed(self._views.get(market, ()))
        return best_of(next((view for view in views if is_it(view)), None))

    def on_fill(
        self, client_order_id: str, market: MarketKey, side: Side, qty: Decimal, price: Decimal
    ) -> None:
        """Split a fill of an order that arrives now."""
        instrument, now = market[1], self.newest(market)
        parts = self._parts(instrument)
        parts.fills += 1
        parts.traded += cost_of(instrument, qty, price)
        decided = self._orders.get(client_order_id)
        parts.no_decision += decided is None or now is None
        if now is None:
            parts.no_book += 1
            return

        def flow(at: Decimal) -> Decimal:
            return cash_flow(instrument, side, qty, at)

        drift = ZERO if decided is None else flow(now.mid) - flow(decided.mid)
        spread = flow(now.touch(side)) - flow(now.mid)
        slippage = flow(price) - flow(now.touch(side))
        if self.is_conversion(instrument):
            parts.conversion += drift + spread + slippage
        else:
            parts.drift += drift
            parts.spread += spread
            parts.slippage += slippage

    def on_forced(self, instrument: str, qty: Decimal, price: Decimal) -> None:
        """Count a fill that was no order of ours, like a liquidation: none of it is known."""
        parts = self._parts(instrument)
        parts.fills += 1
        parts.no_decision += 1
        parts.no_book += 1
        parts.traded += cost_of(instrument, qty, price)

    def is_conversion(self, instrument: str) -> bool:
        """Return whether an instrument exchanges one quote asset for another."""
        name = split_instrument(instrument)
        return name.settle is None and {name.base, name.quote} <= self._money

    def _parts(self, instrument: str) -> Parts:
        return self.parts.setdefault(split_instrument(instrument).cash, Parts())


def cash_flow(instrument: str, side: Side, qty: Decimal, price: Decimal) -> Decimal:
    """Return what a fill brings in, in the asset it is settled in; of inverse contracts coins."""
    cost = cost_of(instrument, qty, price)
    return cost if (side is Side.BUY) == is_inverse(instrument) else -cost


def split_of(
    parts: Parts, net: Decimal | None, fees: Decimal, funding: Decimal | None
) -> dict[str, Any]:
    """Return a result by its parts, each to ``MONEY_STEP``: all but ``net`` add up to it exactly.

    A part that is known of no fill is ``None``. ``at_middles`` is what the decisions would have
    earned at the mid prices they were made at; parts that are not known stay in it.
    """
    found: dict[str, Decimal | None] = {
        "latency_drift": _known(parts.drift, parts.fills, parts.no_decision),
        "spread": _known(parts.spread, parts.fills, parts.no_book),
        "slippage": _known(parts.slippage, parts.fills, parts.no_book),
        "conversion": _known(parts.conversion, parts.fills, parts.no_book),
        "fees": -_money(fees),
        "funding": None if funding is None else _money(funding),
    }
    whole = None if net is None else _money(net)
    costs = sum((each for each in found.values() if each is not None), ZERO)
    earned = None if whole is None else whole - costs
    counts = {name: getattr(parts, name) for name in ("fills", "no_decision", "no_book")}
    return {"at_middles": earned, **found, "net": whole, **counts}


def _known(amount: Decimal, fills: int, unknown: int) -> Decimal | None:
    return None if fills and fills == unknown else _money(amount)


def _money(amount: Decimal) -> Decimal:
    return amount.quantize(MONEY_STEP)


def splits_of(
    parts: Mapping[str, Parts],
    profits: Mapping[str, Decimal | None],
    paid: Mapping[str, Mapping[str, Decimal]],
    unknown: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Return the split of every cash asset; amounts are text, so that they add up exactly.

    ``unknown`` are those in which it is not known what funding paid.
    """
    found = {}
    for cash in sorted({*parts, *profits, *paid}):
        of_cash = paid.get(cash, {})
        split = split_of(
            parts.get(cash, Parts()),
            profits.get(cash, ZERO),
            of_cash.get("fees", ZERO),
            None if cash in unknown else of_cash.get("funding", ZERO),
        )
        found[cash] = {
            name: f"{each:f}" if isinstance(each, Decimal) else each for name, each in split.items()
        }
    return found


def _is_book(book_id: str, view: DepthView) -> bool:
    return view.book_id == book_id


def _was_there(at_ns: int, view: DepthView) -> bool:
    return view.ts_ns <= at_ns


def _keep(kept: OrderedDict[str, _T], key: str, value: _T) -> None:
    kept[key] = value
    if len(kept) > REMEMBERED_MAX:
        kept.popitem(last=False)
