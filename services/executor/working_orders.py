"""Our orders: puts them on record, applies the venues' answers, asks when in doubt. Pure.

An order's request is under way (``ts_ended_ns`` 0), answered, refused, not sent or lost. A lost one
is UNKNOWN until the venue itself shows it: it is queried with growing pauses. "No such order"
counts only after ``NOT_FOUND_TIMES`` such answers, the last one to a query that was sent
at least ``NOT_FOUND_AFTER_END_NS`` after the request ended and ``NOT_FOUND_AFTER_SENT_NS`` after it
was sent: venues list orders late, and a request may still be on its way. The latter exceeds the
validity window stamped on every order request, so that one still on its way by then will be refused
by the venue. An answer describes the time of its query, however late it arrives.

An order that works and should not is canceled, and again with every query until it is over: a
cancel has no answer of its own, and may be lost. That is an IOC order after a while, and one that
rests once its time is over; after a restart at once, because nothing watched it meanwhile.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.executor.actions import (
    Cancel,
    Query,
    QueryAnswered,
    QueryFailed,
    Submit,
    SubmitLost,
    SubmitNotSent,
    SubmitRefused,
    Submitted,
)
from services.executor.even_orders import OrderIntent
from services.executor.ids import client_order_id
from services.executor.journal import alert, order_event, record_fill
from services.executor.market import Markets
from services.executor.order_record import OrderRecord
from services.executor.state import ExecutorState, PlanRecord
from services.executor.unsettled import is_overdue
from shared.accounts.gateway import FillReport, OrderKey, OrderReport, OrderRequest
from shared.domain.order import Anomaly, OrderLife, OrderNews
from shared.engine import Step
from shared.errors import Cause
from shared.messages.control import Severity
from shared.messages.execution import OrderPurpose, OrderStatus

NOT_FOUND_TIMES: Final = 3
NOT_FOUND_AFTER_END_NS: Final = 1_000_000_000
NOT_FOUND_AFTER_SENT_NS: Final = 2_500_000_000
ANSWER_EXPECTED_NS: Final = 1_000_000_000
"""A request unanswered for so long is asked about while it is still under way."""
RESTING_NS_MAX: Final = 1_500_000_000
"""An IOC order that still works after this is canceled."""
RESTING_QUERY_NS: Final = 500_000_000
"""An order that rests is asked about this often, where its venue does not push what happens."""
RESTING_QUERY_PUSHED_NS: Final = 5_000_000_000
"""And where it does."""
QUERY_PAUSE_NS: Final = 50_000_000
"""Pause before the first repeated question; each further one is four times as long. The fourth is
asked just after a "no such order" begins to count, and questions are dear at some venues."""
PUSHED_NS: Final = 200_000_000
"""An answered order is asked for so much later where its venue pushes what happens to it."""
QUERY_PAUSE_NS_MAX: Final = 1_600_000_000
QUERY_STEPS_MAX: Final = 3
QUERY_PAUSE_LONG_NS: Final = 5_000_000_000
"""Once the attempts are used up and the operator was alerted, it is still queried, but seldom."""

_NEWS: Final = {
    OrderStatus.ACCEPTED: OrderNews.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED: OrderNews.PART_FILLED,
    OrderStatus.FILLED: OrderNews.FILLED,
    OrderStatus.CANCELED: OrderNews.CANCELED,
    OrderStatus.REJECTED: OrderNews.REJECTED,
}
_SEVERITY: Final = {
    Anomaly.CONTRADICTION: Severity.CRITICAL,
    Anomaly.OVERFILL: Severity.CRITICAL,
    Anomaly.LATE_FILL: Severity.WARNING,
}


class WorkingOrders:
    """Orders of all plans. Every method changes ``state`` and adds to ``out``, nothing else."""

    def __init__(
        self,
        state: ExecutorState,
        markets: Markets,
        counts: dict[str, int],
        query_attempts_max: int,
    ) -> None:
        self._state, self._markets, self._counts = state, markets, counts
        self._query_attempts_max = query_attempts_max
        self.streamed: set[str] = set()
        """Venues that push what happens to orders, nothing missing."""
        self._late: list[tuple[OrderRecord, FillReport]] = []
        self._answered: list[OrderRecord] = []
        self.requests_ended: list[OrderRecord] = []
        self._overdue: list[OrderRecord] = []

    def take_answered(self) -> list[OrderRecord]:
        """Return the orders with a new status from their venue, since this was last asked."""
        answered, self._answered = self._answered, []
        return answered

    def take_overdue(self) -> list[OrderRecord]:
        """Return the orders asked about in vain for too long, since this was last asked."""
        overdue, self._overdue = self._overdue, []
        return overdue

    def take_late(self) -> list[tuple[OrderRecord, FillReport]]:
        """Return new fills of orders whose plans have ended, since this was last asked."""
        late, self._late = self._late, []
        self._counts["late_fills"] += len(late)
        return late

    def record(
        self, plan: PlanRecord, trade: OrderIntent, slot: tuple[int, int], now_ns: int, out: Step
    ) -> OrderRecord:
        """Put an order on record as SUBMITTED; ``slot`` is its leg index and attempt."""
        order_id, terms = client_order_id(plan.plan_id, *slot), trade.terms
        assert order_id not in self._state.orders, f"{order_id} was used before"
        order = OrderRecord(
            client_order_id=order_id,
            plan_id=plan.plan_id,
            leg_index=slot[0],
            attempt=slot[1],
            purpose=trade.purpose,
            terms=terms,
            fee_bps=trade.fee_bps,
            life=OrderLife(qty=terms.qty),
            ts_created_ns=now_ns,
            next_query_ns=now_ns + ANSWER_EXPECTED_NS,
            reduce_only=trade.reduce_only,
            rest_until_ns=now_ns + trade.rest_ms * 1_000_000 if trade.rest_ms else 0,
            inverse_entry=plan.inverse_entry_of(terms.venue, terms.instrument),
            price_arrival=trade.price_arrival,
        )
        self._state.orders[order_id] = order
        plan.orders.append(order_id)
        # Before any fill of it, adopted or not: risk books fills of announced orders only.
        out.messages.append(order_event(order, plan, now_ns))
        return order

    def submit(
        self, plan: PlanRecord, trade: OrderIntent, slot: tuple[int, int], now_ns: int, out: Step
    ) -> Submit:
        """Put an order on record and return what sends it, once the record is safe."""
        order = self.record(plan, _priced(trade, self._markets, now_ns), slot, now_ns, out)
        self._counts["orders_submitted"] += 1
        return Submit(_request(order), plan.ts_recv_ns)

    def on_submitted(self, reply: Submitted, now_ns: int, out: Step) -> OrderRecord | None:
        """The venue answered the request with an order."""
        order = self._ended(reply.report.client_order_id, reply.ts_sent_ns, now_ns)
        if order is not None:
            # What is missing (fills, final status) is asked at once, unless it is pushed anyway.
            order.next_query_ns = now_ns + (PUSHED_NS if order.venue in self.streamed else 0)
            self.apply(order, reply.report, now_ns, out)
        return order

    def on_refused(self, reply: SubmitRefused, now_ns: int, out: Step) -> OrderRecord | None:
        """Take a definite refusal by the venue."""
        order = self._ended(reply.client_order_id, reply.ts_sent_ns, now_ns)
        if order is not None:
            self._counts["orders_rejected"] += 1
            order.cause = reply.cause
            self._apply_news(order, OrderNews.REJECTED, reply.reason, now_ns, out)
        return order

    def on_not_sent(self, reply: SubmitNotSent, now_ns: int, out: Step) -> OrderRecord | None:
        """Take that the request never reached the venue."""
        order = self._ended(reply.client_order_id, 0, now_ns)
        if order is not None:
            self._counts["orders_not_sent"] += 1
            order.cause = reply.cause
            self._apply_news(order, OrderNews.NOT_SENT, reply.reason, now_ns, out)
        return order

    def on_lost(self, reply: SubmitLost, now_ns: int, out: Step) -> OrderRecord | None:
        """Take that the answer was lost; from here on only what the venue shows counts."""
        order = self._ended(reply.client_order_id, reply.ts_sent_ns, now_ns)
        if order is not None:
            self._counts["orders_unknown"] += 1
            order.not_found, order.cause = 0, Cause.SERVICE
            order.next_query_ns = now_ns + QUERY_PAUSE_NS
            self._apply_news(order, OrderNews.LOST, reply.reason, now_ns, out)
        return order

    def on_query(
        self, reply: QueryAnswered | QueryFailed, now_ns: int, out: Step
    ) -> OrderRecord | None:
        """An answer about an order that was asked for by its client order id."""
        order = self._state.orders.get(reply.key.client_order_id)
        if order is None:
            return None
        order.query_pending = False
        if isinstance(reply, QueryAnswered) and reply.report is not None:
            self.apply(order, reply.report, now_ns, out)
        elif isinstance(reply, QueryAnswered):
            self._not_found(order, now_ns, out)
        if order.may_rest(now_ns):
            order.queries = 0  # it is not in doubt
        if is_overdue(order, self._query_attempts_max, now_ns):
            self._overdue.append(order)
        return order

    def apply(self, order: OrderRecord, report: OrderReport, now_ns: int, out: Step) -> None:
        """Take over everything a venue's report says; duplicates and old news change nothing."""
        before = (order.life.status, order.life.filled_qty)
        order.venue_order_id = report.venue_order_id or order.venue_order_id
        anomalies = [order.life.report_filled(report.filled_qty)]
        anomalies += [self._fill(order, fill, now_ns, out) for fill in report.fills]
        anomalies.append(order.life.apply(_news(order, report)))
        order.reason = report.reason or order.reason
        if before[0] is not OrderStatus.FILLED and order.life.status is OrderStatus.FILLED:
            self._counts["orders_filled"] += 1
        self._after(order, before != (order.life.status, order.life.filled_qty), now_ns, out)
        _alert_anomalies(order, anomalies, self._counts, now_ns, out)

    def apply_fill(self, order: OrderRecord, fill: FillReport, now_ns: int, out: Step) -> bool:
        """Take over one execution found in the account's history; return whether it is new."""
        known = len(order.life.trades)
        anomaly = self._fill(order, fill, now_ns, out)
        if len(order.life.trades) == known:
            return False
        self._after(order, True, now_ns, out)
        _alert_anomalies(order, [anomaly], self._counts, now_ns, out)
        return True

    def ask_due(self, now_ns: int, out: Step) -> None:
        """Query every order whose pause is over; cancel one that works and should not."""
        for order in self._state.orders.values():
            if order.query_pending or not 0 < order.next_query_ns <= now_ns:
                continue
            order.query_pending = True
            order.queries += 1
            order.ts_query_ns = now_ns
            order.next_query_ns = now_ns + self._pause_ns(order, now_ns)
            if order.is_working and now_ns >= _works_until_ns(order):
                out.actions.append(Cancel(key_of(order)))
            out.actions.append(Query(key_of(order)))

    def cancel(self, order: OrderRecord, now_ns: int, out: Step) -> None:
        """Let an order rest no longer; ``ask_due`` must be called in the same step."""
        order.rest_until_ns = now_ns
        if not order.is_working:
            return  # it is canceled as soon as the venue shows it
        order.queries, order.next_query_ns = 0, now_ns
        if order.query_pending:  # the next query, and the cancel with it, must wait for the answer
            out.actions.append(Cancel(key_of(order)))

    def next_deadline_ns(self) -> int | None:
        """Return when the next query is due."""
        due_ns: int | None = None
        for order in self._state.orders.values():  # asked after every step, so written out
            at_ns = order.next_query_ns
            if at_ns and not order.query_pending and (due_ns is None or at_ns < due_ns):
                due_ns = at_ns
        return due_ns

    def query_all_unsettled(self, now_ns: int) -> None:
        """After a restart: no request is under way any more, every unsettled order is asked for."""
        for order in self._state.orders.values():
            order.query_pending = order.is_overdue = False
            order.rest_until_ns = 0
            if not order.life.is_settled:
                order.ts_ended_ns = order.ts_ended_ns or now_ns
                order.not_found = order.queries = 0
                order.next_query_ns = now_ns

    def _pause_ns(self, order: OrderRecord, now_ns: int) -> int:
        if order.may_rest(now_ns):
            is_pushed = order.venue in self.streamed
            pause_ns = RESTING_QUERY_PUSHED_NS if is_pushed else RESTING_QUERY_NS
            return min(pause_ns, order.rest_until_ns - now_ns)
        return _doubt_pause_ns(order.queries, self._query_attempts_max)

    def _ended(self, order_id: str, ts_sent_ns: int, now_ns: int) -> OrderRecord | None:
        order = self._state.orders.get(order_id)
        if order is not None:
            order.ts_ended_ns, order.ts_sent_ns = now_ns, ts_sent_ns or order.ts_sent_ns
            self.requests_ended.append(order)
        return order

    def _apply_news(
        self, order: OrderRecord, news: OrderNews, reason: str, now_ns: int, out: Step
    ) -> None:
        before = order.life.status
        anomaly = order.life.apply(news)
        order.reason = reason or order.reason
        self._after(order, order.life.status is not before, now_ns, out)
        _alert_anomalies(order, [anomaly], self._counts, now_ns, out)

    def _after(self, order: OrderRecord, changed: bool, now_ns: int, out: Step) -> None:
        if order.life.is_settled:
            order.next_query_ns = 0
        elif not order.next_query_ns:
            order.next_query_ns = now_ns  # it seemed settled; late news says otherwise
        if changed:
            self._answered.append(order)
            plan = self._state.plans[order.plan_id]
            out.messages.append(order_event(order, plan, now_ns))

    def _fill(self, order: OrderRecord, fill: FillReport, now_ns: int, out: Step) -> Anomaly | None:
        new, anomaly = order.life.add_fill(fill.trade_id, fill.qty)
        if new:
            self._counts["fills"] += 1
            out.messages.append(record_fill(self._state, order, fill, self._markets, now_ns))
            if not self._state.plans[order.plan_id].is_open:
                self._late.append((order, fill))
        return anomaly

    def _not_found(self, order: OrderRecord, now_ns: int, out: Step) -> None:
        """Count "no such order" once it can mean anything; enough of them mean it never arrived."""
        asked_ns = order.ts_query_ns
        if not order.is_doubtful or not 0 < order.ts_ended_ns <= asked_ns:
            return
        order.not_found += 1
        # No answer before a restart: its commit may have taken long, it may have left just then.
        sent_ns = order.ts_sent_ns or order.ts_ended_ns
        if (
            order.not_found >= NOT_FOUND_TIMES
            and asked_ns - order.ts_ended_ns >= NOT_FOUND_AFTER_END_NS
            and asked_ns - sent_ns >= NOT_FOUND_AFTER_SENT_NS
        ):
            self._apply_news(order, OrderNews.NOT_SENT, "the venue has no such order", now_ns, out)


