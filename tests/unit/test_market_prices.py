"""The best price of a book as the executor's checks of a plan see it."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from services.executor.market import VIEW_AGE_NS_MAX, Markets
from shared.messages.base import BookState, Side
from tests.decision_builders import SPOT, T0, make_view

KEY = ("alpha", SPOT)


def markets(**changes: Any) -> Markets:
    """Markets that have learned one view."""
    made = Markets(("alpha",))
    made.learn_view(make_view(**changes))
    return made


def test_a_buy_takes_the_best_ask_and_a_sale_the_best_bid() -> None:
    known = markets(bids=[(9_999.5, 1.0), (9_999.0, 1.0)], asks=[(10_000.5, 1.0)])
    assert known.best_price(KEY, Side.BUY, T0) == Decimal("10000.5")
    assert known.best_price(KEY, Side.SELL, T0) == Decimal("9999.5")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": BookState.GAP},
        {"state": BookState.STALE},
        {"asks": []},
        {"asks": [(math.nan, 1.0)]},
        {"asks": [(math.inf, 1.0)]},
        {"asks": [(0.0, 1.0)]},
    ],
)
def test_a_book_that_cannot_be_trusted_has_no_best_price(changes: dict[str, Any]) -> None:
    assert markets(**changes).best_price(KEY, Side.BUY, T0) is None


def test_an_old_book_has_no_best_price() -> None:
    known = markets()
    assert known.best_price(KEY, Side.BUY, T0 + VIEW_AGE_NS_MAX) is not None
    assert known.best_price(KEY, Side.BUY, T0 + VIEW_AGE_NS_MAX + 1) is None
    assert known.best_price(("beta", SPOT), Side.BUY, T0) is None
