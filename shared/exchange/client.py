"""One exchange as its client meets it: requests in, an answer and events out. Pure.

``SimulatedMarket`` (``world.py``) moves several of them; the protocols of ``services/venuesim``
stand on ``Exchange`` itself. Times are UNIX nanoseconds and never go back; the exchange's own
clock has milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from shared.exchange.accounts import Balance
from shared.exchange.events import (
    NS_PER_MS,
    Answer,
    BookChange,
    Event,
    FillState,
    NewOrder,
    OrderState,
    OrderUpdate,
    PublicTrade,
    TrueBook,
)
from shared.exchange.exchange import LEVERAGE, Exchange
from shared.exchange.listing import Listing
from shared.exchange.orders import Fill, IncomingOrder, Order, Print, Refusal, RefusedError
from shared.messages.base import Side
from shared.messages.market import Level
from shared.messages.terms import OrderType


class SimulatedExchange:
    """Books, orders and one account of a venue.

    Args:
        venue: Its name in events.
        instruments: What it lists; fees are theirs.
        balances: What the account starts with.
        seed: Of its order and trade ids.
        fee_asset: That fees are paid in while it lasts; the quote asset if empty.
        leverage: Of perpetual positions.
        refuses_fok: Whether a fill-or-kill order that cannot be filled is refused, else it expires.
    """

    def __init__(
        self,
        venue: str,
        instruments: Sequence[Listing],
        *,
        balances: Mapping[str, Decimal],
        seed: int,
        fee_asset: str = "",
        leverage: Decimal = LEVERAGE,
        refuses_fok: bool = False,
    ) -> None:
        self.venue = venue
        self.engine = Exchange(
            venue,
            instruments,
            fee_asset=fee_asset,
            start=balances,
            seed=seed,
            leverage=leverage,
            refuses_fok=refuses_fok,
        )
        self._told = {name: book.seq for name, book in self.engine.books.items()}
        self._events: list[Event] = []
        self._now_ns = 0
        self.engine.print_listeners.append(self._on_print)
        self.engine.order_listeners.append(self._on_order)

    def submit(self, order: NewOrder, now_ns: int, fill_share: Decimal = Decimal(1)) -> Answer:
        """Accept and match an order, or refuse it; then nothing was done.

        ``fill_share`` below 1 ends it after that share of it, as an injected fault.
        """
        self._come_to(now_ns)
        listing = self.engine.by_instrument.get(order.instrument)
        if listing is None:
            return Answer(order=None, refusal=Refusal.INSTRUMENT, events=[])
        request = IncomingOrder(
            listing=listing,
            terms=listing.terms(order.side, order.qty, order.price, order.type, order.tif),
            client_id=order.client_order_id,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
        )
        try:
            accepted = self.engine.place(request, now_ns // NS_PER_MS, fill_share)
        except RefusedError as error:
            return Answer(order=None, refusal=error.reason, events=self.drain())
        return Answer(order=order_state(accepted), refusal=None, events=self.drain())

    def cancel(self, client_order_id: str, now_ns: int) -> Answer:
        """Cancel an order; one that is not open is refused, with its state if it is known."""
        self._come_to(now_ns)
        order = self.engine.find(None, client_order_id)
        if order is None or not order.is_open:
            known = None if order is None else order_state(order)
            return Answer(order=known, refusal=Refusal.NOT_OPEN, events=[])
        self.engine.cancel(order, now_ns // NS_PER_MS)
        return Answer(order=order_state(order), refusal=None, events=self.drain())

    def order(self, client_order_id: str) -> OrderState | None:
        """Return an order by the client's id, the newest that used it."""
        found = self.engine.find(None, client_order_id)
        return None if found is None else order_state(found)

    def open_orders(self) -> list[OrderState]:
        """Return the orders that may still fill, oldest first."""
        return [order_state(order) for order in self.engine.open_orders.values()]

    def fills_since(self, since_ns: int) -> list[FillState]:
        """Return the account's executions from a time on, oldest first."""
        since_ms = since_ns // NS_PER_MS
        return [fill_state(fill) for fill in self.engine.fills if fill.ts_ms >= since_ms]

    def balances(self) -> dict[str, Balance]:
        """Return free and locked amounts of every asset ever held."""
        return {a: Balance(b.free, b.used) for a, b in self.engine.ledger.balances.items()}

    def positions(self) -> dict[str, Decimal]:
        """Return signed perpetual positions in base units, without those that are closed."""
        return {name: p.qty for name, p in self.engine.ledger.positions.items() if p.qty}

    def totals(self) -> dict[str, Decimal]:
        """Return what exists of each asset: account, fees, other participants. It never changes."""
        ledger = self.engine.ledger
        return {asset: ledger.total(asset) for asset in tuple(ledger.balances)}

    def book(self, instrument: str, depth: int | None = None) -> TrueBook:
        """Return a book as it is now."""
        listing, book = self.engine.by_instrument[instrument], self.engine.books[instrument]
        limit = len(book.bids.keys) + len(book.asks.keys) if depth is None else depth
        return TrueBook(
            venue=self.venue,
            instrument=instrument,
            seq=book.seq,
            bids=[_level(listing, ticks, lots) for ticks, lots in book.bids.depth(limit)],
            asks=[_level(listing, ticks, lots) for ticks, lots in book.asks.depth(limit)],
        )

    def drain(self, now_ns: int | None = None) -> list[Event]:
        """Return what happened since the last call, in order, the books' changes last."""
        if now_ns is not None:
            self._come_to(now_ns)
        events, self._events = self._events, []
        for instrument, book in self.engine.books.items():
            if not book.changed:
                continue
            listing = self.engine.by_instrument[instrument]
            sides: dict[Side, list[Level]] = {Side.BUY: [], Side.SELL: []}
            for side, ticks in book.changed:
                sides[side].append(_level(listing, ticks, book.lots_at(side, ticks)))
            book.changed.clear()
            events.append(
                BookChange(
                    venue=self.venue,
                    instrument=instrument,
                    seq_prev=self._told[instrument],
                    seq=book.seq,
                    bids=sides[Side.BUY],
                    asks=sides[Side.SELL],
                    ts_ns=self._now_ns,
                )
            )
            self._told[instrument] = book.seq
        return events

    def _come_to(self, now_ns: int) -> None:
        assert now_ns >= self._now_ns, "time never goes back"
        self._now_ns = now_ns

    def _on_print(self, trade: Print) -> None:
        price, qty = _level(trade.listing, trade.ticks, trade.lots)
        self._events.append(
            PublicTrade(
                venue=self.venue,
                instrument=trade.listing.instrument,
                trade_id=trade.trade_id,
                side=trade.side,
                price=price,
                qty=qty,
                ts_ns=trade.ts_ms * NS_PER_MS,
            )
        )

    def _on_order(self, order: Order, what: str, fill: Fill | None) -> None:
        own = None if fill is None else fill_state(fill)
        update = OrderUpdate(venue=self.venue, what=what, order=order_state(order), fill=own)
        self._events.append(update)