def _request(order: OrderRecord) -> OrderRequest:
    return OrderRequest(
        client_order_id=order.client_order_id,
        terms=order.terms,
        purpose=order.purpose,
        reduce_only=order.reduce_only,
    )


def _priced(trade: OrderIntent, markets: Markets, now_ns: int) -> OrderIntent:
    """Return a leg that takes with the price that all of it would trade at now, if one is known."""
    if trade.purpose is not OrderPurpose.LEG or trade.terms.rests:
        return trade
    price = markets.price_of(trade.terms, now_ns)
    return trade if price is None else msgspec.structs.replace(trade, price_arrival=price)


def _alert_anomalies(
    order: OrderRecord,
    anomalies: list[Anomaly | None],
    counts: dict[str, int],
    now_ns: int,
    out: Step,
) -> None:
    for anomaly in dict.fromkeys(found for found in anomalies if found):
        counts["anomalies"] += 1
        text = (
            f"{order.client_order_id} at {order.venue}: {order.life.status}, filled "
            f"{order.life.filled_qty} of {order.life.qty}"
        )
        alert(out, _SEVERITY[anomaly], anomaly.value, text, now_ns, order.client_order_id)


def _doubt_pause_ns(queries: int, queries_max: int) -> int:
    """Return how long to wait before an order is asked about once more."""
    if queries >= queries_max:
        return QUERY_PAUSE_LONG_NS
    pause: int = QUERY_PAUSE_NS * 4 ** min(queries, QUERY_STEPS_MAX)
    return min(pause, QUERY_PAUSE_NS_MAX)


def _works_until_ns(order: OrderRecord) -> int:
    """Return from when on an order is canceled that still works."""
    return order.rest_until_ns if order.terms.rests else order.ts_created_ns + RESTING_NS_MAX


def _news(order: OrderRecord, report: OrderReport) -> OrderNews:
    """Return what a report says of an order.

    A venue that has cut a reduce-only order to what is left of the position calls it filled when
    all of that is: of what was ordered the rest works no longer.
    """
    is_cut = order.reduce_only and report.filled_qty < order.life.qty
    if is_cut and report.status is OrderStatus.FILLED:
        return OrderNews.CANCELED
    return _NEWS[report.status]


def key_of(order: OrderRecord) -> OrderKey:
    """Return how to ask a venue for this order."""
    return OrderKey(
        venue=order.venue,
        instrument=order.instrument,
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
    )
