"""The executor's way to a simulated exchange and back: late, lost, refused or answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from random import Random

from services.executor import actions as act
from services.lab.conditions import VenueConditions
from services.lab.kernel import Kernel
from services.lab.switches import Switches
from shared.accounts.gateway import FillReport, OrderKey, OrderReport, PaymentReport
from shared.domain.instrument import is_spot
from shared.engine import Action, Result
from shared.errors import Cause
from shared.exchange.exchange import Exchange
from shared.exchange.orders import (
    Fill,
    IncomingOrder,
    Order,
    Refusal,
    RefusedError,
    Status,
)
from shared.messages.balances import Balance
from shared.messages.execution import OrderStatus

_MS = 1_000_000
FORCED = "liquidation-"
"""Begins the client order id of what a venue of the lab orders itself."""
TIMEOUT_NS = 2_000 * _MS
"""An answer that is not there by then is lost."""
TOLD_LATE_MS_MAX = 1_000
"""A venue may report an order as canceled, and its last fills only this much later."""
VALIDITY_MS = 2_000
"""A venue refuses an order that arrives later than this after it was stamped."""
LATE_MS_MAX = 4_000
"""A request may arrive this much later: within the validity stamped on it, or beyond."""
STATUS: Mapping[Status, OrderStatus] = {
    Status.NEW: OrderStatus.ACCEPTED,
    Status.PARTIALLY_FILLED: OrderStatus.PARTIALLY_FILLED,
    Status.FILLED: OrderStatus.FILLED,
    Status.CANCELED: OrderStatus.CANCELED,
    Status.EXPIRED: OrderStatus.CANCELED,
}
CAUSES: Mapping[Refusal, Cause] = {
    Refusal.BALANCE: Cause.FUNDS,
    Refusal.MARGIN: Cause.FUNDS,
    Refusal.REDUCE_ONLY: Cause.NOTHING_TO_REDUCE,
}


class AccountPort:
    """All venues' accounts, as the executor reaches them.

    Args:
        kernel: Time.
        exchanges: By venue.
        random: Draws latencies and faults.
        note: Takes a line about every fault, for the story of the seed.
        on_arrival: Called for every order that arrives: venue, client order id, how often it
            has arrived there, whether it was accepted.
        paid: Returns what a venue tells of its funding payments.
        follow: Lets the venue push what happens to orders.
        switches: The venues' dead-man's switches.
    """

    def __init__(
        self,
        kernel: Kernel,
        exchanges: Mapping[str, Exchange],
        random: Random,
        note: Callable[[str], None],
        on_arrival: Callable[[str, str, int, bool], None],
        *,
        paid: Callable[[act.FetchFunding], tuple[PaymentReport, ...]],
        follow: Callable[[act.FollowAccount, Callable[[Result], None]], None],
        switches: Switches,
    ) -> None:
        self._kernel, self._exchanges, self._random, self._note = kernel, exchanges, random, note
        self._on_arrival, self._paid, self.follow = on_arrival, paid, follow
        self._switches = switches
        self._hidden: dict[tuple[str, int], tuple[int, int]] = {}
        """Venue and order id -> until when the venue reports only so many of its fills."""
        self.conditions = {venue: VenueConditions() for venue in exchanges}
        self.sent: dict[tuple[str, str], int] = {}
        """Venue and client order id -> how often it arrived there."""
        self.answer_listeners: list[Callable[[Result], None]] = []
        """Called with every answer as it arrives, and with what venues push."""
        self.request_listeners: list[Callable[[Action], Callable[[Result], None]]] = []
        """Called with every request; what each returns is called with the answer to that one."""

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Send the request to the exchange, and its answer back unless one of them is lost."""
        if self.answer_listeners or self.request_listeners:
            asked = [listen(action) for listen in self.request_listeners]
            deliver = partial(_told_to, (*self.answer_listeners, *asked, deliver))
        if isinstance(action, act.Submit):
            self._submit(action, deliver)
            return
        if isinstance(action, act.FollowAccount):
            self.follow(action, deliver)
            return
        if isinstance(action, act.SetSwitch):
            self._set_switch(action, deliver)
            return
        venue = action.key.venue if isinstance(action, act.Query | act.Cancel) else action.venue  # type: ignore[attr-defined]
        conditions = self.conditions[venue]
        if conditions.is_down or self._happens(conditions.lost_request + conditions.lost_answer):
            self._note(f"{venue}: {type(action).__name__} got no answer")
            failed = _failed(action, "no answer in time")
            if failed is not None:
                self._kernel.after(TIMEOUT_NS, lambda: deliver(failed))
            return

        def arrive() -> None:
            cause = self.conditions[venue].bars(self._kernel.now_ns())
            if cause is None:
                answer = self._answer(action, self._exchanges[venue])
            else:
                self._note(f"{venue}: {type(action).__name__} is refused: {cause}")
                answer = _failed(action, f"refused: {cause}", cause)
            if answer is not None:
                self._kernel.after(self._latency_ns(), lambda: deliver(answer))

        self._kernel.after(self._latency_ns(), arrive)

    def _set_switch(self, action: act.SetSwitch, deliver: Callable[[Result], None]) -> None:
        conditions = self.conditions[action.venue]
        if conditions.is_down or self._happens(conditions.lost_request):
            self._note(f"{action.venue}: setting the dead-man's switch was lost on its way")
            missed = self._switches.miss(action)
            self._kernel.after(TIMEOUT_NS, lambda: deliver(missed))
            return
        answer_is_lost = self._happens(conditions.lost_answer)

        def arrive() -> None:
            cause = conditions.bars(self._kernel.now_ns())
            answer = self._switches.set(action) if cause is None else self._switches.miss(action)
            after_ns = self._latency_ns()
            if answer_is_lost:
                self._note(f"{action.venue}: the answer of its dead-man's switch was lost")
                answer, after_ns = self._switches.miss(action), TIMEOUT_NS
            self._kernel.after(after_ns, lambda: deliver(answer))

        self._kernel.after(self._latency_ns(), arrive)

    def _submit(self, action: act.Submit, deliver: Callable[[Result], None]) -> None:
        venue, name = action.order.terms.venue, action.order.client_order_id
        conditions, sent_ns = self.conditions[venue], self._kernel.now_ns()
        if self._happens(conditions.not_sent):
            self._note(f"{venue}: {name} was not sent")
            unsent = act.SubmitNotSent(name, "no connection")
            self._kernel.after(self._latency_ns(), lambda: deliver(unsent))
            return
        lost = act.SubmitLost(name, "no answer in time", sent_ns)
        if conditions.is_down or self._happens(conditions.lost_request):
            self._note(f"{venue}: {name} was lost on its way")
            self._kernel.after(TIMEOUT_NS, lambda: deliver(lost))
            return
        is_late = self._happens(conditions.late_request)
        if is_late:
            self._note(f"{venue}: {name} travels slowly")
        answer_is_lost = is_late or self._happens(conditions.lost_answer)

        def arrive() -> None:
            if self._kernel.now_ns() - sent_ns > VALIDITY_MS * _MS:
                self._note(f"{venue}: {name} came too late")
                answer: Result = act.SubmitRefused(name, "too late", sent_ns)
            elif (cause := self.conditions[venue].bars(self._kernel.now_ns())) is not None:
                answer = self._barred(venue, name, sent_ns, cause)
            elif conditions.closed is not None:
                self._note(f"{venue}: {name} was refused: {conditions.closed}")
                answer = act.SubmitRefused(name, "no orders now", sent_ns, conditions.closed)
            elif self._happens(conditions.refused):
                self._note(f"{venue}: {name} was refused")
                answer = act.SubmitRefused(name, "refused by the venue", sent_ns)
            else:
                answer = self._place(action, sent_ns)
            if answer_is_lost:
                self._note(f"{venue}: the answer to {name} was lost")
                self._kernel.at(sent_ns + TIMEOUT_NS, lambda: deliver(lost))
            else:
                self._kernel.after(self._latency_ns(), lambda: deliver(answer))

        slow_ns = self._random.randrange(200, LATE_MS_MAX) * _MS if is_late else 0
        self._kernel.after(self._latency_ns() + slow_ns, arrive)

    def _barred(self, venue: str, name: str, sent_ns: int, cause: Cause) -> Result:
        """Return the answer to an order while we are banned, or our key is revoked."""
        self._note(f"{venue}: {name} was refused: {cause}")
        if cause is Cause.RATE:
            return act.SubmitNotSent(name, "too many requests", cause)
        return act.SubmitRefused(name, "no such key", sent_ns, cause)

    def _place(self, action: act.Submit, sent_ns: int) -> Result:
        asked, terms, now_ms = action.order, action.order.terms, self._kernel.now_ns() // _MS
        exchange, key = self._exchanges[terms.venue], (terms.venue, asked.client_order_id)
        self.sent[key] = self.sent.get(key, 0) + 1
        request = IncomingOrder(
            listing=exchange.by_instrument[terms.instrument],
            terms=terms,
            client_id=asked.client_order_id,
            reduce_only=asked.reduce_only,
        )
        share = Decimal(1)
        if self._happens(self.conditions[terms.venue].partial):
            self._note(f"{terms.venue}: {asked.client_order_id} fills in part")
            share = Decimal(self._random.randrange(0, 10)) / 10
        try:
            order = exchange.place(request, now_ms, share)
        except RefusedError as error:
            self._on_arrival(*key, self.sent[key], False)
            cause = CAUSES.get(error.reason, Cause.ORDER)
            return act.SubmitRefused(asked.client_order_id, error.reason.value, sent_ns, cause)
        self._on_arrival(*key, self.sent[key], True)
        if order.fills and self._happens(self.conditions[terms.venue].late_fills):
            self._note(f"{terms.venue}: {asked.client_order_id} has fills that are reported late")
            until_ns = self._kernel.now_ns() + self._random.randrange(50, TOLD_LATE_MS_MAX) * _MS
            self._hidden[terms.venue, order.id] = until_ns, self._random.randrange(len(order.fills))
        return act.Submitted(self._told(order), sent_ns)

    def _told(self, order: Order) -> OrderReport:
        """Return an order as its venue reports it now."""
        return report_of(order, self._fills_told(order))

    def _fills_told(self, order: Order) -> list[Fill]:
        until_ns, count = self._hidden.get((order.request.listing.venue, order.id), (0, 0))
        return order.fills[:count] if self._kernel.now_ns() < until_ns else order.fills

    def _is_told(self, exchange: Exchange, fill: Fill) -> bool:
        if (exchange.venue, fill.order_id) not in self._hidden:  # nearly always
            return True
        return fill in self._fills_told(exchange.orders[fill.order_id])

    def _answer(self, action: Action, exchange: Exchange) -> Result | None:
        if isinstance(action, act.Query):
            order = find(exchange, action.key)
            return act.QueryAnswered(action.key, None if order is None else self._told(order))
        if isinstance(action, act.Cancel):
            order = find(exchange, action.key)
            if order is not None and order.is_open:
                exchange.cancel(order, self._kernel.now_ns() // _MS)
            return None
        if isinstance(action, act.CheckAccount):
            unlisted = [name for name in action.instruments if name not in exchange.by_instrument]
            return act.AccountChecked(action.venue, tuple(unlisted))
        if isinstance(action, act.FetchOpenOrders):
            working = tuple(self._told(order) for order in exchange.open_orders.values())
            return act.OpenOrdersAnswered(action.venue, working)
        if isinstance(action, act.FetchFills):
            since_ms = action.since_ns // _MS
            fills = (
                fill_of(fill)
                for fill in exchange.fills
                if fill.ts_ms >= since_ms and self._is_told(exchange, fill)
            )
            return act.FillsAnswered(action.venue, tuple(fills))
        if isinstance(action, act.FetchFunding):
            return act.FundingAnswered(action.venue, self._paid(action), action.until_ns)
        assert isinstance(action, act.FetchBalances), "there are no other actions"
        ledger = exchange.ledger
        balances = {a: Balance(free=b.free, used=b.used) for a, b in ledger.balances.items()}
        told = {name: held.qty for name, held in ledger.positions.items()}
        conditions = self.conditions[action.venue]
        if conditions.old_positions:
            told = conditions.positions = dict(conditions.positions or told)
        positions = {
            name: qty
            for name, qty in told.items()
            if name in action.instruments and not is_spot(name)
        }
        return act.BalancesAnswered(action.venue, balances, positions)

    def _latency_ns(self) -> int:
        """Mostly a few milliseconds, sometimes a hundred times that."""
        if self._random.random() < 0.02:
            return self._random.randrange(100, 1_500) * _MS
        return self._random.randrange(2 * _MS, 12 * _MS)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance


def _told_to(takers: Sequence[Callable[[Result], None]], result: Result) -> None:
    for take in takers:
        take(result)


def find(exchange: Exchange, key: OrderKey) -> Order | None:
    """Return the order a key means."""
    order_id = int(key.venue_order_id) if key.venue_order_id else None
    return exchange.find(order_id, key.client_order_id)


def fill_of(fill: Fill) -> FillReport:
    """Return an execution as a gateway reports it."""
    return FillReport(
        trade_id=str(fill.trade_id),
        venue_order_id=str(fill.order_id),
        instrument=fill.listing.instrument,
        side=fill.side,
        price=fill.price,
        qty=fill.qty,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        ts_venue_ns=fill.ts_ms * _MS,
    )


def report_of(order: Order, fills: Sequence[Fill]) -> OrderReport:
    """Return an order as a gateway reports it, with these fills; the rest come later."""
    request = order.request
    is_whole = len(fills) == len(order.fills)
    filled_lots = sum(fill.lots for fill in fills)
    return OrderReport(
        client_order_id=request.client_id,
        terms=request.terms,
        status=STATUS[order.status] if is_whole else OrderStatus.CANCELED,
        venue_order_id=str(order.id),
        filled_qty=request.listing.qty(filled_lots),
        fills=tuple(fill_of(fill) for fill in fills),
        reason=order.reason,
        forced="LIQUIDATION" if request.client_id.startswith(FORCED) else "",
    )


def news_of(order: Order, fill: Fill | None) -> OrderReport:
    """Return what is pushed about an order at this moment; ``fill`` is what just happened to it."""
    request = order.request
    return OrderReport(
        client_order_id=request.client_id,
        terms=request.terms,
        status=STATUS[order.status],
        venue_order_id=str(order.id),
        filled_qty=request.listing.qty(order.filled_lots),
        fills=() if fill is None else (fill_of(fill),),
        reason=order.reason,
    )


def _failed(action: Action, reason: str, cause: Cause = Cause.SERVICE) -> Result | None:
    """Return the result of a request that got no answer, or a no; a cancel has none."""
    if isinstance(action, act.Query):
        return act.QueryFailed(action.key, reason, cause)
    if isinstance(
        action,
        act.CheckAccount
        | act.FetchOpenOrders
        | act.FetchFills
        | act.FetchBalances
        | act.FetchFunding,
    ):
        return act.FetchFailed(action, reason, cause)
    return None
