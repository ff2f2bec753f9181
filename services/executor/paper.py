"""A paper account: fills orders against live depth views; nothing is sent anywhere.

An IOC order walks the newest view after a latency. What it takes is gone for later orders until
others quote it again (``ShownDepth``): our own impact. ``paper_conditions.py`` draws latency, what
is refused, and outages. Balances start at ``paper_balance`` of every dollar that is a quote asset
and the same worth, at the first bid seen, of everything else that is traded; a perpetual needs its
settlement asset for fees only. A post-only order rests where configured (``paper_resting.py``
states the assumptions about its queue), and its fills are pushed.

Fills and the funds they need are computed as in ``shared/exchange``. Its matching and ledger are
not used: the queue of a real book is unknown, and the account uses the same accounting that live
accounts are compared with, fees rounded up.

Deterministic given views, orders and times. State is not kept over a restart: orders it never
answered, and those that rested, are then "not found", and balances start again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Final

from services.executor.paper_account import PaperAccount
from services.executor.paper_checks import check_kind, checked_rules, reduced
from services.executor.paper_conditions import IDEAL, Conditions, Lost
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
from shared.errors import Rejected
from shared.exchange.depth import ShownDepth
from shared.messages.balances import Balance
from shared.messages.base import BookState, Message
from shared.messages.execution import OrderStatus
from shared.messages.market import DepthView, Funding, FundingSettled, Trade
from shared.messages.rules import InstrumentRules
from shared.messages.terms import TimeInForce

WATCHED: Final = frozenset((DepthView, Trade, Funding, FundingSettled))
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
        conditions: What the venue does beside matching; without any it is ideal.
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
        conditions: Conditions | None = None,
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
        self.conditions = conditions or Conditions(venue, IDEAL)
        self._take: Callable[[StreamNews], None] = _to_nobody
        self._resting = RestingOrders(
            self.account,
            self._book,
            self._changed,
            queue_ahead_share=self.conditions.paper.queue_ahead_share,
        )

    def on_message(self, message: Message) -> None:
        """Take what the executor reads and ``WATCHED`` has: books, trades, rates that settle."""
        if isinstance(message, DepthView):
            self.on_view(message)
        elif isinstance(message, Trade):
            view = self._views.get(message.instrument)
            if message.venue == self.venue and view and view.state is BookState.LIVE:
                self._resting.on_trade(message)
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
            half_life_ns = self.conditions.paper.impact_half_life_ms * 1_000_000
            depth = self._depth[view.instrument] = ShownDepth(half_life_ns)
        depth.show(view.bids, view.asks)
        if depth.withholds:
            rules = self._rules.get((view.venue, view.instrument))
            if rules is not None:
                depth.recover(self._clock.now_ns(), rules.lot_size)
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
            Rejected: A filter of the instrument, the balance or the venue forbids it.
            Unavailable: It would rest and may not, or has no limit, or the venue is away.
            OutcomeUnknown: The venue is away, and may have the order.
        """
        check_kind(order, lets_rest=self._lets_rest)
        lost = self.conditions.lost_at(self._clock.now_ns())
        if lost is None:
            return self._take_order(order)
        if lost is Lost.ANSWER:
            with suppress(Rejected):
                self._take_order(order)
        raise self.conditions.no_answer()

    def _take_order(self, order: OrderRequest) -> OrderReport:
        """Do what the venue does with an order that has reached it."""
        name = order.terms.instrument
        rules = checked_rules(order, self._rules)
        self.conditions.check_order()
        if name in self._depth:
            self._depth[name].recover(self._clock.now_ns(), rules.lot_size)
        if order.terms.rests:
            now_ns = self._clock.now_ns()
            market = MarketState(self._views.get(name), self._depth.get(name), rules, now_ns)
            return self._resting.place(order, market)
        terms = reduced(order, self.account.position(name))
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
        self.check_up()
        return self.order(_client_id(key))

    def order(self, client_order_id: str) -> OrderReport | None:
        """Return an order as it is now, whether the venue answers or not."""
        return self._orders.get(client_order_id)

    async def cancel(self, key: OrderKey) -> None:
        """Take back an order that rests, after the latency: meanwhile it may be filled."""
        await self._wait()
        self.take_back(key)

    def take_back(self, key: OrderKey) -> None:
        """Take back an order that rests now.

        Raises:
            Unavailable: The venue is away.
            OutcomeUnknown: It is, and may have canceled the order.
        """
        lost = self.conditions.lost_at(self._clock.now_ns())
        if lost is not Lost.REQUEST:
            self._resting.cancel(_client_id(key))
        if lost is not None:
            raise self.conditions.no_answer()

    def check_up(self) -> None:
        """Check that the venue answers.

        Raises:
            Unavailable: It does not.
        """
        self.conditions.check_up(self._clock.now_ns())

    async def cancel_all_after(self, instruments: Sequence[str], after_s: int) -> str:
        """Nothing is sent to the venue, so nothing is left there."""
        del instruments, after_s
        return "paper orders are at no venue"

    def budget_used(self) -> None:
        """Return ``None``: nothing is sent to the venue."""

    async def open_orders(self, instruments: Sequence[str]) -> list[OrderReport]:
        """Return the orders that rest."""
        self.check_up()
        return [one for one in self._resting.reports if one.terms.instrument in instruments]

    async def fills_since(self, instruments: Sequence[str], since_ns: int) -> list[FillReport]:
        """Return executions since the start."""
        self.check_up()
        return [
            fill
            for report in self._orders.values()
            for fill in report.fills
            if fill.instrument in instruments and fill.ts_venue_ns >= since_ns
        ]

    async def balances(self) -> Mapping[str, Balance]:
        """Return all accounts opened so far."""
        self.check_up()
        return self.account.balances()

    async def positions(self, instruments: Sequence[str]) -> Mapping[str, Decimal]:
        """Return perpetual positions in signed base units."""
        self.check_up()
        return self.account.positions(instruments)

    async def funding_since(self, instruments: Sequence[str], since_ns: int) -> list[PaymentReport]:
        """Return what funding paid since the start."""
        self.check_up()
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

    def _book(
        self, order: OrderRequest, rules: InstrumentRules, price: Decimal, qty: Decimal
    ) -> FillReport:
        """Charge the account for a fill, one of an order that rests at the maker's fee."""
        terms, now_ns = order.terms, self._clock.now_ns()
        book = self.account.book_resting if terms.rests else self.account.book
        fee, fee_asset = book(terms, rules, price, qty, now_ns)
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


def _client_id(key: OrderKey) -> str:
    return key.client_order_id or key.venue_order_id.removeprefix("paper-")


def _to_nobody(news: StreamNews) -> None:
    """Nobody follows the account."""


def _sum(pieces: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    return sum((qty for _, qty in pieces), ZERO)