def order_state(order: Order) -> OrderState:
    """Return a copy of an order that does not change."""
    request, listing = order.request, order.request.listing
    return OrderState(
        order_id=order.id,
        client_order_id=request.client_id,
        instrument=listing.instrument,
        side=request.side,
        type=request.type,
        tif=request.tif,
        price=None if request.type is OrderType.MARKET else listing.price(order.ticks),
        qty=listing.qty(order.lots),
        filled_qty=listing.qty(order.filled_lots),
        cost=order.cost,
        status=order.status,
        reduce_only=request.reduce_only,
        fills=tuple(fill_state(fill) for fill in order.fills),
        ts_ns=order.ts_ms * NS_PER_MS,
        updated_ns=order.updated_ms * NS_PER_MS,
    )


def fill_state(fill: Fill) -> FillState:
    """Return a copy of a fill that does not change."""
    return FillState(
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        client_order_id=fill.client_id,
        instrument=fill.listing.instrument,
        side=fill.side,
        price=fill.price,
        qty=fill.qty,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        maker=fill.maker,
        pnl=fill.pnl,
        ts_ns=fill.ts_ms * NS_PER_MS,
    )


def _level(listing: Listing, ticks: int, lots: int) -> Level:
    # Division of whole numbers rounds correctly, so these are the floats of the venue's text.
    return ticks / 10**listing.price_scale, lots / 10**listing.qty_scale
