"""One simulated venue: books, orders and one account behind the protocols. Pure.

Time is handed in (``now_ms``). What happens is told to listeners at once and in order, so the
protocol adapters can push it; they never change state from inside a listener.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal

from services.venuesim import config
from services.venuesim.accounts import Ledger
from services.venuesim.listing import Listing
from services.venuesim.matching import BACKGROUND, Match, MatchingBook
from services.venuesim.matching import Sequence as UpdateIds
from services.venuesim.orders import (
    Fill,
    Order,
    OrderRequest,
    OrderType,
    Print,
    Refusal,
    RefusedError,
    Status,
    TimeInForce,
)
from shared.messages.base import Side

BPS = Decimal(10_000)

OrderListener = Callable[[Order, str, Fill | None], None]
"""Called with the order, what happened (NEW, TRADE, CANCELED, EXPIRED) and the fill of a TRADE."""


class FeePolicy:
    """In which asset fees are charged: quote, or a fee asset at its market price while it lasts."""

    def __init__(self, fee_asset: str = "") -> None:
        self.fee_asset = fee_asset


class Exchange:
    """Books, orders and the account of one venue."""

    def __init__(
        self,
        venue: str,
        listings: Sequence[Listing],
        *,
        fee_policy: FeePolicy,
        start: Mapping[str, Decimal],
        seed: int,
        shared_update_ids: bool = False,
        refuses_fok: bool = False,
    ) -> None:
        self.venue = venue
        self.fee_policy = fee_policy
        self.refuses_fok = refuses_fok  # else it is accepted and expires at once
        self.by_instrument = {listing.instrument: listing for listing in listings}
        self.by_symbol = {listing.symbol: listing for listing in listings}
        common = UpdateIds(1_000_000 + seed % 1_000)
        self.books = {
            listing.instrument: MatchingBook(
                common if shared_update_ids else UpdateIds(1_000_000 + seed % 1_000 + 10_000 * n)
            )
            for n, listing in enumerate(listings)
        }
        self.ledger = Ledger(start, config.LEVERAGE)
        self.orders: dict[int, Order] = {}
        self.open_orders: dict[int, Order] = {}
        self.fills: deque[Fill] = deque(maxlen=config.FILLS_MAX)
        self.prints: dict[str, deque[Print]] = {
            instrument: deque(maxlen=config.TRADES_MAX) for instrument in self.by_instrument
        }
        self.forgotten = {"orders": 0, "fills": 0}
        self._closed: deque[int] = deque()
        self._by_client_id: dict[str, int] = {}
        self._next_order_id = 4_000_000_000 + seed % 1_000_000
        self._next_trade_id = 70_000_000 + seed % 1_000_000
        self.order_listeners: list[OrderListener] = []
        self.print_listeners: list[Callable[[Print], None]] = []
        self.book_listeners: list[Callable[[Listing], None]] = []
        self.took_listeners: list[Callable[[Listing, Side, int, Decimal], None]] = []

    # -- orders --------------------------------------------------------------------------

    def place(self, request: OrderRequest, now_ms: int, fill_share: Decimal = Decimal(1)) -> Order:
        """Accept and match an order; ``fill_share`` below 1 ends it early (an injected fault).

        Raises:
            RefusedError: Nothing was done.
        """
        order = self._accept(request, now_ms)
        listing = request.listing
        book = self.books[listing.instrument]
        self._remember(order)
        self._tell(order, "NEW", None)
        lots = order.lots if fill_share == 1 else int(order.lots * fill_share)
        limit = order.ticks if request.type is OrderType.LIMIT else None
        if (
            request.tif is TimeInForce.FOK
            and _sum(book.available(request.side, limit, lots)) < lots
        ):
            lots = 0
        matches = book.take(request.side, limit, lots)
        for match in matches:
            self._execute(order, match, now_ms)
        if matches:
            for took in self.took_listeners:
                took(listing, request.side, matches[-1].price, order.cost)
        if order.remaining_lots:
            keeps = request.type is OrderType.LIMIT and request.tif is TimeInForce.GTC
            if keeps and fill_share == 1:
                book.rest(request.side, order.ticks, order.id, order.remaining_lots)
                order.on_book = True
            else:
                self._close(order, Status.EXPIRED, now_ms, "")
        self._book_changed(listing)
        return order

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
        if order_id is not None:
            return self.orders.get(order_id)
        return self.orders.get(self._by_client_id.get(client_id, -1))

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
        """Let somebody else take liquidity at the market."""
        for match in self.books[listing.instrument].take(side, None, lots):
            self._print(listing, side, match, now_ms)
            self._fill_maker(match, now_ms)

    # -- inside --------------------------------------------------------------------------

    def _accept(self, request: OrderRequest, now_ms: int) -> Order:
        listing = request.listing
        ticks = self._checked_price(request)
        lots = listing.lots(request.qty)
        if lots is None or lots <= 0 or request.qty < listing.qty_min:
            raise RefusedError(Refusal.LOT_SIZE)
        open_id = self._by_client_id.get(request.client_id)
        if open_id is not None and open_id in self.open_orders:
            raise RefusedError(Refusal.DUPLICATE_ID)
        if len(self.open_orders) >= config.OPEN_ORDERS_MAX:
            raise RefusedError(Refusal.TOO_MANY_OPEN)
        book = self.books[listing.instrument]
        limit = ticks if request.type is OrderType.LIMIT else None
        reachable = book.available(request.side, limit, lots)
        if request.post_only and reachable:
            raise RefusedError(Refusal.WOULD_TAKE)
        if limit is None and not reachable:
            raise RefusedError(Refusal.NO_LIQUIDITY)
        price = listing.price(limit if limit is not None else reachable[0][0])
        if request.qty * price < listing.notional_min and not request.reduce_only:
            raise RefusedError(Refusal.NOTIONAL)
        if self.refuses_fok and request.tif is TimeInForce.FOK and _sum(reachable) < lots:
            raise RefusedError(Refusal.FOK_UNFILLED)
        self._next_order_id += 1
        order = Order(self._next_order_id, request, ticks, lots, now_ms, now_ms)
        self._lock(order, reachable)
        return order

    @staticmethod
    def _checked_price(request: OrderRequest) -> int:
        if request.type is OrderType.MARKET:
            return 0
        ticks = request.listing.ticks(request.price) if request.price is not None else None
        if ticks is None or ticks <= 0:
            raise RefusedError(Refusal.PRICE_FILTER)
        return ticks

    def _lock(self, order: Order, reachable: list[tuple[int, int]]) -> None:
        """Lock what the order may cost at worst."""
        request, listing = order.request, order.request.listing
        if request.type is OrderType.LIMIT:
            cost = listing.price(order.ticks) * listing.qty(order.lots)
        else:
            cost = sum((listing.price(t) * listing.qty(n) for t, n in reachable), Decimal(0))
        if listing.perpetual:
            position = self.ledger.positions.get(listing.instrument)
            if request.reduce_only:
                held = position.qty if position else Decimal(0)
                signed = request.qty if request.side is Side.BUY else -request.qty
                if held * signed >= 0 or abs(signed) > abs(held):
                    raise RefusedError(Refusal.REDUCE_ONLY)
            price = cost / listing.qty(order.lots)
            amount = self.ledger.margin_needed(listing.instrument, request.side, request.qty, price)
            asset, refusal = listing.quote, Refusal.MARGIN
        elif request.side is Side.BUY:
            in_quote = not self.fee_policy.fee_asset
            amount = cost * (1 + listing.taker_bps / BPS) if in_quote else cost
            asset, refusal = listing.quote, Refusal.BALANCE
        else:
            amount, asset, refusal = listing.qty(order.lots), listing.base, Refusal.BALANCE
        amount = _cents(amount)
        if not self.ledger.lock(asset, amount):
            raise RefusedError(refusal)
        order.locked, order.lock_asset = amount, asset

    def _execute(self, taker: Order, match: Match, now_ms: int) -> None:
        """Fill the taker, print the trade, and fill the maker if it is a client."""
        listing = taker.request.listing
        self._print(listing, taker.request.side, match, now_ms)
        self._fill(taker, match.price, match.lots, maker=False, now_ms=now_ms)
        self._fill_maker(match, now_ms)

    def _fill_maker(self, match: Match, now_ms: int) -> None:
        if match.maker_id != BACKGROUND:
            maker = self.open_orders[match.maker_id]
            self._fill(maker, match.price, match.lots, maker=True, now_ms=now_ms)

    def _fill(self, order: Order, ticks: int, lots: int, *, maker: bool, now_ms: int) -> None:
        listing, side = order.request.listing, order.request.side
        price, qty = listing.price(ticks), listing.qty(lots)
        share = order.locked
        if lots < order.remaining_lots:
            share = _cents(order.locked * lots / order.remaining_lots)
        self.ledger.unlock(order.lock_asset, share)
        order.locked -= share
        pnl = Decimal(0)
        if listing.perpetual:
            pnl = self.ledger.settle_perpetual(listing.instrument, listing.quote, side, qty, price)
        else:
            self.ledger.settle_spot(listing.base, listing.quote, side, qty, price)
        fee, fee_asset = self._charge(listing, side, qty, price, maker=maker)
        fill = Fill(
            self._next_trade_id, order.id, order.request.client_id, listing, side, ticks, lots,
            fee, fee_asset, maker, now_ms, pnl,
        )  # fmt: skip
        order.filled_lots += lots
        order.cost += price * qty
        order.fee = order.fee + fee if order.fee_asset in {"", fee_asset} else order.fee
        order.fee_asset = order.fee_asset or fee_asset
        order.fills.append(fill)
        order.updated_ms = now_ms
        order.status = Status.PARTIALLY_FILLED if order.remaining_lots else Status.FILLED
        if len(self.fills) == config.FILLS_MAX:
            self.forgotten["fills"] += 1
        self.fills.append(fill)
        if not order.remaining_lots:
            self._forget_open(order)
        self._tell(order, "TRADE", fill)

    def _charge(
        self, listing: Listing, side: Side, qty: Decimal, price: Decimal, *, maker: bool
    ) -> tuple[Decimal, str]:
        """Charge the fee of one fill; return it and its asset."""
        bps = listing.maker_bps if maker else listing.taker_bps
        in_quote = qty * price * bps / BPS
        asset, fee = listing.quote, in_quote
        preferred = self.fee_policy.fee_asset
        if preferred:
            rate = self._mid(f"{preferred}/{listing.quote}")
            if rate and self.ledger.balance(preferred).free >= in_quote / rate:
                asset, fee = preferred, in_quote / rate
            elif side is Side.BUY:
                asset, fee = listing.base, qty * bps / BPS
        fee = _cents(fee)
        self.ledger.charge(asset, fee)
        return fee, asset

    def _mid(self, instrument: str) -> Decimal | None:
        book = self.books.get(instrument)
        if book is None:
            return None
        bid, ask = book.bids.best(), book.asks.best()
        if bid is None or ask is None:
            return None
        return self.by_instrument[instrument].price(bid + ask) / 2

    def _print(self, listing: Listing, side: Side, match: Match, now_ms: int) -> None:
        self._next_trade_id += 1
        trade = Print(self._next_trade_id, listing, side, match.price, match.lots, now_ms)
        self.prints[listing.instrument].append(trade)
        for listener in self.print_listeners:
            listener(trade)

    def _close(self, order: Order, status: Status, now_ms: int, reason: str) -> None:
        self.ledger.unlock(order.lock_asset, order.locked)
        order.locked = Decimal(0)
        order.status, order.updated_ms, order.reason = status, now_ms, reason
        order.on_book = False
        self._forget_open(order)
        self._tell(order, status.value, None)

    def _remember(self, order: Order) -> None:
        self.orders[order.id] = order
        self.open_orders[order.id] = order
        self._by_client_id[order.request.client_id] = order.id

    def _forget_open(self, order: Order) -> None:
        self.open_orders.pop(order.id, None)
        order.on_book = False
        self._closed.append(order.id)
        if len(self._closed) > config.ORDERS_MAX:
            gone = self.orders.pop(self._closed.popleft())
            if self._by_client_id.get(gone.request.client_id) == gone.id:
                del self._by_client_id[gone.request.client_id]
            self.forgotten["orders"] += 1

    def _tell(self, order: Order, what: str, fill: Fill | None) -> None:
        for listener in self.order_listeners:
            listener(order, what, fill)

    def _book_changed(self, listing: Listing) -> None:
        for listener in self.book_listeners:
            listener(listing)


def _cents(amount: Decimal) -> Decimal:
    """Round down to the finest unit accounts are kept in, so that sums stay exact."""
    return amount.quantize(Decimal("1e-8"), rounding=ROUND_DOWN)


def _sum(parts: list[tuple[int, int]]) -> int:
    return sum(lots for _, lots in parts)
