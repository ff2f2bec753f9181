"""What ``market_making`` knows of the past is its standing quotes and what was filled, no more.

So one that has no checkpoint needs no warm-up: the newest views are enough.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.messages.base import BookState, Side
from shared.strategies.quoting import Quoter
from tests.decision_builders import MS, T0
from tests.unit.test_market_making import quoter_of, show

PRICES = st.lists(st.integers(9_000, 11_000).map(lambda n: n / 100), min_size=2, max_size=30)


def told(quoter: Quoter, price: float, now_ns: int) -> None:
    """Let the taker's best bid be at a price."""
    levels = [(price, 10.0)], [(round(price + 0.02, 2), 10.0)]
    show(quoter, *levels, ts_ns=now_ns)
    quoter.refresh(now_ns)


@given(prices=PRICES, data=st.data())
def test_one_that_began_later_quotes_as_one_that_was_never_interrupted(
    prices: list[float], data: st.DataObject
) -> None:
    whole, late = quoter_of(), quoter_of()
    begin = data.draw(st.integers(1, len(prices) - 1))
    for number, price in enumerate(prices[:begin]):
        told(whole, price, T0 + number * MS)
    now_ns = T0 + begin * MS
    for quoter in (whole, late):
        told(quoter, prices[begin], now_ns)
    assert whole.wanted == late.wanted
    assert whole.why_not == late.why_not
    show(whole, state=BookState.STALE)  # what stands within its band only the first one knows
    whole.refresh(now_ns)
    assert not whole.quotes
    late = quoter_of()
    for number, price in enumerate(prices[begin:]):
        for quoter in (whole, late):
            told(quoter, price, now_ns + number * MS)
        assert whole.quotes == late.quotes
        assert whole.wanted == late.wanted
        assert whole.why_not == late.why_not
    assert whole.quotes.keys() == set(Side)
