"""A paper account: fills orders against live depth views; nothing is sent anywhere.

An IOC order walks the newest view after a fixed latency. What it takes is gone for later orders
until the venue's level changes: our own impact. Balances start at ``paper_balance`` of every dollar
that is a quote asset and the same worth, at the first bid seen, of everything else that is traded;
a perpetual needs its settlement asset for fees only. A post-only order rests where configured
(``paper_resting.py`` states the assumptions about its queue), and its fills are pushed.

Fills and the funds they need are computed as in ``shared/exchange``. Its matching and ledger are
not used: the queue of a real book is unknown, and the account uses the same accounting that live
accounts are compared with, fees rounded up.

Deterministic given views, orders and times. State is not kept over a restart: orders it never
answered, and those that rested, are then "not found", and balances start again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from services.executor.paper_account import PaperAccount
from services.executor.paper_resting import MarketState, RestingOrders
from shared.accounts.gateway import (
    FillReport,
    OrderKey,
    OrderReport,
    OrderRequest,
    PaymentReport,
    StreamNews,
    StreamState,
)
from shared.clock import Clock
from shared.domain.order import ZERO
from shared.domain.rounding import is_enough, is_multiple
from shared.errors import Cause, Rejected, Unavailable
from shared.exchange.depth import ShownDepth
from shared.messages.base import BookState, Message
from shared.messages.execution import Balance, OrderStatus
from shared.messages.market import DepthView, Funding, FundingSettled
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms, OrderType, TimeInForce

WATCHED: Final = frozenset((DepthView, Funding, FundingSettled))
"""What of the bus an account takes."""
ORDERS_MAX: Final = 10_000
"""Answered orders kept for queries, the oldest making room."""


class PaperGateway:
    """One venue's paper account.

    Args:
        venue: Whose books and rules it fills against.
        rules: Instrument -> rules, shared with whoever learns them; unknown instruments are
            rejected.
        clock: For the time of fills.
        wait: Awaited between submission and the look at the book: the latency of the venue.
        quote_balance: What every dollar that is a quote asset starts with.
        account: Its money, where it is kept otherwise than that.
        lets_rest: Whether post-only orders may rest; else they are not sent.
    """

    def __init__(
        self,
        venue: str,
        rules: Mapping[tuple[str, str], InstrumentRules],
        clock: Clock,
        *,
        wait: Callable[[], Awaitable[object]],
        quote_balance: Decimal = ZERO,
        account: PaperAccount | None = None,
        lets_rest: bool = False,
    ) -> None:
        self.venue = venue
        self._rules = rules
        self._clock = clock
        self._wait = wait
        self.account = account or PaperAccount(venue, rules, quote_balance)
        self._views: dict[str, DepthView] = {}
        self._depth: dict[str, ShownDepth] = {}
        self._orders: OrderedDict[str, OrderReport] = OrderedDict()
        self._trades = 0
        self._lets_rest = lets_rest
        self._take: Callable[[StreamNews], None] = _to_nobody
        self._resting = RestingOrders(self.account, self._book_resting, self._changed)

    def on_message(self, message: Message) -> None:
        """Take what the executor reads and ``WATCHED`` has: books, rates that settle."""
        if isinstance(message, DepthView):
            self.on_view(message)
        elif isinstance(message, Funding):
            self.account.funding.on_rate(message)
        elif isinstance(message, FundingSettled):
            self.account.funding.on_settled(message)

    def on_view(self, view: DepthView) -> None:
        """Take the newest view of one of this venue's books."""
        if view.venue != self.venue:
            return
        self._views[view.instrument] = view
        depth = self._depth.get(view.instrument)
        if depth is None:
            depth = self._depth[view.instrument] = ShownDepth()
        depth.show(view.bids, view.asks)
        self.account.open(view)
        self._resting.on_view(view, depth)

    async def start(self) -> None:
        """Nothing to load."""

    def unlisted(self, instruments: Sequence[str]) -> list[str]:
        """Return none: there is no venue to ask, and rules come only for what the venue lists."""
        del instruments
        return []

    async def submit(self, order: OrderRequest) -> OrderReport:
        """Fill it against the view that is newest after the latency."""
        if order.client_order_id in self._orders:
            raise Rejected(f"{self.venue}: duplicate client order id", "DUPLICATE")
        await self._wait()
        return self.fill(order)

    def fill(self, order: OrderRequest) -> OrderReport:
        """Fill a limit order against the present view; what does not trade is canceled.

        Raises:
            Rejected: A filter of the instrument, or the balance, forbids it.
            Unavailable: It would rest and may not, or has no limit.
        """
        self._check_kind(order)
        rules = self._check_filters(order)
        if order.terms.rests:
            name = order.terms.instrument
            market = MarketState(self._views.get(name), self._depth.get(name), rules)
            return self._resting.place(order, market)
        terms = self._reduced(order)
        view = self._views.get(terms.instrument)
        depth = self._depth[terms.instrument] if view and view.state is BookState.LIVE else None
        side, limit, qty = terms.side, terms.price_limit, terms.qty
        reachable = depth.reachable(side, limit, qty) if depth else []
        if terms.time_in_force is TimeInForce.FOK and _sum(reachable) < qty:
            depth, reachable = None, []
        self.account.check(terms, rules, reachable)
        pieces = depth.take(side, limit, qty) if depth else []
        fills = [self._book(order, rules, price, part) for price, part in pieces]
        filled = sum((fill.qty for fill in fills), ZERO)
        report = OrderReport(
            client_order_id=order.client_order_id,
            terms=order.terms,
            status=OrderStatus.FILLED if filled == qty else OrderStatus.CANCELED,
            venue_order_id=f"paper-{order.client_order_id}",
            filled_qty=filled,
            fills=tuple(fills),
            reason="" if filled == qty else "the book held no more within the limit",
        )
        self.remember(report)
        return report

    def remember(self, report: OrderReport) -> None:
        """Keep an order for queries."""
        self._orders[report.client_order_id or report.venue_order_id] = report
        while len(self._orders) > ORDERS_MAX:
            self._orders.popitem(last=False)

    async def query(self, key: OrderKey) -> OrderReport | None:
        """Return an order placed since the start."""
        client_id = key.client_order_id or key.venue_order_id.removeprefix("paper-")
        return self._orders.get(client_id)

    async def cancel(self, key: OrderKey) -> None:
        """Take back an order that rests."""
        client_id = key.client_order_id or key.venue_order_id.removeprefix("paper-")
        self._resting.cancel(client_id)

    async def cancel_all_after(self, instruments: Sequence[str], after_s: int) -> str:
        """Nothing is sent to the venue, so nothing is left there."""
        del instruments, after_s
        return "paper orders are at no venue"

    async def open_orders(self, instruments: Sequence[str]) -> list[OrderReport]:
        """Return the orders that rest."""
        return [one for one in self._resting.reports if one.terms.instrument in instruments]

    async def fills_since(self, instruments: Sequence[str], since_ns: int) -> list[FillReport]:
        """Return executions since the start."""
        return [
            fill
            for report in self._orders.values()
            for fill in report.fills
            if fill.instrument in instruments and fill.ts_venue_ns >= since_ns
        ]

    async def balances(self) -> Mapping[str, Balance]:
        """Return all accounts opened so far."""
        return self.account.balances()

    async def positions(self, instruments: Sequence[str]) -> Mapping[str, Decimal]:
        """Return perpetual positions in signed base units."""
        return self.account.positions(instruments)

    async def funding_since(self, instruments: Sequence[str], since_ns: int) -> list[PaymentReport]:
        """Return what funding paid since the start."""
        return self.account.payments_since(instruments, since_ns)

    async def follow(self, instruments: Sequence[str], take: Callable[[StreamNews], None]) -> None:
        """Push from now on what happens to orders; every answer tells all up to then."""
        del instruments
        self._take = take
        take(StreamState(is_followed=True))

    async def close(self) -> None:
        """Nothing to close."""

    def _changed(self, report: OrderReport) -> None:
        """Note what became of an order that rests, and push it."""
        self.remember(report)
        self._take(report)

    def _check_kind(self, order: OrderRequest) -> None:
        terms = order.terms
        may_rest = self._lets_rest and terms.time_in_force is TimeInForce.PO
        is_usual = not terms.rests or (may_rest and not order.reduce_only)
        if terms.order_type is not OrderType.LIMIT or not is_usual:
            known = "FOK, IOC and PO" if self._lets_rest else "FOK, IOC"
            raise Unavailable(
                f"{self.venue}: not sent, {terms.kind} orders cannot be filled on paper (LIMIT "
                f"with {known} can)",
                cause=Cause.ORDER,
            )

    def _reduced(self, order: OrderRequest) -> OrderTerms:
        """Return what an order asks for, cut to the position that it may only reduce.

        Raises:
            Rejected: There is none.
        """
        terms = order.terms
        if not order.reduce_only:
            return terms
        left = -terms.side.signed(self.account.position(terms.instrument))
        if left <= 0:
            raise Rejected(
                f"{self.venue}: no position in {terms.instrument} that the order would reduce",
                "REDUCE_ONLY",
                Cause.NOTHING_TO_REDUCE,
            )
        return msgspec.structs.replace(terms, qty=min(terms.qty, left))

    def _check_filters(self, request: OrderRequest) -> InstrumentRules:
        order = request.terms
        rules = self._rules.get((self.venue, order.instrument))
        if rules is None:
            raise Rejected(
                f"{self.venue}: unknown instrument {order.instrument}",
                "INSTRUMENT",
                Cause.INSTRUMENT,
            )
        if not rules.active:
            text = f"{self.venue}: {order.instrument} is not traded: {rules.reason}"
            raise Rejected(text, "INSTRUMENT", Cause.INSTRUMENT)
        if rules.qty_max is not None and order.qty > rules.qty_max:
            raise Rejected(f"{order.qty} is more than {rules.qty_max}", "LOT_SIZE")
        if not is_multiple(order.qty, rules.lot_size):
            raise Rejected(f"{order.qty} is not a multiple of {rules.lot_size}", "LOT_SIZE")
        if not is_multiple(order.price_limit, rules.tick_size):
            raise Rejected(f"{order.price_limit} is not on tick {rules.tick_size}", "TICK_SIZE")
        is_small = not is_enough(rules, order.qty, order.price_limit)
        if is_small and not (request.reduce_only and order.qty >= rules.qty_min):
            raise Rejected(f"{order.qty} at {order.price_limit} is too small", "NOTIONAL")
        return rules

    def _book(
        self, order: OrderRequest, rules: InstrumentRules, price: Decimal, qty: Decimal
    ) -> FillReport:
        now_ns = self._clock.now_ns()
        paid = self.account.book(order.terms, rules, price, qty, now_ns)
        return self._fill_report(order, price, qty, paid, now_ns)

    def _book_resting(
        self, order: OrderRequest, rules: InstrumentRules, price: Decimal, qty: Decimal
    ) -> FillReport:
        now_ns = self._clock.now_ns()
        paid = self.account.book_resting(order.terms, rules, price, qty, now_ns)
        return self._fill_report(order, price, qty, paid, now_ns)

    def _fill_report(
        self,
        order: OrderRequest,
        price: Decimal,
        qty: Decimal,
        paid: tuple[Decimal, str],
        now_ns: int,
    ) -> FillReport:
        terms, (fee, fee_asset) = order.terms, paid
        self._trades += 1
        return FillReport(
            trade_id=f"{order.client_order_id}-{self._trades}",
            venue_order_id=f"paper-{order.client_order_id}",
            instrument=terms.instrument,
            side=terms.side,
            price=price,
            qty=qty,
            fee=fee,
            fee_asset=fee_asset,
            ts_venue_ns=now_ns,
        )


def _to_nobody(news: StreamNews) -> None:
    """Nobody follows the account."""


def _sum(pieces: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    return sum((qty for _, qty in pieces), ZERO)
