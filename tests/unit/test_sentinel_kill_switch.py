"""What the kill switch cancels and closes, what it leaves alone, and what it says of that."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sentinel.cancel_all import SETTLE_NS
from services.sentinel.closing import TRIES_MAX
from services.sentinel.kill_switch import KillReport, KillSwitch
from services.sentinel.requests import (
    AllCanceled,
    CancelAll,
    CancelAnswered,
    CancelOrder,
    Close,
    CloseAnswered,
    OrdersRead,
    PositionsRead,
    ReadFailed,
    ReadOrders,
    ReadPositions,
    ReadTouch,
    TouchRead,
)
from shared.accounts.gateway import BY_SENTINEL, OrderReport, forced_by_sentinel
from shared.engine import Action
from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.messages.terms import OrderTerms, TimeInForce

D = Decimal
MS = 1_000_000
T0 = 1_700_000_000_000_000_000
SPOT, PERP, OTHER = "BTC/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"
VENUES = {"alpha": (SPOT,), "beta": (PERP, OTHER), "gamma": (PERP,)}
PERPS = {"beta": (PERP, OTHER), "gamma": (PERP,)}


def resting(venue: str, name: str) -> OrderReport:
    terms = OrderTerms(
        venue=venue, instrument=VENUES[venue][0], side=Side.BUY, qty=D(1), price_limit=D(90)
    )
    return OrderReport(
        client_order_id=name, terms=terms, status=OrderStatus.ACCEPTED, venue_order_id=f"v{name}"
    )


class Venues:
    """Venues that answer after 5 ms: what they show, refuse, and how much of an order they take."""

    def __init__(self) -> None:
        self.orders: dict[str, list[OrderReport]] = {venue: [] for venue in VENUES}
        self.late: dict[str, list[OrderReport]] = {}
        """Orders that are on their way, and show only after the first reading."""
        self.positions: dict[tuple[str, str], Decimal] = {}
        self.silent: set[str] = set()
        self.unlisted: set[str] = set()
        """They do not tell what works, and take cancel-all."""
        self.no_cancel_all: set[str] = set()
        self.loses_cancel_all: set[str] = set()
        """They act on cancel-all, and the answer is lost."""
        self.no_touch: set[str] = set()
        self.takes = D(1)
        """The share of an order that is filled."""
        self.loses = 0
        """So many answers to orders are lost, though the orders are filled."""
        self.sent: list[Close] = []
        self.asked: Counter[str] = Counter()

    def answer(self, action: Action) -> Any:
        self.asked[type(action).__name__] += 1
        if (
            isinstance(action, ReadOrders | ReadPositions | ReadTouch)
            and action.venue in self.silent
        ):
            return ReadFailed(action, "no answer in time")
        if isinstance(action, CancelAll):
            return self._cancel_all(action.venue)
        if isinstance(action, ReadOrders) and action.venue in self.unlisted:
            return ReadFailed(action, "refused")
        if isinstance(action, ReadOrders):
            shown = tuple(self.orders[action.venue])
            self.orders[action.venue] += self.late.pop(action.venue, [])
            return OrdersRead(action.venue, shown)
        if isinstance(action, CancelOrder):
            there = self.orders[action.key.venue]
            there[:] = [o for o in there if o.venue_order_id != action.key.venue_order_id]
            return CancelAnswered(action.key)
        if isinstance(action, ReadPositions):
            held = {n: self.positions.get((action.venue, n), D(0)) for n in action.instruments}
            return PositionsRead(action.venue, {name: qty for name, qty in held.items() if qty})
        if isinstance(action, ReadTouch):
            if action.venue in self.no_touch:
                return ReadFailed(action, "no book")
            return TouchRead(action.venue, action.instrument, D(99), D(101), D("0.5"))
        assert isinstance(action, Close)
        return self._fill(action)

    def _cancel_all(self, venue: str) -> AllCanceled:
        if venue in self.no_cancel_all:
            return AllCanceled(venue, none="has.cancelAllOrders is False")
        if venue in self.silent:
            return AllCanceled(venue, problem="no answer in time")
        self.orders[venue].clear()
        lost = "no answer in time" if venue in self.loses_cancel_all else ""
        return AllCanceled(venue, problem=lost)

    def _fill(self, action: Close) -> CloseAnswered:
        self.sent.append(action)
        terms = action.order.terms
        place = terms.venue, terms.instrument
        held = self.positions.get(place, D(0))
        assert terms.side.signed(terms.qty) * held < 0, "it would open a position"
        self.positions[place] = held + terms.side.signed(terms.qty * self.takes)
        self.loses -= 1
        return CloseAnswered(action.order, "no answer in time" if self.loses >= 0 else "")

    def press(
        self, *, flatten: bool = False, spot: Any = None, within_ms: int = 10_000
    ) -> KillReport:
        switch = KillSwitch(
            VENUES,
            "test",
            T0,
            flatten=flatten,
            spot=spot,
            within_ns=within_ms * MS,
            slippage_bps_max=D(100),
        )
        now_ns, todo = T0, [(T0 + 5 * MS, action) for action in switch.on_time(T0)]
        while not switch.has_ended:
            due_ns = switch.next_deadline_ns()
            assert due_ns is not None
            if todo and todo[0][0] <= due_ns:
                now_ns, action = todo.pop(0)
                more = switch.on_result(self.answer(action), now_ns)
            else:
                now_ns = max(now_ns, due_ns)
                more = switch.on_time(now_ns)
            todo += [(now_ns + 5 * MS, action) for action in more]
        return switch.report(now_ns)


def test_with_nothing_there_it_looks_twice_and_is_done() -> None:
    venues = Venues()
    report = venues.press()
    assert report.is_done and report.zero_orders_ms == 10 and report.not_done == []
    assert venues.asked == {"CancelAll": len(VENUES), "ReadOrders": 2 * len(VENUES)}
    assert report.took_ms >= SETTLE_NS / MS


def test_cancel_all_goes_before_the_first_reading_and_leaves_nothing_to_cancel() -> None:
    venues = Venues()
    venues.orders = {venue: [resting(venue, f"{venue}{n}") for n in range(9)] for venue in VENUES}
    report = venues.press()
    assert report.is_done and report.zero_orders_ms == 10
    assert venues.asked["CancelAll"] == len(VENUES) and "CancelOrder" not in venues.asked
    assert report.text().startswith(
        "cancel-all taken at 3 of 3 venues, 0 working orders found after it, none left after 10 ms"
    )


def test_where_orders_cannot_be_listed_cancel_all_still_cancels_them_and_those_that_come() -> None:
    venues = Venues()
    venues.unlisted = {"alpha"}
    venues.orders["alpha"] = [resting("alpha", "there")]
    asked = venues.answer

    def answer(action: Action) -> Any:
        told = asked(action)
        if isinstance(action, CancelAll) and venues.asked["CancelAll"] == len(VENUES):
            venues.orders["alpha"].append(resting("alpha", "late"))
        return told

    venues.answer = answer  # type: ignore[method-assign]
    report = venues.press(within_ms=2_000)
    assert venues.orders["alpha"] == []
    assert not report.is_done and report.orders["alpha"].left is None, "unknown is not none"
    assert report.not_done == ["alpha: its orders are not known (refused)"]


def test_without_cancel_all_orders_are_canceled_one_by_one_and_it_is_asked_for_once() -> None:
    venues = Venues()
    venues.no_cancel_all = {"beta"}
    venues.orders["beta"] = [resting("beta", f"b{n}") for n in range(4)]
    report = venues.press()
    assert report.is_done and venues.asked["CancelOrder"] == 4
    assert venues.asked["CancelAll"] == len(VENUES)
    assert report.orders["beta"].cancel_all == "has.cancelAllOrders is False"
    assert "cancel-all taken at 2 of 3 venues, 4 working orders found after it" in report.text()


def test_what_an_unanswered_cancel_all_did_shows_in_the_reading() -> None:
    venues = Venues()
    venues.loses_cancel_all = set(VENUES)
    venues.orders["gamma"] = [resting("gamma", "g")]
    report = venues.press()
    assert report.is_done and "CancelOrder" not in venues.asked
    assert report.orders["gamma"].cancel_all == "no answer in time"


def test_an_order_on_its_way_is_found_by_the_second_look() -> None:
    venues = Venues()
    venues.late["alpha"] = [resting("alpha", "late")]
    report = venues.press()
    assert report.is_done and venues.orders["alpha"] == []
    assert report.orders["alpha"].found == 1
    assert report.zero_orders_ms is not None and report.zero_orders_ms > SETTLE_NS / MS


def test_a_venue_that_does_not_answer_is_unknown_and_holds_up_no_other() -> None:
    venues = Venues()
    venues.orders = {venue: [resting(venue, venue)] for venue in VENUES}
    venues.silent = {"gamma"}
    report = venues.press(within_ms=3_000)
    assert report.orders["alpha"].clear_ms == report.orders["beta"].clear_ms == 10
    assert report.orders["gamma"].left is None and report.zero_orders_ms is None
    assert report.not_done == ["gamma: its orders are not known (no answer in time)"]
    assert report.took_ms == 3_000


def test_positions_are_closed_within_the_slippage_allowed_and_only_reduced() -> None:
    venues = Venues()
    venues.positions = {("beta", PERP): D("0.5"), ("gamma", PERP): D("-0.25")}
    report = venues.press(flatten=True, spot={})
    assert report.is_done and set(venues.positions.values()) == {D(0)}
    assert report.positions is not None
    assert [(each.before, each.left) for each in report.positions] == [
        (D("0.5"), D(0)),
        (D("-0.25"), D(0)),
    ]
    prices = {each.order.terms.side: each.order.terms.price_limit for each in venues.sent}
    assert prices == {Side.SELL: D("98.5"), Side.BUY: D(102)}, "98.01 and 102.01, on the tick"
    for each in venues.sent:
        order = each.order
        assert order.reduce_only and order.terms.time_in_force is TimeInForce.IOC
        assert forced_by_sentinel(order.client_order_id) == BY_SENTINEL
    assert len({each.order.client_order_id for each in venues.sent}) == len(venues.sent)


def test_without_flatten_positions_are_not_even_read() -> None:
    venues = Venues()
    venues.positions = {("beta", PERP): D(1)}
    report = venues.press()
    assert report.is_done and report.positions is None and "ReadPositions" not in venues.asked


def test_what_an_unanswered_order_did_shows_in_the_position() -> None:
    venues = Venues()
    venues.positions, venues.loses = {("beta", OTHER): D(2)}, 1
    report = venues.press(flatten=True, spot={})
    assert report.is_done and len(venues.sent) == 1


def test_a_book_that_takes_a_part_is_asked_again_and_not_for_ever() -> None:
    venues = Venues()
    venues.positions, venues.takes = {("beta", OTHER): D(4)}, D("0.5")
    report = venues.press(flatten=True, spot={})
    assert len(venues.sent) == TRIES_MAX
    assert [each.order.terms.qty for each in venues.sent[:3]] == [D(4), D(2), D(1)]
    assert report.not_done == [f"beta: 0.01562500 {OTHER} is left (the book did not take it all)"]


def test_without_a_price_nothing_is_sent() -> None:
    venues = Venues()
    venues.positions, venues.no_touch = {("beta", OTHER): D(1)}, {"beta"}
    report = venues.press(flatten=True, spot={})
    assert venues.sent == [] and report.not_done == [f"beta: 1 {OTHER} is left (no book)"]


def test_what_spot_hedges_is_left_together() -> None:
    venues = Venues()
    venues.positions = {("beta", PERP): D("-0.5"), ("beta", OTHER): D(1)}
    report = venues.press(flatten=True, spot={"BTC": D("0.5")})
    assert venues.positions == {("beta", PERP): D("-0.5"), ("beta", OTHER): D(0)}
    assert "0.5 BTC of spot may hedge it" in report.not_done[0]


def test_a_rest_of_spot_hedges_nothing() -> None:
    venues = Venues()
    venues.positions = {("beta", PERP): D("-0.5")}
    assert venues.press(flatten=True, spot={"BTC": D("0.004")}).is_done


def test_unknown_spot_is_not_zero() -> None:
    venues = Venues()
    venues.positions = {("beta", PERP): D("-0.5"), ("beta", OTHER): D(1)}
    report = venues.press(flatten=True, spot=None)
    assert venues.positions[("beta", PERP)] == D("-0.5") and venues.positions["beta", OTHER] == 0
    assert "how much spot BTC hedges it is not known" in report.not_done[0]


def test_one_side_of_a_hedge_is_not_closed_while_the_other_cannot_be_read() -> None:
    venues = Venues()
    venues.positions = {("beta", PERP): D(1), ("gamma", PERP): D(-1), ("beta", OTHER): D(1)}
    venues.silent = {"gamma"}
    report = venues.press(flatten=True, spot={}, within_ms=4_000)
    assert venues.positions == {("beta", PERP): 1, ("gamma", PERP): -1, ("beta", OTHER): 0}
    assert any("positions in BTC at gamma are not known" in each for each in report.not_done)
    assert "gamma: positions are not known (no answer in time)" in report.not_done


def test_pressed_again_it_finds_nothing_to_do() -> None:
    venues = Venues()
    venues.positions = {("gamma", PERP): D(1)}
    assert venues.press(flatten=True, spot={}).is_done
    again = venues.press(flatten=True, spot={})
    assert again.is_done and again.positions == [] and len(venues.sent) == 1


def test_an_answer_of_an_earlier_episode_changes_nothing() -> None:
    switch = KillSwitch(
        VENUES, "r", T0, flatten=True, spot={}, within_ns=10_000 * MS, slippage_bps_max=D(1)
    )
    switch.on_time(T0)
    assert switch.on_result(TouchRead("beta", PERP, D(1), D(2), D(1)), T0 + 1) == []
    assert switch.on_result(ReadFailed(ReadTouch("beta", PERP), "x"), T0 + 2) == []
    assert switch.on_result(PositionsRead("alpha", {SPOT: D(1)}), T0 + 3) == []


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([("beta", PERP), ("beta", OTHER), ("gamma", PERP)]),
        st.integers(-5, 5).map(Decimal),
    ),
    st.sampled_from([None, {}, {"BTC": D(1)}, {"BTC": D(-3)}]),
    st.sets(st.sampled_from(sorted(VENUES))),
    st.sampled_from([D(0), D("0.5"), D(1)]),
    st.tuples(st.integers(0, 9), st.lists(st.sampled_from(sorted(VENUES)), max_size=6)),
)
def test_it_ends_in_time_opens_nothing_and_says_what_is_left(
    positions: dict[tuple[str, str], Decimal],
    spot: dict[str, Decimal] | None,
    silent: set[str],
    takes: Decimal,
    loses_and_orders: tuple[int, list[str]],
) -> None:
    venues = Venues()
    before, (loses, orders) = dict(positions), loses_and_orders
    venues.positions, venues.silent, venues.takes, venues.loses = positions, silent, takes, loses
    for number, venue in enumerate(orders):
        venues.orders[venue].append(resting(venue, f"o{number}"))
    report = venues.press(flatten=True, spot=spot, within_ms=5_000)
    assert report.took_ms <= 5_000
    for place, qty in before.items():  # never past zero, never away from it
        assert 0 <= abs(venues.positions[place]) <= abs(qty)
        assert venues.positions[place] * qty >= 0
    is_left = any(venues.positions.values()) or any(venues.orders.values())
    assert report.is_done == (not is_left and not silent)
    assert (report.not_done == []) == report.is_done
