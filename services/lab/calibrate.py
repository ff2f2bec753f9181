"""The same orders on paper and at a simulated venue's matching engine and account. Pure.

A seed makes two equal markets for each book: the book and that of a second venue, moved by the
generator that the simulated venues have. In one of them an order is matched and moves the market.
The other stays as it is without the order, and is what the paper account sees, as it sees a real
market. Both get the order after the same latency. What differs is what paper does not know: levels
beyond those shown, the queue, how others answer to what was taken, what the newest view lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from random import Random
from typing import Final

from services.executor.paper import PaperGateway
from services.executor.paper_conditions import Conditions
from services.lab.calibrate_orders import Draft, OrderKind, drafts, terms_of
from services.lab.feed import rules_of
from services.lab.kernel import Kernel
from services.lab.paper import not_here
from shared.accounts.gateway import FillReport, OrderKey, OrderRequest
from shared.config_sections import Config
from shared.domain.order import ZERO
from shared.errors import Rejected, Unavailable
from shared.exchange.crosses import is_cross
from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS, MarketGenerator
from shared.exchange.listing import Listing
from shared.exchange.matching import BookSide
from shared.exchange.orders import Fill, IncomingOrder, Order, Print, RefusedError
from shared.messages.base import BookState
from shared.messages.market import DepthView, Trade
from shared.messages.market import Level as ShownLevel
from shared.messages.terms import OrderTerms
from shared.simulated.context import Context
from shared.simulated.faults import FaultTable
from shared.venues.registry import ADAPTERS, load_simulated

_MS, _S = 1_000_000, 1_000_000_000
START_NS: Final = 1_750_000_000 * _S
AFTER_NS: Final = 1 * _S
"""A market goes on for so long after the last order is over."""
VIEW_NS: Final = 10 * _MS
"""How old a view is when the paper account has it: the executor reads the newest every 20 ms."""
DEFAULT: Final = Config()
NO_PRICE: Final = "no price on both sides of the book"
REFUSED_TWICE: Final = "refused on both sides"


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of an order on one side.

    Attributes:
        qty: Base units that were filled.
        price: Their average price in quote units; ``None`` without a fill.
        refusal: Why the order was refused; empty if it was not.
    """

    qty: Decimal = ZERO
    price: Decimal | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One order on both sides.

    Attributes:
        venue: Where.
        kind: Which.
        terms: What was asked for; ``None`` where no price was known to ask at.
        latency_ns: From the decision to the venue, on both sides.
        paper: What became of it on paper.
        simulated: What became of it at the simulated venue.
    """

    venue: str
    kind: OrderKind
    terms: OrderTerms | None
    latency_ns: int
    paper: Filled = Filled()
    simulated: Filled = Filled()

    @property
    def left_out(self) -> str:
        """Why it says nothing about paper; empty if it does."""
        if self.terms is None:
            return NO_PRICE
        return REFUSED_TWICE if self.paper.refusal and self.simulated.refusal else ""


def compare(seed: int, config: Config = DEFAULT) -> list[Compared]:
    """Return every order of a seed on both sides, book after book.

    Args:
        seed: Of markets and orders.
        config: How accounts on paper are configured, and how deep views are.
    """
    return [one for listings in _books() for one in Comparison(seed, listings, config).run()]


def configured_name(adapter: str, config: Config) -> str:
    """Return what a venue is called in a configuration; one that is not in it by its adapter."""
    names = (name for name, venue in config.venues.items() if (venue.adapter or name) == adapter)
    return next(names, adapter)


def _books() -> Iterator[list[Listing]]:
    """Yield every book that the simulated venues have against money, a second venue's beside it."""
    listed = [
        listing
        for adapter in ADAPTERS
        for listing in load_simulated(adapter).LISTINGS
        if not is_cross(listing)
    ]
    for place, listing in enumerate(listed):
        others = (*listed[place + 1 :], *listed[:place])
        second = [x for x in others if x.base == listing.base and x.venue != listing.venue]
        yield [listing, *second[:1]]


