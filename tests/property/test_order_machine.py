"""One order between a venue and two channels that tell of it in any order, as a state machine."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.domain.order import Anomaly, OrderLife, OrderNews

D = Decimal
ZERO = D(0)
QTY = D(5)


@dataclass
class Told:
    """What a channel says: news, the cumulative figure, and the fills that it tells with it."""

    news: OrderNews
    filled: Decimal
    fills: tuple[tuple[str, Decimal], ...]


class OrderMachine(RuleBasedStateMachine):
    """The venue fills, ends and tells; what it told is delivered late, twice, out of order, never.

    A venue may also tell the end of an order before it tells its last fills.
    """

    def __init__(self) -> None:
        super().__init__()
        self.life = OrderLife(qty=QTY)
        self.fills: list[tuple[str, Decimal]] = []
        self.is_working, self.is_answered = True, False
        self.on_the_way: list[Told] = []
        self.found: set[Anomaly] = set()
        self.last = ZERO

    @property
    def filled(self) -> Decimal:
        return sum((qty for _, qty in self.fills), ZERO)

    def told(self, fills: list[tuple[str, Decimal]]) -> Told:
        filled = sum((qty for _, qty in fills), ZERO)
        if filled == QTY:
            news = OrderNews.FILLED
        elif not self.is_working:
            news = OrderNews.CANCELED
        else:
            news = OrderNews.PART_FILLED if filled else OrderNews.ACCEPTED
        return Told(news, filled, tuple(fills))

    @precondition(lambda self: self.is_working)
    @rule(lots=st.integers(1, 5))
    def the_venue_fills(self, lots: int) -> None:
        qty = min(D(lots), QTY - self.filled)
        self.fills.append((f"t{len(self.fills)}", qty))
        self.is_working = self.filled < QTY
        pushed = self.told(self.fills)
        self.on_the_way.append(Told(pushed.news, pushed.filled, (self.fills[-1],)))

    @precondition(lambda self: self.is_working)
    @rule()
    def the_venue_ends_it(self) -> None:
        self.is_working = False
        self.on_the_way.append(Told(OrderNews.CANCELED, self.filled, ()))

    @rule(hidden=st.integers(0, 2))
    def rest_tells(self, hidden: int) -> None:
        self.on_the_way.append(self.told(self.fills[: max(0, len(self.fills) - hidden)]))

    @precondition(lambda self: not self.is_answered)
    @rule(news=st.sampled_from([OrderNews.LOST, OrderNews.ACCEPTED]))
    def the_request_is_answered(self, news: OrderNews) -> None:
        self.is_answered = True
        self.on_the_way.append(Told(news, ZERO, ()))

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), is_kept=st.booleans())
    def something_arrives(self, data: st.DataObject, is_kept: bool) -> None:
        which = data.draw(st.integers(0, len(self.on_the_way) - 1))
        told = self.on_the_way[which] if is_kept else self.on_the_way.pop(which)
        self.take(told)

    @precondition(lambda self: self.on_the_way)
    @rule()
    def something_is_lost(self) -> None:
        self.on_the_way.pop()

    def take(self, told: Told) -> None:
        found = [self.life.report_filled(told.filled)]
        for trade_id, qty in told.fills:
            known = trade_id in self.life.trades
            is_new, anomaly = self.life.add_fill(trade_id, qty)
            assert is_new is not known
            found.append(anomaly)
        found.append(self.life.apply(told.news))
        self.found |= {each for each in found if each}

    @invariant()
    def we_own_no_more_than_was_traded_and_never_less_than_before(self) -> None:
        assert self.last <= self.life.filled_qty <= self.filled
        self.last = self.life.filled_qty
        assert self.found <= {Anomaly.LATE_FILL}, "nothing here contradicts, nothing is too much"
        for trade_id, qty in self.life.trades.items():
            assert (trade_id, qty) in self.fills

    def teardown(self) -> None:
        """The truth that REST tells in the end settles it, whatever was told before and after."""
        self.is_working = False
        self.take(self.told(self.fills))
        for late in self.on_the_way:
            self.take(late)
        assert self.life.is_settled
        assert self.life.filled_qty == self.life.traded_qty == self.filled
        assert self.life.status.value == ("FILLED" if self.filled == QTY else "CANCELED")


OrderMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
test_any_order_of_news_ends_in_the_truth = OrderMachine.TestCase
