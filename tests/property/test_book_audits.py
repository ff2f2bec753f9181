"""Whatever changes while a REST book is on its way: a true book never fails, a wrong one does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.orderbook.engine import OrderbookEngine
from shared.config_sections import OrderbookConfig
from shared.messages.book_audit import AuditVerdict, BookAudit, BookAuditAsked, BookAudited
from shared.messages.market import BookDelta, BookSnapshot

S = 1_000_000_000
T0 = 1_700_000_000 * S
PRICES = [90.0 + n for n in range(10)]
CHANGES = st.lists(
    st.tuples(st.sampled_from(PRICES), st.sampled_from([0.0, 1.0, 2.0, 3.0])), max_size=4
)


class Market:
    """The venue's own book of bids, and the engine that follows it."""

    def __init__(self, start: dict[float, float]) -> None:
        self.true, self.seq, self.now_ns = dict(start), 1, T0
        self.engine = OrderbookEngine(OrderbookConfig(stale_after_ms=600_000))
        self.engine.own(0, None, T0)
        levels = list(start.items())
        self.give(BookSnapshot(**self.of_book(), seq=1, bids=levels, asks=[(200.0, 1.0)]))

    def of_book(self) -> dict:
        return {"venue": "v", "instrument": "A/B", "epoch": T0, "ts_recv_ns": self.now_ns}

    def give(self, message) -> None:
        self.engine.on_message(message, self.now_ns)

    def change(self, levels, *, lost=()) -> None:
        """The market moves; the levels of ``lost`` change at the venue alone."""
        for price, qty in (*levels, *lost):
            self.true[price] = qty
        self.seq += 1
        delta = BookDelta(
            **self.of_book(), seq_prev=self.seq - 1, seq=self.seq, bids=list(levels), asks=[]
        )
        self.give(delta)

    def book(self) -> list:
        return [(price, qty) for price, qty in self.true.items() if qty]

    def verdict(self) -> BookAudited:
        self.now_ns += 2 * S
        told = self.engine.on_timer(self.now_ns).messages
        (audited,) = [message for message in told if isinstance(message, BookAudited)]
        return audited


START = st.dictionaries(st.sampled_from(PRICES), st.sampled_from([1.0, 2.0]), min_size=1)
BATCHES = st.lists(CHANGES, max_size=3)


def compare(market: Market, before, between, *, is_numbered: bool) -> BookAudited:
    """Ask; the venue answers after the changes of ``before``; those of ``between`` follow."""
    market.give(BookAuditAsked(**market.of_book()))
    for levels in before:
        market.change(levels)
    answer = BookAudit(
        **market.of_book(),
        bids=market.book(),
        asks=[(200.0, 1.0)],
        seq=market.seq if is_numbered else None,
    )
    for levels in between:
        market.change(levels)
    market.give(answer)
    return market.verdict()


@given(START, BATCHES, BATCHES, st.booleans())
def test_a_true_book_never_differs(start, before, between, is_numbered):
    audited = compare(Market(start), before, between, is_numbered=is_numbered)
    assert audited.verdict is not AuditVerdict.DIFFERS
    assert not audited.failed


@given(START, BATCHES, BATCHES, st.sampled_from(PRICES))
def test_a_change_that_was_lost_is_found_unless_it_moves(start, before, between, price):
    market = Market(start)
    wrong = 0.0 if market.true.get(price) else 5.0
    market.change([], lost=[(price, wrong)])
    audited = compare(market, before, between, is_numbered=True)
    moved = {each for levels in (*before, *between) for each, _ in levels}
    if price not in moved:
        assert audited.failed
        assert any(f"bid {price:.12g}:" in text for text in audited.differences)
