"""One simulated venue: books, orders and one account behind the protocols. Pure.

Time is handed in (``now_ms``). Listeners are called with what happens, at once and in order, so
that protocol adapters can push it; they never change state from inside a listener.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from shared.exchange.accounts import AccountLedger
from shared.exchange.amending import Amendment, would_take
from shared.exchange.filters import check_notional, checked_lots, checked_ticks, total
from shared.exchange.listing import Listing
from shared.exchange.matching import Match, MatchingBook
from shared.exchange.matching import Sequence as UpdateIds
from shared.exchange.order_log import OrderLog
from shared.exchange.orders import (
    Fill,
    IncomingOrder,
    Order,
    Print,
    Refusal,
    RefusedError,
    Status,
    TradeIds,
)
from shared.exchange.settlement import Settlement
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce

PRINTS_MAX = 1_000
"""Public trades remembered per instrument."""
OPEN_ORDERS_MAX = 500
"""Open orders per venue; more are refused."""
LEVERAGE = Decimal(20)

OrderListener = Callable[[Order, str, Fill | None], None]
"""Called with the order, what happened (NEW, AMENDED, TRADE, CANCELED, EXPIRED) and the fill of a
TRADE."""


class Exchange:
    """Books, orders and the account of one venue."""

    def __init__(
        self,
        venue: str,
        listings: Sequence[Listing],
        *,
        fee_asset: str,
        start: Mapping[str, Decimal],
        seed: int,
        leverage: Decimal = LEVERAGE,
        shared_update_ids: bool = False,
        refuses_fok: bool = False,
        numbers_trades_apart: bool = False,
        cuts_reduce_only: bool = False,
    ) -> None:
        self.venue = venue
        self.refuses_fok = refuses_fok  # else it is accepted and expires at once
        self.cuts_reduce_only = (
            cuts_reduce_only  # to the position; else one that exceeds it is refused
        )
        self.by_instrument = {listing.instrument: listing for listing in listings}
        self.by_symbol = {listing.symbol: listing for listing in listings}
        common = UpdateIds(1_000_000 + seed % 1_000)
        self.books = {
            listing.instrument: MatchingBook(
                common if shared_update_ids else UpdateIds(1_000_000 + seed % 1_000 + 10_000 * n)
            )
            for n, listing in enumerate(listings)
        }
        self.ledger = AccountLedger(start, leverage)
        self._settlement = Settlement(self.ledger, fee_asset, self._mid)
        self.log = OrderLog(self.ledger)
        self.orders, self.open_orders, self.fills = self.log.orders, self.log.open, self.log.fills
        self.forgotten = self.log.forgotten
        self.prints: dict[str, deque[Print]] = {
            instrument: deque(maxlen=PRINTS_MAX) for instrument in self.by_instrument
        }
        self.last_order_id = 4_000_000_000 + seed % 1_000_000
        first = 70_000_000 + seed % 1_000_000
        self.trade_ids = TradeIds(self.by_instrument, first, apart=numbers_trades_apart)
        self.order_listeners: list[OrderListener] = []
        self.print_listeners: list[Callable[[Print], None]] = []
        self.book_listeners: list[Callable[[Listing], None]] = []
        self.before_orders: list[Callable[[int], None]] = []
        """What is due before an order changes the account."""
        self.took_listeners: list[Callable[[Listing, Side, int], None]] = []

    # -- orders --------------------------------------------------------------------------

    def place(self, request: IncomingOrder, now_ms: int, fill_share: Decimal = Decimal(1)) -> Order:
        """Accept and match an order; ``fill_share`` below 1 ends it early (an injected fault).

        Raises:
            RefusedError: Nothing was done.
        """
        for settle in self.before_orders:
            settle(now_ms)
        order = self._accept(request, now_ms)
        listing = request.listing
        book = self.books[listing.instrument]
        self.log.add(order)
        self._notify(order, "NEW", None)
        lots = order.lots if fill_share == 1 else int(order.lots * fill_share)
        limit = order.ticks if request.type is OrderType.LIMIT else None
        if (
            request.tif is TimeInForce.FOK
            and total(book.available(request.side, limit, lots)) < lots
        ):
            lots = 0
        self._match(order, limit, lots, now_ms)
        if order.remaining_lots:
            keeps = request.type is OrderType.LIMIT and request.terms.rests
            if keeps and fill_share == 1:
                book.rest(request.side, order.ticks, order.id, order.remaining_lots)
                order.on_book = True
            else:
                self._close(order, Status.EXPIRED, now_ms, "")
        self._book_changed(listing)
        return order

    def amend(
        self, order: Order, wanted: Amendment, now_ms: int, *, keeps_place: bool = True
    ) -> None:
        """Change an open order; at another price it is matched like a new one.

        It keeps its place in the queue where only its quantity shrinks, if ``keeps_place``.

        Raises:
            RefusedError: Nothing was done.
        """
        for settle in self.before_orders:
            settle(now_ms)
        if not order.on_book or wanted.lots <= order.filled_lots:
            raise RefusedError(Refusal.NOT_OPEN)
        listing, side, ticks = order.request.listing, order.request.side, wanted.ticks
        book = self.books[listing.instrument]
        if would_take(book, order, ticks):
            raise RefusedError(Refusal.WOULD_TAKE)
        others = self.log.reduce_only.closing(listing, besides=order)
        self._settlement.relock(order, ticks, wanted.lots, others)
        stays = keeps_place and ticks == order.ticks and wanted.lots <= order.lots
        if not stays:
            book.remove(side, order.ticks, order.id)
        if wanted.client_id:
            self.log.rename(order, wanted.client_id)
        wanted.apply_to(order, now_ms)
        self._notify(order, "AMENDED", None)
        if stays:
            book.shrink(side, ticks, order.id, order.remaining_lots)
        else:
            order.on_book = False
            self._match(order, ticks, order.remaining_lots, now_ms)
            if order.is_open:
                book.rest(side, ticks, order.id, order.remaining_lots)
                order.on_book = True
        self._book_changed(listing)

    def cancel(self, order: Order, now_ms: int, reason: str = "") -> None:
        """Cancel an open order."""
        assert order.is_open
        request = order.request
        if order.on_book:
            book = self.books[request.listing.instrument]
            book.remove(request.side, order.ticks, order.id)
        self._close(order, Status.CANCELED, now_ms, reason)
        self._book_changed(request.listing)

    def find(self, order_id: int | None, client_id: str = "") -> Order | None:
        """Return an order by the venue's id or the client's (the newest that used it)."""
        return self.log.find(order_id, client_id)

    # -- the market around the account ---------------------------------------------------

    def background_quote(
        self, listing: Listing, side: Side, ticks: int, lots: int, now_ms: int
    ) -> None:
        """Set the background liquidity of one level; it may fill clients' resting orders."""
        matches = self.books[listing.instrument].set_background(side, ticks, lots)
        for match in matches:
            self._print(listing, side, match, now_ms)
            self._fill_maker(match, now_ms)

    def background_trade(self, listing: Listing, side: Side, lots: int, now_ms: int) -> None:
        """Let another participant take liquidity at the market."""
        for match in self.books[listing.instrument].take(side, None, lots):
            self._print(listing, side, match, now_ms)
            self._fill_maker(match, now_ms)

    # -- inside --------------------------------------------------------------------------

    def _accept(self, request: IncomingOrder, now_ms: int) -> Order:
        listing = request.listing
        is_market = request.type is OrderType.MARKET
        ticks = 0 if is_market else checked_ticks(listing, request.terms.price_limit)
        lots = checked_lots(listing, request.qty)
        namesake = self.log.find(None, request.client_id)
        if namesake is not None and namesake.id in self.open_orders:
            raise RefusedError(Refusal.DUPLICATE_ID)
        if len(self.open_orders) >= OPEN_ORDERS_MAX:
            raise RefusedError(Refusal.TOO_MANY_OPEN)
        book = self.books[listing.instrument]
        limit = None if is_market else ticks
        reachable = book.available(request.side, limit, lots)
        if (request.post_only or request.tif is TimeInForce.PO) and reachable:
            raise RefusedError(Refusal.WOULD_TAKE)
        if limit is None and not reachable:
            raise RefusedError(Refusal.NO_LIQUIDITY)
        price = listing.price(limit if limit is not None else reachable[0][0])
        if not request.reduce_only:
            check_notional(listing, request.qty, price)
        if self.refuses_fok and request.tif is TimeInForce.FOK and total(reachable) < lots:
            raise RefusedError(Refusal.FOK_UNFILLED)
        if self.cuts_reduce_only and request.reduce_only and listing.perpetual:
            lots = min(lots, listing.lots(self.log.reduce_only.left(listing, request.side)) or lots)
        order = Order(self.last_order_id + 1, request, ticks, lots, now_ms, now_ms)
        self._settlement.lock(order, reachable, self.log.reduce_only.closing(listing))
        self.last_order_id = order.id
        return order

    def _match(self, order: Order, limit: int | None, lots: int, now_ms: int) -> None:
        """Let an order take what is there for it, up to its limit."""
        request = order.request
        matches = self.books[request.listing.instrument].take(request.side, limit, lots)
        for match in matches:
            self._execute(order, match, now_ms)
        if matches:
            for took in self.took_listeners:
                took(request.listing, request.side, matches[-1].price)

    def _execute(self, taker: Order, match: Match, now_ms: int) -> None:
        """Fill the taker, print the trade, and fill the maker if it is a client."""
        listing = taker.request.listing
        self._print(listing, taker.request.side, match, now_ms)
        self._fill(taker, match.price, match.lots, maker=False, now_ms=now_ms)
        self._fill_maker(match, now_ms)

    def _fill_maker(self, match: Match, now_ms: int) -> None:
        # An order that an earlier fill of the same trade made void leaves its part to others.
        maker = self.open_orders.get(match.maker_id)
        if maker is not None:
            self._fill(maker, match.price, match.lots, maker=True, now_ms=now_ms)

    def _fill(self, order: Order, ticks: int, lots: int, *, maker: bool, now_ms: int) -> None:
        fill = self._settlement.fill(order, ticks, lots, maker=maker)
        fill.trade_id = self.trade_ids.newest(order.request.listing.instrument)
        fill.ts_ms = now_ms
        order.updated_ms = now_ms
        order.status = Status.PARTIALLY_FILLED if order.remaining_lots else Status.FILLED
        self.log.add_fill(order, fill)
        if not order.remaining_lots:
            self.log.close(order)
        self._notify(order, "TRADE", fill)
        self._expire_reduce_only(order.request.listing, now_ms)

    def _expire_reduce_only(self, listing: Listing, now_ms: int) -> None:
        """End orders that would open a position, now that there is less to close."""
        for order in self.log.reduce_only.void(listing):
            if order.on_book:
                book = self.books[listing.instrument]
                book.remove(order.request.side, order.ticks, order.id)
            self._close(order, Status.EXPIRED, now_ms, "")

    def _mid(self, instrument: str) -> Decimal | None:
        book = self.books.get(instrument)
        twice = book.both_best() if book else None
        return None if twice is None else self.by_instrument[instrument].price(twice) / 2

    def _print(self, listing: Listing, side: Side, match: Match, now_ms: int) -> None:
        trade_id = self.trade_ids.next(listing.instrument)
        trade = Print(trade_id, listing, side, match.price, match.lots, now_ms)
        self.prints[listing.instrument].append(trade)
        for listener in self.print_listeners:
            listener(trade)

    def _close(self, order: Order, status: Status, now_ms: int, reason: str) -> None:
        self.ledger.unlock(order.lock_asset, order.locked)
        order.locked = Decimal(0)
        order.status, order.updated_ms, order.reason = status, now_ms, reason
        self.log.close(order)
        self._notify(order, status.value, None)

    def _notify(self, order: Order, what: str, fill: Fill | None) -> None:
        for listener in self.order_listeners:
            listener(order, what, fill)

    def _book_changed(self, listing: Listing) -> None:
        for listener in self.book_listeners:
            listener(listing)
