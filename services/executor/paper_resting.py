"""Resting orders on paper: their assumed queue position, and what fills them. Pure.

Only the levels of a real book are known, not its queue, so the assumptions are pessimistic:

* All the quantity shown at the order's price when it was placed is ahead of it and trades first.
  Cancellations are taken to be behind it, as long as what is left there may all be ahead of it.
* It is filled by what the other side of the book then shows at its price or through it, as far as
  that is more than what is ahead of it; what filled us there is gone until the level changes.
  Once nothing of our side is shown at its price any more, nothing is ahead of it.
* Trades that leave no such level behind are not seen and fill nothing, so fills are too few.
* While the book is not LIVE nothing is filled. An order is filled at its own price, at the maker's
  fee (a rebate counts as none).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from services.executor.paper_account import PaperAccount
from shared.accounts.gateway import FillReport, OrderReport, OrderRequest
from shared.domain.order import ZERO
from shared.domain.rounding import exact
from shared.errors import Cause, Rejected
from shared.exchange.depth import ShownDepth
from shared.messages.base import BookState, Side
from shared.messages.execution import OrderStatus
from shared.messages.market import DepthView, Level
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms

RESTING_MAX = 500
"""Orders that may rest at a time; more are refused."""

Book = Callable[[OrderRequest, InstrumentRules, Decimal, Decimal], FillReport]
"""Books a fill of a resting order: order, rules, price, quantity."""


class _Resting(msgspec.Struct):
    """``ahead`` base units of others trade first, ``locked`` of ``asset`` pays for what is left."""

    request: OrderRequest
    rules: InstrumentRules
    report: OrderReport
    ahead: Decimal
    asset: str
    locked: Decimal


class MarketState(NamedTuple):
    """What is known of the market that an order is to rest in: newest view, its depth, rules."""

    view: DepthView | None
    depth: ShownDepth | None
    rules: InstrumentRules


class RestingOrders:
    """The resting orders of one venue's paper account.

    Args:
        account: Its money.
        book: Books a fill.
        tell: Takes an order as it is now, whenever it has changed.
    """

    def __init__(
        self, account: PaperAccount, book: Book, tell: Callable[[OrderReport], None]
    ) -> None:
        self._account, self._book, self._tell = account, book, tell
        self._resting: dict[str, _Resting] = {}

    @property
    def reports(self) -> list[OrderReport]:
        """The orders that rest."""
        return [each.report for each in self._resting.values()]

    def place(self, order: OrderRequest, market: MarketState) -> OrderReport:
        """Let a post-only order rest.

        Raises:
            Rejected: It would trade at once, cannot be paid for, or is one too many.
        """
        terms, view, depth = order.terms, market.view, market.depth
        name = f"{terms.venue}: {order.client_order_id}"
        if view is None or depth is None or view.state is not BookState.LIVE:
            text = f"{name}: no LIVE book says whether it would trade at once"
            raise Rejected(text, "POST_ONLY", Cause.WOULD_TAKE)
        if depth.reachable(terms.side, terms.price_limit, terms.qty):
            raise Rejected(f"{name} would trade at once", "POST_ONLY", Cause.WOULD_TAKE)
        if len(self._resting) >= RESTING_MAX:
            raise Rejected(f"{name}: {RESTING_MAX} orders rest already", "TOO_MANY_OPEN")
        asset, amount = self._account.lock(terms, market.rules, terms.qty)
        report = OrderReport(
            client_order_id=order.client_order_id,
            terms=terms,
            status=OrderStatus.ACCEPTED,
            venue_order_id=f"paper-{order.client_order_id}",
        )
        own = view.bids if terms.side is Side.BUY else view.asks
        ahead = _shown_at(own, terms) or ZERO
        self._resting[order.client_order_id] = _Resting(
            order, market.rules, report, ahead, asset, amount
        )
        self._tell(report)
        return report

    def on_view(self, view: DepthView, depth: ShownDepth) -> None:
        """Fill what the newest view says is filled."""
        if view.state is not BookState.LIVE:
            return
        for each in list(self._resting.values()):
            if each.request.terms.instrument == view.instrument:
                self._fill(each, view, depth)

    def cancel(self, client_order_id: str) -> None:
        """Take an order back; one that does not rest is no error."""
        each = self._resting.pop(client_order_id, None)
        if each is not None:
            self._account.unlock(each.asset, each.locked)
            self._tell(msgspec.structs.replace(each.report, status=OrderStatus.CANCELED))

    def _fill(self, each: _Resting, view: DepthView, depth: ShownDepth) -> None:
        terms = each.request.terms
        left = terms.qty - each.report.filled_qty
        own, others = (view.bids, view.asks)[:: 1 if terms.side is Side.BUY else -1]
        shown = _shown_at(own, terms)
        if shown is not None:
            each.ahead = min(each.ahead, shown)
        if others and terms.side.signed(terms.price_limit - exact(others[0][0])) > 0:
            each.ahead = ZERO  # all at our price has traded
        pieces = depth.meet(terms.side, terms.price_limit, each.ahead + left)
        got = sum((qty for _, qty in pieces), ZERO)
        before = min(each.ahead, got)
        each.ahead -= before
        qty = (got - before) // each.rules.lot_size * each.rules.lot_size
        if qty <= 0:
            return
        self._account.unlock(each.asset, each.locked)
        fill = self._book(each.request, each.rules, terms.price_limit, qty)
        is_whole = qty == left
        each.locked = ZERO
        if not is_whole:
            _, each.locked = self._account.lock(terms, each.rules, left - qty, is_sure=True)
        else:
            del self._resting[each.request.client_order_id]
        each.report = msgspec.structs.replace(
            each.report,
            status=OrderStatus.FILLED if is_whole else OrderStatus.PARTIALLY_FILLED,
            filled_qty=each.report.filled_qty + qty,
            fills=(*each.report.fills, fill),
        )
        self._tell(each.report)


def _shown_at(own: Sequence[Level], terms: OrderTerms) -> Decimal | None:
    """Return what others show at an order's price; ``None`` beyond the levels shown."""
    for price, qty in own:
        at = exact(price)
        if at == terms.price_limit:
            return exact(qty)
        if terms.side.signed(at - terms.price_limit) < 0:
            return ZERO
    return None
