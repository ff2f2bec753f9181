"""What is remembered of closing prices is of the books as they are, and of each question alone."""

from __future__ import annotations

from decimal import Decimal as D

from services.risk.market import LatestBooks
from shared.messages.base import BookState
from tests.decision_builders import SPOT, make_view


def test_a_price_is_remembered_until_another_view_comes() -> None:
    market = LatestBooks()
    market.on_view(make_view(bids=[(9_999.0, 1.0), (9_000.0, 1.0)]))
    price = market.closing_price()
    for _ in range(2):
        assert price("alpha", SPOT, D(1)) == 9_999
        assert price("alpha", SPOT, D(2)) == D("9499.5"), "the whole of it is sold"
        assert price("alpha", SPOT, D(-1)) == 10_001
        assert price("alpha", SPOT, D(3)) is None
        assert price("beta", SPOT, D(1)) is None
    assert market.closing_price() is price
    market.on_view(make_view("beta", bids=[(10_000.0, 1.0)], asks=[(10_002.0, 1.0)]))
    assert market.closing_price()("", SPOT, D(1)) == 10_000
    market.on_view(make_view("beta", state=BookState.STALE))
    assert market.closing_price()("", SPOT, D(1)) == 9_999
    market.on_view(make_view(state=BookState.STALE))
    assert market.closing_price()("", SPOT, D(1)) is None
