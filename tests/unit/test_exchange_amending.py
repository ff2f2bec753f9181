"""Changes of open orders in the simulated exchange: queue, funds, refusals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.exchange.amending import parse_amendment
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing, listing_of
from shared.exchange.orders import IncomingOrder, Order, Refusal, RefusedError, Status
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from tests.exchange_builders import make_rules

D = Decimal


class Venue:
    """An exchange with one spot market: asks from 101, bids from 99, ten of each."""

    def __init__(self, instrument: str = "BTC/USDT") -> None:
        venue = "perps" if ":" in instrument else "alpha"
        self.listing: Listing = listing_of(make_rules(venue, instrument, notional_min=D(1)))
        start = {"USDT": D(1_000), "BTC": D(5)}
        self.exchange = Exchange(venue, [self.listing], fee_asset="", start=start, seed=1)
        for side, price in ((Side.SELL, 101), (Side.BUY, 99)):
            self.background(side, price, 10)
        self.told: list[str] = []
        self.exchange.order_listeners.append(lambda order, what, fill: self.told.append(what))
        self.total = self.exchange.ledger.total("USDT")

    def background(self, side: Side, price: int, qty: int) -> None:
        ticks, lots = self.listing.ticks(D(price)), self.listing.lots(D(qty))
        assert ticks is not None and lots is not None
        self.exchange.background_quote(self.listing, side, ticks, lots, 0)

    def place(self, name: str, qty: str, price: int, **changes: Any) -> Order:
        terms = self.listing.terms(
            changes.pop("side", Side.BUY), D(qty), D(price), OrderType.LIMIT, TimeInForce.GTC
        )
        return self.exchange.place(IncomingOrder(self.listing, terms, name, **changes), 1)

    def amend(self, order: Order, price: int, qty: str, **changes: Any) -> None:
        wanted = parse_amendment(order, D(price), D(qty))
        self.exchange.amend(order, wanted, 2, **changes)
        self.check_books()

    def check_books(self) -> None:
        ledger = self.exchange.ledger
        held = sum((o.locked for o in self.exchange.open_orders.values()), D(0))
        used = sum((ledger.balance(a).used for a in ("USDT", "BTC")), D(0))
        assert held == used and ledger.total("USDT") == self.total

    def first_filled(self) -> str:
        """Let a seller take one at the best bid; return whose it was."""
        self.exchange.background_trade(self.listing, Side.SELL, self.listing.lots(D(1)) or 0, 3)
        filled = [o for o in self.exchange.orders.values() if o.filled_lots]
        return filled[0].request.client_id if filled else ""


@pytest.mark.parametrize(
    ("price", "qty", "keeps", "first"),
    [
        (100, "1", True, "a"),  # smaller: it keeps its place
        (100, "1", False, "b"),  # where the venue lets every change lose it
        (100, "3", True, "b"),  # larger: it goes to the back
    ],
)
def test_an_order_keeps_its_place_only_where_it_shrinks(price, qty, keeps, first) -> None:
    venue = Venue()
    a = venue.place("a", "2", 100)
    venue.place("b", "2", 100)
    venue.amend(a, price, qty, keeps_place=keeps)
    assert venue.first_filled() == first
    venue.check_books()


def test_at_a_price_that_is_met_it_is_matched_and_the_rest_stays() -> None:
    venue = Venue()
    order = venue.place("a", "1", 90)
    venue.exchange.ledger.transfer("USDT", D(1_000))
    venue.total = venue.exchange.ledger.total("USDT")
    venue.background(Side.SELL, 101, 4)
    venue.amend(order, 101, "6")
    assert (order.status, order.filled_lots) == (
        Status.PARTIALLY_FILLED,
        venue.listing.lots(D(4)),
    )
    assert venue.told == ["NEW", "AMENDED", "TRADE"] and order.on_book
    venue.exchange.cancel(order, 4)
    venue.check_books()
    assert venue.exchange.ledger.balance("USDT").used == 0


@pytest.mark.parametrize(
    ("price", "qty", "why"),
    [
        (90, "50", Refusal.BALANCE),
        (101, "1", Refusal.WOULD_TAKE),
        (90, "0.00011", Refusal.LOT_SIZE),
        (90, "0.0002", Refusal.NOTIONAL),
    ],
)
def test_what_is_refused_leaves_the_order_as_it_was(price, qty, why) -> None:
    venue = Venue()
    order = venue.place("a", "2", 90, post_only=True)
    before = (order.ticks, order.lots, order.locked, order.request)
    with pytest.raises(RefusedError) as told:
        venue.amend(order, price, qty)
    assert told.value.reason is why
    assert (order.ticks, order.lots, order.locked, order.request) == before
    assert venue.told == ["NEW"] and order.on_book
    venue.check_books()


def test_an_order_that_has_ended_is_not_changed() -> None:
    venue = Venue()
    order = venue.place("a", "1", 102)
    assert order.status is Status.FILLED
    with pytest.raises(RefusedError, match="no such open order"):
        parse_amendment(order, D(90), None)


def test_a_reduce_only_order_does_not_close_more_than_the_position() -> None:
    venue = Venue("BTC/USDT:USDT")
    venue.place("open", "2", 102)
    order = venue.place("close", "1", 110, side=Side.SELL, reduce_only=True)
    venue.amend(order, 111, "2")
    with pytest.raises(RefusedError, match="would not reduce"):
        venue.amend(order, 111, "3")
    assert order.lots == venue.listing.lots(D(2))


def test_when_losses_have_used_up_what_was_free_an_order_may_shrink_and_not_grow() -> None:
    venue = Venue("BTC/USDT:USDT")
    order = venue.place("a", "1", 90)
    venue.exchange.ledger.settle_funding("USDT", D(-1_100), 1)
    locked = order.locked
    with pytest.raises(RefusedError, match="insufficient margin"):
        venue.amend(order, 90, "2")
    assert order.locked == locked
    venue.amend(order, 90, "0.5")
    assert order.locked == locked / 2
