"""Fold the decision streams into what happened: counts, ledger, state, latency. Pure.

Facts about money are folded by their ids, so an entry read twice counts once. Heartbeats count
from their process's start, so they are kept per incarnation and summed.
"""

from __future__ import annotations

from collections import Counter, deque
from decimal import Decimal
from typing import Any, NamedTuple

from shared import histogram
from shared.domain.accounting import Books
from shared.domain.executions import execution_of
from shared.domain.ownership import OrdersOnRecord, reduction_flaw
from shared.domain.strategy_books import StrategyBooks
from shared.messages.arb import Indication, NearMiss, Opportunity
from shared.messages.base import Message, TradingState
from shared.messages.control import Alert, Heartbeat
from shared.messages.execution import (
    ApprovedPlan,
    BalanceReport,
    Denied,
    ExecutorReady,
    Fill,
    FundingKnown,
    FundingPaid,
    OrderEvent,
    OrderStatus,
    PlanDone,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.fill_key import fill_key
from shared.messages.market import VenueStatus
from shared.messages.rounds import ROUNDS_MAX, RoundState, RoundsTold, StrategyPosition
from shared.watch.dust import IsDust, beside_rounds, more_than_dust
from shared.watch.funding_seen import FundingSeen
from shared.watch.remembered import Remembered

RECENT_MAX = 50
INDICATIONS_MAX = 64
"""Strategies and kinds of which the newest indication is kept."""
INCARNATIONS_MAX = 10_000
SILENT_AFTER_NS = 10_000_000_000
"""A process without a heartbeat for this long is gone."""
UNSETTLED = (
    OrderStatus.SUBMITTED,
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.UNKNOWN,
)
"""Statuses that are not final for an immediate-or-cancel order."""


class OrderNews(NamedTuple):
    """What was heard last of an order; ``is_taken``: its venue has named its own id of it."""

    status: OrderStatus
    venue: str
    is_taken: bool


class Collector:
    """Everything that the streams of decisions show."""

    def __init__(self) -> None:
        self.opportunities = 0
        self.near_misses: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.plans: Remembered[ApprovedPlan] = Remembered()
        self.plans_done: Remembered[PlanDone] = Remembered()
        self.orders: Remembered[OrderNews] = Remembered()
        self.fills: Remembered[Fill] = Remembered()
        self.fills_unowned = 0
        self._on_record = OrdersOnRecord()
        self.books = Books()
        self.is_dust: IsDust = lambda key, qty: False
        self.strategies = StrategyBooks()
        self.funding = FundingSeen(self.books, self.strategies)
        self.outcomes: Counter[str] = Counter()
        self.state: TradingStateChanged | None = None
        self.risk: RiskReport | None = None
        self.rounds: dict[str, StrategyPosition] = {}
        self.indications: Counter[str] = Counter()
        self.newest_indication: dict[str, Indication] = {}
        self.executor: ExecutorReady | None = None
        self.balances: dict[str, BalanceReport] = {}
        self.balances_first: dict[str, dict[str, Decimal]] = {}
        self.beats: Remembered[Heartbeat] = Remembered(INCARNATIONS_MAX)
        self.latest_beat: dict[tuple[str, str, str], Heartbeat] = {}
        self.recent_opportunities: deque[Opportunity] = deque(maxlen=RECENT_MAX)
        self.recent_done: deque[PlanDone] = deque(maxlen=RECENT_MAX)
        self.recent_fills: deque[Fill] = deque(maxlen=RECENT_MAX)
        self.alerts: deque[Alert] = deque(maxlen=RECENT_MAX)
        self.synced: Remembered[bool] = Remembered()
        self.unsynced_why: Remembered[str] = Remembered()
        self._fold = {
            Opportunity: self._on_opportunity,
            NearMiss: self._on_near_miss,
            Indication: self._on_indication,
            ApprovedPlan: self._on_plan,
            Denied: self._on_denied,
            OrderEvent: self._on_order,
            Fill: self._on_fill,
            FundingPaid: self.funding.on_paid,
            FundingKnown: self.funding.on_known,
            PlanDone: self._on_done,
            TradingStateChanged: self._on_state,
            RiskReport: self._on_risk,
            StrategyPosition: self._on_round,
            RoundsTold: self._on_rounds,
            ExecutorReady: self._on_executor,
            BalanceReport: self._on_balances,
            Heartbeat: self._on_beat,
            Alert: self.alerts.append,
            VenueStatus: self._on_status,
        }

    def on_message(self, message: Message) -> None:
        """Fold one message; types it has no use for are ignored."""
        fold: Any = self._fold.get(type(message))
        if fold is not None:
            fold(message)

    # -- what it adds up to ---------------------------------------------------------------------

    def counter(self, service: str, name: str) -> int:
        """Return a counter summed over all incarnations of a service."""
        return sum(
            beat.counters.get(name, 0)
            for beat in self.beats.items.values()
            if beat.service == service
        )

    def gauge(self, service: str, name: str) -> float:
        """Return a gauge summed over the instances of a service that still send heartbeats."""
        return sum(beat.gauges.get(name, 0.0) for beat in self.alive() if beat.service == service)

    def latency(self, name: str) -> dict[int, int]:
        """Return a measure's histogram merged over all processes and incarnations."""
        return histogram.merge(beat.latency.get(name, {}) for beat in self.beats.items.values())

    def order_counts(self) -> dict[str, int]:
        """Return orders by how they ended; ``unknown``: all that have not provably ended."""
        by_status = Counter(news.status for news in self.orders.items.values())
        return {
            "submitted": len(self.orders),
            "filled": by_status[OrderStatus.FILLED],
            "canceled": by_status[OrderStatus.CANCELED],
            "rejected": by_status[OrderStatus.REJECTED],
            "not_sent": by_status[OrderStatus.NOT_SENT],
            "unknown": sum(by_status[status] for status in UNSETTLED),
        }

    def in_flight(self) -> list[str]:
        """Return the ids of plans that have not ended."""
        return [plan for plan in self.plans.items if plan not in self.plans_done]

    def is_quiet(self, since_ns: int, *, but_rounds: bool = False) -> bool:
        """True when all is said to be over since, and nothing open (or ``but_rounds``: theirs)."""
        if not self.plans and not self.orders and not self.is_active():
            return True  # nothing was ever begun
        risk, executor = self.risk, self.executor
        return (
            risk is not None
            and executor is not None
            and min(risk.ts_ns, executor.ts_ns) > since_ns
            and not self.is_active()
            and risk.plans_in_flight == 0
            and executor.open_plans == 0
            and executor.unknown_orders == 0
            and not self.in_flight()
            and not beside_rounds(self.left_open(), self.rounds.values() if but_rounds else ())
            and not self.funding.unknown()
        )

    def left_open(self) -> dict[str, Decimal]:
        """Return net base units by asset of what trades hold open and ``is_dust`` calls none."""
        return more_than_dust(self.books, self.is_dust)

    def is_active(self) -> bool:
        """True when the state last published by risk is ACTIVE."""
        return self.state is not None and self.state.state is TradingState.ACTIVE

    def alive(self) -> list[Heartbeat]:
        """Return the newest heartbeat of every process alive lately, by service and instance."""
        newest_ns = max((beat.ts_ns for beat in self.latest_beat.values()), default=0)
        return [
            beat
            for _, beat in sorted(self.latest_beat.items())
            if newest_ns - beat.ts_ns < SILENT_AFTER_NS
        ]

    def never_synced(self, venue: str, instrument: str) -> str | None:
        """Return the last reason of a book that was never LIVE, ``None`` for one that was."""
        book = (venue, instrument)
        if book in self.synced:
            return None
        return self.unsynced_why.items.get(book) or "its feed reported nothing about it"

    # -- folding --------------------------------------------------------------------------------

    def _on_opportunity(self, message: Opportunity) -> None:
        self.opportunities += 1
        self.recent_opportunities.append(message)

    def _on_near_miss(self, message: NearMiss) -> None:
        self.near_misses[message.gate] += message.count

    def _on_indication(self, message: Indication) -> None:
        name = f"{message.strategy_id} {message.kind}"
        if name in self.indications or len(self.indications) < INDICATIONS_MAX:
            self.indications[name] += 1
            self.newest_indication[name] = message

    def _on_plan(self, message: ApprovedPlan) -> None:
        self.plans.put(message.plan_id, message)

    def _on_denied(self, message: Denied) -> None:
        self.denied[message.reason] += 1

    def _on_order(self, message: OrderEvent) -> None:
        if self._on_record.refuses(message):
            return
        self._on_record.announce(message)
        news = OrderNews(message.status, message.venue, bool(message.venue_order_id))
        self.orders.put(message.client_order_id, news)

    def _on_fill(self, message: Fill) -> None:
        """Count a fill once; where it comes again because its fee is known now, add the fee.

        A fill that belongs to no announced order is not ours; risk decides the same.
        """
        key, record = fill_key(message), self._on_record
        flaw = record.ownership_flaw(message) or (
            key not in self.fills and record.overfills(message)
        )
        if message.reduced_by:
            flaw = key not in self.fills and reduction_flaw(message, self.books)
        if flaw:
            self.fills_unowned += 1
            return
        before = self.fills.put(key, message)
        if before is None:
            record.book(message)
            self.books.trade(execution_of(message))
            self.strategies.trade(execution_of(message), self._strategy_of(message))
            self.recent_fills.append(message)
        elif before.fee is None and message.fee is not None:
            self.books.fee_told(execution_of(message))
            self.strategies.fee_told(execution_of(message), self._strategy_of(message))

    def _strategy_of(self, fill: Fill) -> str:
        """Return whose fill it is, as risk books it: what was adopted may be of a plan we know."""
        plan = self.plans.items.get(fill.plan_id)
        return (plan.strategy if plan is not None else "") or fill.strategy

    def _on_done(self, message: PlanDone) -> None:
        """A plan may end again (a late fill re-opened it): its last end replaces the one before."""
        self._on_record.end(message.plan_id)
        before = self.plans_done.put(message.plan_id, message)
        if before is not None:
            self.outcomes[before.outcome] -= 1
        self.outcomes[message.outcome] += 1
        self.recent_done.append(message)

    def _on_state(self, message: TradingStateChanged) -> None:
        self.state = message

    def _on_round(self, message: StrategyPosition) -> None:
        """Keep the rounds that are not closed."""
        if message.state is RoundState.CLOSED:
            self.rounds.pop(message.key, None)
        elif message.key in self.rounds or len(self.rounds) < ROUNDS_MAX:
            self.rounds[message.key] = message

    def _on_rounds(self, message: RoundsTold) -> None:
        still = dict.fromkeys(message.rounds)
        self.rounds = {key: each for key, each in self.rounds.items() if key in still}

    def _on_risk(self, message: RiskReport) -> None:
        self.risk = message

    def _on_executor(self, message: ExecutorReady) -> None:
        self.executor = message

    def _on_balances(self, message: BalanceReport) -> None:
        first = self.balances_first.setdefault(message.venue, {})
        for asset, balance in message.balances.items():
            first.setdefault(asset, balance.settled)
        self.balances[message.venue] = message

    def _on_status(self, message: VenueStatus) -> None:
        book = (message.venue, message.instrument)
        if not message.instrument:
            return
        if message.state.is_followed:
            self.synced.put(book, True)
        else:
            self.unsynced_why.put(book, message.reason)

    def _on_beat(self, message: Heartbeat) -> None:
        self.beats.put((message.service, message.instance, message.ts_started_ns), message)
        for key, beat in list(self.latest_beat.items()):
            # Of one name, a process replaces those that were not heard any more when it started.
            if key[:2] == (message.service, message.instance) and (
                beat.ts_ns <= message.ts_started_ns or not beat.process
            ):
                del self.latest_beat[key]
        name = message.service, message.instance, message.process
        self.latest_beat[name] = message
        if len(self.latest_beat) > INCARNATIONS_MAX:
            del self.latest_beat[next(iter(self.latest_beat))]
