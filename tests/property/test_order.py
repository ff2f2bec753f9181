"""The order table: only listed steps happen, and fills are the sum of what is distinct."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.order import (
    CONTRADICTIONS,
    TERMINAL,
    TRANSITIONS,
    Anomaly,
    OrderLife,
    OrderNews,
)
from shared.messages.execution import OrderStatus

D = Decimal
news = st.sampled_from(OrderNews)
fills = st.tuples(st.sampled_from("abcdef"), st.integers(1, 9))
heard = st.lists(st.one_of(news, fills, st.integers(0, 40)), max_size=30)


@given(heard)
def test_only_listed_steps_happen_and_the_rest_is_said(events) -> None:
    order = OrderLife(qty=D(20))
    for event in events:
        before = order.status
        if isinstance(event, OrderNews):
            anomaly = order.apply(event)
            assert order.status is TRANSITIONS[before, event]
            assert (anomaly is Anomaly.CONTRADICTION) == ((before, event) in CONTRADICTIONS)
        elif isinstance(event, tuple):
            order.add_fill(event[0], D(event[1]))
            assert order.status is before, "a fill alone decides no status"
        else:
            order.report_filled(D(event))


@given(heard)
def test_filled_is_the_sum_of_distinct_fills_and_never_falls(events) -> None:
    order, first = OrderLife(qty=D(20)), {}
    reported, last = D(0), D(0)
    for event in events:
        if isinstance(event, OrderNews):
            order.apply(event)
        elif isinstance(event, tuple):
            new, anomaly = order.add_fill(event[0], D(event[1]))
            assert new == (event[0] not in first)
            first.setdefault(event[0], D(event[1]))
            if new and sum(first.values()) > 20:
                assert anomaly is Anomaly.OVERFILL
        else:
            reported = max(reported, D(event))
            anomaly = order.report_filled(D(event))
            assert (anomaly is Anomaly.OVERFILL) == (reported > 20)
        assert order.traded_qty == sum(first.values(), D(0))
        assert order.filled_qty == max(reported, order.traded_qty) >= last
        last = order.filled_qty


def test_every_status_can_be_left_only_as_listed() -> None:
    assert set(TRANSITIONS) == {(status, event) for status in OrderStatus for event in OrderNews}
    for status in OrderStatus:
        nexts = {after for (before, _), after in TRANSITIONS.items() if before is status}
        assert nexts, status
    for (before, event), after in TRANSITIONS.items():
        if before in TERMINAL and after not in TERMINAL:
            assert (before, event) in CONTRADICTIONS
    assert {event for before, event in TRANSITIONS if before is OrderStatus.UNKNOWN} == set(
        OrderNews
    )


def test_a_fill_after_canceled_is_owned_and_said() -> None:
    order = OrderLife(qty=D(2))
    order.apply(OrderNews.ACCEPTED)
    order.apply(OrderNews.CANCELED)
    assert order.add_fill("a", D(1)) == (True, Anomaly.LATE_FILL)
    assert order.add_fill("a", D(1)) == (False, None)
    assert (order.filled_qty, order.status) == (D(1), OrderStatus.CANCELED)