class Market:
    """Simulated venues, and what moves their books."""

    def __init__(self, seed: int, listings: Sequence[Listing], kernel: Kernel) -> None:
        context = Context(
            seed,
            FaultTable({}),
            kernel.now_ns,
            self._fair,
            lambda delay_s, event: kernel.after(round(delay_s * _S), event),
        )
        self.exchanges: list[Exchange] = [
            load_simulated(listing.venue).open_venue(context, (listing,)).exchange
            for listing in listings
        ]
        self._generator = MarketGenerator(self.exchanges, seed)

    def step(self, now_ns: int) -> None:
        """Move every book by one tick."""
        self._generator.step(now_ns // _MS)
        for exchange in self.exchanges:
            for book in exchange.books.values():
                book.changed.clear()

    def _fair(self, venue: str, base: str) -> float:
        return self._generator.fair(venue, base)


@dataclass(slots=True)
class _Sent:
    """An order on its way, and what there is of it."""

    kind: OrderKind
    terms: OrderTerms
    name: str
    latency_ns: int
    order: Order | None = None
    refusal_paper: str = ""
    refusal_simulated: str = ""


class Comparison:
    """The orders of one seed in one book.

    Args:
        seed: Of the market and of the orders.
        listings: The book, and that of a second venue where there is one.
        config: Of the paper account.
    """

    def __init__(self, seed: int, listings: Sequence[Listing], config: Config) -> None:
        self._listing = listing = listings[0]
        self._kernel = Kernel(START_NS)
        self._traded = Market(seed, listings, self._kernel)
        self._watched = Market(seed, listings, self._kernel)
        self._exchange = self._traded.exchanges[0]
        self._view: DepthView | None = None
        self._views = 0
        self._sent: list[_Sent] = []
        self._unpriced: list[Compared] = []
        self._levels = config.orderbook.depth_levels
        self._conditions = Conditions(
            listing.venue,
            config.paper.at(configured_name(listing.venue, config)),
            latency_ms=config.executor.paper_latency_ms,
            drawn_by=f"{listing.instrument}/{seed}",
        )
        self._paper = PaperGateway(
            listing.venue,
            {(listing.venue, listing.instrument): rules_of(listing)},
            self._kernel,
            wait=not_here,
            quote_balance=config.executor.paper_balance,
            lets_rest=True,
            conditions=self._conditions,
        )
        self._watched.exchanges[0].print_listeners.append(self._on_print)
        self._drafts = drafts(Random(f"{seed}/{listing.venue}/{listing.instrument}"))

    def run(self) -> list[Compared]:
        """Return every order, in the order of the decisions."""
        until_ns = START_NS
        for draft in self._drafts:
            at_ns = START_NS + round(draft.at_s * _S)
            self._kernel.at(at_ns, partial(self._decide, draft))
            until_ns = max(until_ns, at_ns + round(draft.rest_s * _S) + AFTER_NS)
        self._step()
        self._kernel.run_until(until_ns)
        return [*map(self._result, self._sent), *self._unpriced]

    def _step(self) -> None:
        """Move both markets, and show the paper account one of them a little later."""
        now_ns = self._kernel.now_ns()
        self._traded.step(now_ns)
        self._watched.step(now_ns)
        self._views += 1
        view = self._view_now(now_ns)
        self._kernel.after(VIEW_NS, partial(self._show, view))
        self._kernel.after(TICK_MS * _MS, self._step)

    def _on_print(self, trade: Print) -> None:
        """Tell the paper account of a trade of others, as late as of books."""
        listing, now_ns = trade.listing, self._kernel.now_ns()
        message = Trade(
            venue=listing.venue,
            instrument=listing.instrument,
            trade_id=str(trade.trade_id),
            side=trade.side,
            price=float(listing.price(trade.ticks)),
            qty=float(listing.qty(trade.lots)),
            ts_recv_ns=now_ns,
        )
        self._kernel.after(VIEW_NS, partial(self._paper.on_message, message))

    def _view_now(self, now_ns: int) -> DepthView:
        """Return the book that is not traded, as the orderbook publishes it."""
        exchange, listing = self._watched.exchanges[0], self._listing
        book = exchange.books[listing.instrument]
        return DepthView(
            venue=exchange.venue,
            instrument=listing.instrument,
            state=BookState.LIVE,
            epoch=START_NS,
            seq=self._views,
            bids=self._shown(book.bids),
            asks=self._shown(book.asks),
            ts_recv_ns=now_ns,
            ts_ns=now_ns,
        )

    def _shown(self, side: BookSide) -> list[ShownLevel]:
        # Division of whole numbers rounds correctly, so these are the floats of the venue's text.
        price, qty = 10**self._listing.price_scale, 10**self._listing.qty_scale
        return [(ticks / price, lots / qty) for ticks, lots in side.depth(self._levels)]

    def _show(self, view: DepthView) -> None:
        self._view = view
        self._paper.on_view(view)

    def _decide(self, draft: Draft) -> None:
        assert self._view is not None, "the first order is decided later than the first view"
        terms = terms_of(draft, self._listing, self._view)
        latency_ns = self._conditions.latency_ns()
        if terms is None:
            self._unpriced.append(
                Compared(
                    venue=self._listing.venue, kind=draft.kind, terms=None, latency_ns=latency_ns
                )
            )
            return
        sent = _Sent(draft.kind, terms, f"order-{len(self._sent)}", latency_ns)
        self._sent.append(sent)
        self._kernel.after(latency_ns, partial(self._arrive, sent))
        if terms.rests:
            rest_ns = round(draft.rest_s * _S)
            back_ns = rest_ns + self._conditions.latency_ns()
            self._kernel.after(max(latency_ns, back_ns), partial(self._cancel, sent))

    def _arrive(self, sent: _Sent) -> None:
        """Place an order on both sides."""
        try:
            self._paper.fill(OrderRequest(client_order_id=sent.name, terms=sent.terms))
        except (Rejected, Unavailable) as error:
            sent.refusal_paper = str(error)
        listing = self._exchange.by_instrument[self._listing.instrument]
        request = IncomingOrder(listing=listing, terms=sent.terms, client_id=sent.name)
        try:
            sent.order = self._exchange.place(request, self._kernel.now_ns() // _MS)
        except RefusedError as error:
            sent.refusal_simulated = error.reason.value

    def _cancel(self, sent: _Sent) -> None:
        """Take an order that rests back on both sides."""
        with suppress(Unavailable):
            self._paper.take_back(_key(sent))
        if sent.order is not None and sent.order.is_open:
            self._exchange.cancel(sent.order, self._kernel.now_ns() // _MS)

    def _result(self, sent: _Sent) -> Compared:
        report, order = self._paper.order(sent.name), sent.order
        return Compared(
            venue=sent.terms.venue,
            kind=sent.kind,
            terms=sent.terms,
            latency_ns=sent.latency_ns,
            paper=_filled(() if report is None else report.fills, sent.refusal_paper),
            simulated=_filled(() if order is None else order.fills, sent.refusal_simulated),
        )


def _key(sent: _Sent) -> OrderKey:
    terms = sent.terms
    return OrderKey(venue=terms.venue, instrument=terms.instrument, client_order_id=sent.name)


def _filled(fills: Sequence[FillReport | Fill], refusal: str) -> Filled:
    qty = sum((fill.qty for fill in fills), ZERO)
    worth = sum((fill.qty * fill.price for fill in fills), ZERO)
    return Filled(qty, worth / qty if qty else None, refusal)
