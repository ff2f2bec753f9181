"""Resting orders on paper: their assumed queue position, and what fills them. Pure.

Only the levels of a real book are known, not its queue, so the assumptions are pessimistic:

* ``paper.queue_ahead_share`` of the quantity shown at the order's price when it was placed is ahead
  of it and trades first: all of it, if nothing else is configured. Cancellations are taken to be
  behind it, as long as what is left there may all be ahead of it.
* Where the venue's trades are read, each at its price takes what is ahead first, and then fills the
  order; one through its price means that all ahead of it has traded. Trades and views do not come
  in one order: what is told up to 250 ms after a view may be missing from it already. So it is not
  taken off what that view shows, and as much of it as the view shows less than before was traded
  ahead of the order.
* It is filled, too, by what the other side of the book shows at its price or through it, as far as
  that is more than what is ahead of it; what filled us there is gone until the level changes.
  Once nothing of our side is shown at its price any more, nothing is ahead of it.
* Without trades, those that leave no such level behind fill nothing, so fills are too few.
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
from shared.messages.market import DepthView, Level, Trade
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms

RESTING_MAX = 500
"""Orders that may rest at a time; more are refused."""

Book = Callable[[OrderRequest, InstrumentRules, Decimal, Decimal], FillReport]
"""Books a fill of a resting order: order, rules, price, quantity."""


TRADE_LATE_NS = 250_000_000
"""A trade may be told so much later than the book that it has changed."""


class _Resting(msgspec.Struct):
    """One order: ``locked`` of ``asset`` pays for what is left of it.

    ``queue`` base units were ahead of it when it was placed at ``placed_ns``, ``traded`` of them
    have traded since, and ``shown`` is the least that was shown there, last at ``shown_ns``. Of
    what views showed less, ``untold`` base units may be trades that are told later; of what was
    told as traded, ``unshown`` may still be in the newest view: both as of ``differed_ns``.
    """

    request: OrderRequest
    rules: InstrumentRules
    report: OrderReport
    queue: Decimal
    shown: Decimal
    shown_ns: int
    placed_ns: int
    asset: str
    locked: Decimal
    traded: Decimal = ZERO
    untold: Decimal = ZERO
    unshown: Decimal = ZERO
    differed_ns: int = 0

    @property
    def ahead(self) -> Decimal:
        """Base units that trade before it."""
        return max(ZERO, min(self.queue - self.traded, self.shown))

    def see(self, shown: Decimal, ts_ns: int) -> None:
        """Take what a view shows at its price."""
        self._forget(ts_ns)
        less = max(ZERO, self.shown - shown)
        if less:
            explained = min(less, self.unshown)
            self.unshown -= explained
            self.untold += less - explained
            self.differed_ns = ts_ns
        self.shown, self.shown_ns = self.shown - less, ts_ns

    def offer(self, qty: Decimal, ts_ns: int, *, is_through: bool) -> Decimal:
        """Take a trade at its price or through it; return what of it is for this order."""
        if is_through:  # all ahead of it has traded
            self.shown = self.untold = self.unshown = ZERO
            return qty
        self._forget(ts_ns)
        told = min(self.untold, qty)
        self.untold -= told
        self.traded += told
        qty -= told
        ahead = self.ahead
        gone = min(ahead, qty)
        self.traded += gone
        if ts_ns > self.shown_ns + TRADE_LATE_NS:
            self.shown = max(ZERO, self.shown - qty)
        elif gone:
            self.unshown += gone
            self.differed_ns = ts_ns
        return qty - ahead

    def _forget(self, ts_ns: int) -> None:
        """Expect no more of what would have come by now."""
        if ts_ns > self.differed_ns + TRADE_LATE_NS:
            self.untold = self.unshown = ZERO


class MarketState(NamedTuple):
    """What an order is to rest in: newest view, its depth, rules, and what time it is."""

    view: DepthView | None
    depth: ShownDepth | None
    rules: InstrumentRules
    now_ns: int


class RestingOrders:
    """The resting orders of one venue's paper account.

    Args:
        account: Its money.
        book: Books a fill.
        tell: Takes an order as it is now, whenever it has changed.
        queue_ahead_share: What of the quantity shown at its price is ahead of an order, 0 to 1.
    """

    def __init__(
        self,
        account: PaperAccount,
        book: Book,
        tell: Callable[[OrderReport], None],
        *,
        queue_ahead_share: Decimal = Decimal(1),
    ) -> None:
        self._queue_ahead_share = queue_ahead_share
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
        shown = _shown_at(own, terms)
        queue = (shown or ZERO) * self._queue_ahead_share
        self._resting[order.client_order_id] = _Resting(
            request=order,
            rules=market.rules,
            report=report,
            queue=queue,
            shown=queue if shown is None else shown,
            shown_ns=view.ts_recv_ns,
            placed_ns=market.now_ns,
            asset=asset,
            locked=amount,
        )
        self._tell(report)
        return report

    def on_view(self, view: DepthView, depth: ShownDepth) -> None:
        """Fill what the newest view says is filled."""
        if not self._resting or view.state is not BookState.LIVE:
            return
        for each in list(self._resting.values()):
            if each.request.terms.instrument == view.instrument:
                self._meet(each, view, depth)

    def on_trade(self, trade: Trade) -> None:
        """Fill what a trade of others says is filled; no part of it fills two orders."""
        left = exact(trade.qty)
        for each in list(self._resting.values()):
            terms = each.request.terms
            is_met = terms.instrument == trade.instrument and terms.side is not trade.side
            if not is_met or trade.ts_recv_ns <= each.placed_ns:
                continue
            through = terms.side.signed(terms.price_limit - exact(trade.price))
            if through < 0:
                continue  # at a better price than its own
            offered = each.offer(left, trade.ts_recv_ns, is_through=through > 0)
            left -= self._fill(each, offered)

    def cancel(self, client_order_id: str) -> None:
        """Take an order back; one that does not rest is no error."""
        each = self._resting.pop(client_order_id, None)
        if each is not None:
            self._account.unlock(each.asset, each.locked)
            self._tell(msgspec.structs.replace(each.report, status=OrderStatus.CANCELED))

    def _meet(self, each: _Resting, view: DepthView, depth: ShownDepth) -> None:
        """Fill an order with what the other side shows."""
        terms = each.request.terms
        left = terms.qty - each.report.filled_qty
        own, others = (view.bids, view.asks)[:: 1 if terms.side is Side.BUY else -1]
        shown = _shown_at(own, terms)
        if shown is not None:
            each.see(shown, view.ts_recv_ns)
        if others and terms.side.signed(terms.price_limit - exact(others[0][0])) > 0:
            each.shown = ZERO  # all at our price has traded
        ahead = each.ahead
        pieces = depth.meet(terms.side, terms.price_limit, ahead + left)
        got = sum((qty for _, qty in pieces), ZERO)
        each.traded += min(ahead, got)
        self._fill(each, got - ahead)

    def _fill(self, each: _Resting, offered: Decimal) -> Decimal:
        """Fill an order with what is offered to it, in whole lots; return how much that is."""
        terms, lot = each.request.terms, each.rules.lot_size
        left = terms.qty - each.report.filled_qty
        qty = min(left, offered // lot * lot)
        if qty <= 0:
            return ZERO
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
        return qty


def _shown_at(own: Sequence[Level], terms: OrderTerms) -> Decimal | None:
    """Return what others show at an order's price; ``None`` beyond the levels shown."""
    for price, qty in own:
        at = exact(price)
        if at == terms.price_limit:
            return exact(qty)
        if terms.side.signed(at - terms.price_limit) < 0:
            return ZERO
    return None
