"""A tiny world for the executor's engine: venues that misbehave, a bus that commits, crashes.

Everything is decided by a ``choose`` function (hypothesis draws, or a seeded random), so a failing
run can be repeated. The world holds the truth; the checks compare the engine's record with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from services.executor import actions as act
from services.executor.engine import ExecutorEngine
from services.executor.state import LedgerStage
from services.risk.exposure import Ledger
from services.risk.reservations import Reservation, ReservedLeg
from shared.accounts.gateway import FillReport, OrderReport, OrderRequest, PaymentReport
from shared.config_limits import RiskConfig
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.domain.accounting import Books
from shared.domain.executions import Execution, cost_of
from shared.domain.quantities import base_of, is_inverse
from shared.engine import Step
from shared.errors import Cause
from shared.ledger import MarkAction, Opened
from shared.messages.balances import Balance
from shared.messages.base import BookState, Message, Side, TradingState
from shared.messages.control import Alert
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    OrderStatus,
    PlanDone,
    PlanLeg,
    TradingStateChanged,
)
from shared.messages.market import DepthView
from tests.decision_builders import make_info, make_view

D = Decimal
MS = 1_000_000
SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
PLACES = {"alpha": SPOT, "beta": SPOT, "gamma": PERP}
INVERSE = "BTC/USDT:BTC"
"""Contracts of one quote unit, settled in coins."""
INVERSE_PLACES = {**PLACES, "gamma": INVERSE}
FEE_ASSET = {"alpha": "BTC", "beta": "USDT", "gamma": "USDT"}
FEE_RATE = D("0.001")
LOT = D("0.001")
BID, ASK = D("9999"), D("10001")
Legs = tuple[tuple[str, Side, str], ...]
"""Venue, side and quantity of each."""
THREE_LEGS: tuple[Legs, ...] = (
    (("alpha", Side.BUY, "0.2"), ("beta", Side.SELL, "0.1"), ("gamma", Side.SELL, "0.1")),
    (("beta", Side.BUY, "0.05"), ("gamma", Side.BUY, "0.15"), ("alpha", Side.SELL, "0.2")),
    (("gamma", Side.BUY, "0.1"), ("alpha", Side.SELL, "0.06"), ("beta", Side.SELL, "0.04")),
)
CALM = "full"
HABITS = ("weak", "none", "reject", "not_sent", *Cause)
"""What a venue may be bad at for good."""
BEHAVIORS = (
    "full",
    "part",
    "none",
    "reject",
    "not_sent",
    "lost_full",
    "lost_part",
    "lost_never",
    "lost_late",
    "late_fill",
    "accepted_first",
    "slow",
    "weak",
)


@dataclass
class VenueOrder:
    """The venue's own record of an order."""

    request: OrderRequest
    venue_order_id: str
    fills: list[FillReport] = field(default_factory=list)
    forced: str = ""
    cut: Decimal | None = None
    """What the venue left of a reduce-only order."""
    rests: bool = False
    """Whether it works on."""

    def report(self) -> OrderReport:
        request = self.request
        filled = sum((fill.qty for fill in self.fills), D(0))
        full = filled == (request.terms.qty if self.cut is None else self.cut)
        return OrderReport(
            client_order_id=request.client_order_id,
            terms=request.terms,
            status=OrderStatus.FILLED if full else self._unfilled(filled),
            venue_order_id=self.venue_order_id,
            filled_qty=filled,
            fills=tuple(self.fills),
            forced=self.forced,
        )

    def _unfilled(self, filled: Decimal) -> OrderStatus:
        if not self.rests:
            return OrderStatus.CANCELED
        return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED


def make_config(
    places: Mapping[str, str] = PLACES, adapters: Mapping[str, str] | None = None, **changes: Any
) -> Config:
    venues = {
        venue: VenueConfig(instruments=[name], adapter=(adapters or {}).get(venue, ""))
        for venue, name in places.items()
    }
    return Config(
        venues=venues,
        risk=RiskConfig(loss_cap_bps=D(200)),
        executor=ExecutorConfig(**{"mode": "simulated", "dead_man_s": 0, **changes}),
    )


def make_plan(
    plan_id: str = "plan00000001",
    *,
    buy: str = "alpha",
    sell: str = "beta",
    qty: str = "0.1",
    now_ns: int = T0,
    loss_cap: str = "",
    legs: Legs = (),
    places: Mapping[str, str] = PLACES,
) -> ApprovedPlan:
    """A plan of two legs, or of those given."""

    def leg(venue: str, side: Side, qty: str) -> PlanLeg:
        price = D("10005") if side is Side.BUY else D("9995")
        return PlanLeg(
            venue=venue,
            instrument=places[venue],
            side=side,
            qty=D(qty),
            price_limit=price,
            price_expected=D("10000"),
            fee_bps=D(10),
        )

    made = [leg(*each) for each in legs or ((buy, Side.BUY, qty), (sell, Side.SELL, qty))]
    base = {leg.venue: base_of(leg.instrument, leg.qty, leg.price_expected) for leg in made}
    most = max(sum(base[leg.venue] for leg in made if leg.side is side) for side in Side)
    return ApprovedPlan(
        ts_ns=now_ns,
        plan_id=plan_id,
        opportunity_id=f"opportunity-{plan_id}",
        base="BTC",
        quote="USDT",
        legs=made,
        net_expected=D(1),
        loss_cap=D(loss_cap) if loss_cap else 200 * most,
        ts_recv_ns=now_ns - MS,
        ts_depth_ns=now_ns,
        ts_opportunity_ns=now_ns,
        ts_expire_ns=now_ns + SECOND,
    )


def reserved(plan: ApprovedPlan) -> Reservation:
    """What risk holds for a plan that it has approved."""
    legs = [
        ReservedLeg(terms=leg.terms, notional=D(1), asset="USDT", amount=D(1)) for leg in plan.legs
    ]
    return Reservation(
        plan_id=plan.plan_id,
        opportunity_id=plan.opportunity_id,
        quote=plan.quote,
        notional=D(1),
        loss_cap=plan.loss_cap,
        legs=legs,
        ts_expire_ns=plan.ts_expire_ns,
        policy=plan.policy,
    )


def lot_of(instrument: str) -> Decimal:
    """The lot of an instrument: of contracts one."""
    return D(1) if is_inverse(instrument) else LOT


class World:
    """Venues, bus and clock around one engine."""

    def __init__(
        self,
        choose: Callable[[str, tuple[Any, ...]], Any],
        places: Mapping[str, str] = PLACES,
        **config: Any,
    ) -> None:
        self.choose, self.places = choose, places
        self.config = make_config(places, **config)
        self.now_ns = T0
        self.orders: dict[str, dict[str, VenueOrder]] = {venue: {} for venue in PLACES}
        self.sent: Counter[str] = Counter()
        self.inbox: list[act.Report] = []
        self.later: list[tuple[int, Callable[[], None]]] = []
        self.history: list[tuple[dict[str, bytes], list[Message], int]] = [({}, [], T0)]
        self.beginning = 1
        self.calm = False
        self.habits: dict[str, str] = {}  # what a venue does with every order, calm or not
        self.closed: dict[str, Cause] = {}  # venues whose accounts cannot be read, and why
        self.unlisted: dict[str, tuple[str, ...]] = {}
        self.positions: dict[str, dict[str, Decimal]] = {}  # as venues tell them
        self.payments: list[PaymentReport] = []  # gamma's income history
        self.moved: dict[tuple[str, str], Decimal] = defaultdict(Decimal)  # by transfers
        self.open_results: dict[str, Decimal] = {}  # of positions that are not ours, by venue
        self.listed: dict[str, Balance] = {}  # what every venue tells of beside
        self.left_out: set[tuple[str, str]] = set()  # venues and assets that are not told
        self.funding_closed = False  # it cannot be read
        self.funding_cause = Cause.SERVICE  # why
        self.prices_shown = True
        self.bids: dict[str, float] = {}  # where they are not BID
        self.books_down: set[str] = set()  # venues
        self.trades = 0
        self.switches: list[act.SetSwitch] = []  # asked for; a test answers
        self.followed: list[str] = []  # venues, as often as it was asked for
        self.others: dict[str, Decimal] = {}  # what others in the account changed of a position
        self.cuts_reduce_only = False  # to the position; else what exceeds it is refused
        self.tells_no_fee: set[str] = set()  # venues that charge fees and do not tell them
        self.hides_fills: dict[str, int] = {}  # venues whose answers tell fills only so much later
        self.positions_seen: dict[str, set[Decimal]] = {venue: set() for venue in PLACES}
        self.cancels: Counter[str] = Counter()  # by client order id, as they arrive
        self.cancels_lost = False
        self.marks: list[MarkAction] = []
        self.opened: Opened | None = None
        self.approved: dict[str, ApprovedPlan] = {}
        self.engine = self._begin({})

    # What the engine sees.

    @property
    def messages(self) -> list[Message]:
        return [m for _, messages, _ in self.history for m in messages]

    def published(self, kind: type[Message]) -> list[Any]:
        return [m for m in self.messages if isinstance(m, kind)]

    def step(self, decide: Callable[[int], Step], *, torn: str = "") -> None:
        """Decide, send what goes at once, commit, act; ``torn`` is where a crash interrupts it."""
        out = decide(self.now_ns)
        for leg in [action for action in out.at_once if isinstance(action, act.Submit)]:
            assert not self.engine.state.down_at(*leg.order.terms.market)
        if torn == "before sending":
            self.crash()
            return
        for action in out.at_once[: 1 if torn == "between legs" else None]:
            self._act(action)
        if torn in {"between legs", "before commit"}:
            self.crash()
            return
        if out.messages:
            self._commit(self.engine, out.messages)
        if torn == "before acting":
            self.crash()
            return
        for action in out.actions:
            self._act(action)

    def _commit(self, engine: ExecutorEngine, messages: list[Message]) -> None:
        saved = self.history[-1][0] | engine.checkpoints()
        self.history.append((saved, messages, self.now_ns))
        if engine.state.stage is LedgerStage.NEW:
            self.beginning = len(self.history)

    def message(self, message: Message, *, redelivered: bool = False, torn: str = "") -> None:
        if isinstance(message, ApprovedPlan):
            self.approved[message.plan_id] = message
        self.step(
            lambda now: self.engine.on_message(message, now, redelivered=redelivered), torn=torn
        )

    def crash(self, *, rollback: int = 0) -> None:
        """The process dies; with ``rollback`` the bus has lost its last transactions too.

        The beginning of the ledger stays: what is found where it is lost is told, not taken over.
        """
        for _ in range(min(rollback, len(self.history) - self.beginning - 1)):
            _, _, at_ns = self.history[-1]
            if self.now_ns - at_ns > SECOND:
                break
            self.history.pop()
        self.inbox = []
        self.now_ns += 300 * MS  # a process does not start in no time
        self.engine = self._begin(self.history[-1][0])

    def lose(self, saved: dict[str, bytes] | None = None, loss: str = "") -> None:
        """The process dies and Redis has lost its data, but for what is in ``saved``."""
        self.history = [(saved or {}, [], self.now_ns)]
        self.inbox = []
        self.now_ns += SECOND
        self.opened = Opened(ledger_id="new", began_ns=self.now_ns, is_new=True, loss=loss)
        self.engine = self._begin(saved or {})
        self.opened = None

    def show_prices(self) -> None:
        if not self.prices_shown:
            return
        for venue, instrument in self.places.items():
            size = 50_000.0 if is_inverse(instrument) else 5.0
            view = make_view(
                venue,
                instrument,
                bids=[(self.bids.get(venue, float(BID)), size)],
                asks=[(float(ASK), size)],
                state=BookState.DOWN if venue in self.books_down else BookState.LIVE,
                ts_ns=self.now_ns,
            )
            self.see(view)

    def see(self, view: DepthView) -> None:
        """A view comes; nothing follows from it but where something rests."""
        self.step(lambda now: self.engine.on_message(view, now))

    def advance(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        due = [item for item in self.later if item[0] <= self.now_ns]
        self.later = [item for item in self.later if item[0] > self.now_ns]
        for _, effect in due:
            effect()
        self.show_prices()

    def tick(self, *, torn: str = "") -> None:
        """Time passes until something is due, and the engine is told."""
        due_ns = min([self.engine.next_deadline_ns(), *(at for at, _ in self.later)])
        self.advance(max(0, due_ns - self.now_ns))
        if self.engine.next_deadline_ns() <= self.now_ns:
            self.step(self._on_timer, torn=torn)

    def _on_timer(self, now_ns: int) -> Step:
        """As the engine's contract says: else the shell's loop would never sleep again."""
        out = self.engine.on_timer(now_ns)
        assert self.engine.next_deadline_ns() > now_ns, "what was due is due still"
        return out

    def deliver(self, index: int = 0, *, keep: bool = False, torn: str = "") -> None:
        report = self.inbox[index] if keep else self.inbox.pop(index)
        self.step(lambda now: self.engine.on_message(report, now), torn=torn)

    def settle(self, seconds: int = 30) -> None:
        """No more faults but habits: run until everything has come to rest."""
        self.calm = True
        until_ns = self.now_ns + seconds * SECOND
        while self.now_ns < until_ns:
            while self.inbox:
                self.deliver()
            self.tick()

    # What the venues do.

    def balances(self, venue: str) -> dict[str, Balance]:
        """A million USDT and a thousand BTC, and what fills, payments and transfers changed."""
        books = Books()
        fills = [fill for order in self.orders[venue].values() for fill in order.fills]
        for fill in sorted(fills, key=lambda fill: fill.ts_venue_ns):
            books.trade(
                Execution(
                    venue=venue,
                    instrument=fill.instrument,
                    side=fill.side,
                    qty=fill.qty,
                    cost=cost_of(fill.instrument, fill.qty, fill.price),
                    fee=fill.fee or D(0),
                    fee_asset=fill.fee_asset,
                )
            )
        for paid in self.payments if venue == "gamma" else ():
            if paid.ts_venue_ns <= self.now_ns:
                books.fund(venue, paid.instrument, paid.amount, paid.asset)
        told = self.listed | {
            asset: Balance(
                free=start + books.inventory.get(f"{venue}|{asset}", D(0)) + moved, used=D(0)
            )
            for asset, start in (("USDT", D(1_000_000)), ("BTC", D(1_000)), ("BNB", D(10)))
            for moved in [self.moved[venue, asset]]
        }
        if (gain := self.open_results.get(venue)) is not None:
            wallet = told["USDT"].free
            told["USDT"] = Balance(free=wallet + gain - 50, used=D(50), wallet=wallet)
        return {name: each for name, each in told.items() if (venue, name) not in self.left_out}

    def _begin(self, saved: dict[str, bytes]) -> ExecutorEngine:
        self.engine = engine = ExecutorEngine(self.config)
        for venue, instrument in self.places.items():
            lot = lot_of(instrument)
            engine.on_message(make_info(venue, instrument, lot_size=lot, qty_min=lot), self.now_ns)
        self.show_prices()
        engine.opened = self.opened
        out = engine.start(saved, self.now_ns)
        active = TradingStateChanged(
            ts_ns=self.now_ns, state=TradingState.ACTIVE, reason="", ts_since_ns=self.now_ns
        )
        engine.on_message(active, self.now_ns)
        if out.messages:
            self._commit(engine, out.messages)
        for action in [*out.at_once, *out.actions]:
            self._act(action)
        checks = (act.AccountChecked, act.FetchFailed)
        for checked in [r for r in self.inbox if isinstance(r, checks)]:
            self.inbox.remove(checked)
            self.step(lambda now, checked=checked: engine.on_message(checked, now))
        return engine

    def _act(self, action: act.Action) -> None:
        if isinstance(action, MarkAction):
            self.marks.append(action)
        elif isinstance(action, act.Submit):
            self._submit(action.order)
        elif isinstance(action, act.SetSwitch):
            self.switches.append(action)
        elif isinstance(action, act.Cancel):
            self._cancel(action)
        elif isinstance(action, act.Query):
            self._query(action)
        elif isinstance(action, act.FetchFunding) and self.funding_closed:
            self.inbox.append(act.FetchFailed(action, "no income for you", self.funding_cause))
        elif isinstance(action, act.Fetch) and action.venue in self.closed:
            self.inbox.append(act.FetchFailed(action, "closed", self.closed[action.venue]))
        elif isinstance(action, act.FollowAccount):
            self.followed.append(action.venue)
            self.inbox.append(act.AccountFollowed(action.venue))
        elif isinstance(action, act.CheckAccount):
            unlisted = self.unlisted.get(action.venue, ())
            self.inbox.append(act.AccountChecked(action.venue, unlisted))
        elif isinstance(action, act.FetchOpenOrders):
            working = [o.report() for o in self.orders[action.venue].values() if o.rests]
            self.inbox.append(act.OpenOrdersAnswered(action.venue, tuple(working)))
        elif isinstance(action, act.FetchFills):
            told_ns = self.now_ns - self.hides_fills.get(action.venue, 0)
            fills = [
                fill
                for order in self.orders[action.venue].values()
                for fill in order.fills
                if action.since_ns <= fill.ts_venue_ns <= told_ns
            ]
            self.inbox.append(act.FillsAnswered(action.venue, tuple(fills)))
        elif isinstance(action, act.FetchFunding):
            paid = [each for each in self.payments if each.ts_venue_ns >= action.since_ns]
            self.inbox.append(act.FundingAnswered(action.venue, tuple(paid), action.until_ns))
        elif isinstance(action, act.FetchBalances):
            balances = self.balances(action.venue)
            told = dict(self.positions.get(action.venue, {}))
            self.inbox.append(act.BalancesAnswered(action.venue, balances, told))

    def _cancel(self, action: act.Cancel) -> None:
        self.cancels[action.key.client_order_id] += 1
        order = self.orders[action.key.venue].get(action.key.client_order_id)
        if order is not None and order.rests and not self.cancels_lost:
            order.rests = False
            self.push(order)

    def trade_against(self, client_order_id: str, qty: str) -> None:
        """Somebody takes so much of an order of ours that rests, at its price."""
        for orders in self.orders.values():
            if order := orders.get(client_order_id):
                self._fill(order, D(qty))
                order.rests = order.rests and order.report().status is not OrderStatus.FILLED

    def _query(self, action: act.Query) -> None:
        key, orders = action.key, self.orders.get(action.key.venue)
        if orders is None:
            self.inbox.append(act.QueryFailed(key, "not traded any more", Cause.SERVICE))
            return
        if key.venue in self.closed:
            self.inbox.append(act.QueryFailed(key, "closed", self.closed[key.venue]))
            return
        if not self.calm and self.choose("query fails", (False, False, False, True)):
            self.inbox.append(act.QueryFailed(key, "timeout"))
            return
        by_venue_id = [o for o in orders.values() if o.venue_order_id == key.venue_order_id]
        found = orders.get(key.client_order_id) or (by_venue_id[0] if by_venue_id else None)
        self.inbox.append(act.QueryAnswered(key, found.report() if found else None))

    def _submit(self, request: OrderRequest) -> None:
        self.sent[request.client_order_id] += 1
        venue = request.terms.venue
        behavior = self.habits.get(venue) or (
            CALM if self.calm else self.choose(f"{venue} does", BEHAVIORS)
        )
        order_id, sent_ns = request.client_order_id, self.now_ns
        if self._refuses_to_reduce(request):
            self._refuse(request, Cause.NOTHING_TO_REDUCE)
        elif behavior in set(Cause):
            self._refuse(request, Cause(behavior))
        elif behavior == "reject":
            self.inbox.append(act.SubmitRefused(order_id, "no", sent_ns))
        elif behavior == "not_sent":
            self.inbox.append(act.SubmitNotSent(order_id, "cannot connect"))
        elif behavior == "lost_never":
            self.inbox.append(act.SubmitLost(order_id, "timeout", sent_ns))
        elif behavior == "lost_late":
            self.inbox.append(act.SubmitLost(order_id, "timeout", sent_ns))
            delay_ns = self.choose("arrives after", (10, 500, 1_990)) * MS
            self.later.append((self.now_ns + delay_ns, lambda: self._execute(request, D(1))))
        elif behavior in {"lost_full", "lost_part"}:
            self._execute(request, D(1) if behavior == "lost_full" else D("0.4"))
            self.inbox.append(act.SubmitLost(order_id, "timeout", sent_ns))
        elif behavior == "slow":
            delay_ns = self.choose("answers after", (100, 1_500, 4_000)) * MS
            order = self._execute(request, D(1))
            answer = act.Submitted(order.report(), sent_ns)
            self.later.append((self.now_ns + delay_ns, lambda: self.inbox.append(answer)))
        else:
            self._answer(request, behavior, sent_ns)

    def _refuse(self, request: OrderRequest, cause: Cause) -> None:
        order_id, text = request.client_order_id, f"no: {cause}"
        if cause in {Cause.CLOCK, Cause.RATE, Cause.SERVICE}:
            self.inbox.append(act.SubmitNotSent(order_id, text, cause))
        else:
            self.inbox.append(act.SubmitRefused(order_id, text, self.now_ns, cause))

    def true_position(self, venue: str) -> Decimal:
        """What the account holds at a venue of a perpetual, base units."""
        fills = [fill for order in self.orders[venue].values() for fill in order.fills]
        own = sum((fill.side.signed(fill.qty) for fill in fills), D(0))
        return own + self.others.get(venue, D(0))

    def _reducible(self, request: OrderRequest) -> Decimal:
        return -request.terms.side.signed(self.true_position(request.terms.venue))

    def _refuses_to_reduce(self, request: OrderRequest) -> bool:
        if not request.reduce_only:
            return False
        left = self._reducible(request)
        return left <= 0 or (left < request.terms.qty and not self.cuts_reduce_only)

    def _answer(self, request: OrderRequest, behavior: str, sent_ns: int) -> None:
        share = {"part": D("0.4"), "weak": D("0.05"), "none": D(0), "late_fill": D("0.3")}.get(
            behavior, D(1)
        )
        order = self._execute(request, share)
        report = order.report()
        if behavior == "accepted_first":  # the answer tells no more than an id
            report = OrderReport(
                client_order_id=report.client_order_id,
                terms=report.terms,
                status=OrderStatus.ACCEPTED,
                venue_order_id=report.venue_order_id,
            )
        if request.terms.venue in self.hides_fills:
            report = msgspec.structs.replace(
                report, status=OrderStatus.CANCELED, filled_qty=D(0), fills=()
            )
        self.inbox.append(act.Submitted(report, sent_ns))
        if behavior == "late_fill":
            delay_ns = self.choose("late fill after", (50, 900)) * MS
            qty = request.terms.qty * D("0.3")
            self.later.append((self.now_ns + delay_ns, lambda: self._fill(order, qty)))

    def _execute(self, request: OrderRequest, share: Decimal) -> VenueOrder:
        terms, orders = request.terms, self.orders[request.terms.venue]
        order = VenueOrder(request, f"{terms.venue}-{len(orders)}")
        orders[request.client_order_id] = order
        if request.reduce_only:
            order.cut = min(terms.qty, self._reducible(request))
        market = ASK if terms.side is Side.BUY else BID
        if terms.rests:
            order.rests = True
        elif terms.side.signed(terms.price_limit - market) >= 0:
            self._fill(order, terms.qty * share)
        if order.report().status is OrderStatus.CANCELED:
            self.push(order)
        return order

    def push(self, order: VenueOrder, *fills: FillReport) -> None:
        """The venue tells of an order as it happens: soon, late, twice or not at all."""
        venue = order.request.terms.venue
        if venue not in self.followed:
            return
        how = (
            "soon"
            if self.calm
            else self.choose("news is", ("soon", "soon", "late", "twice", "lost"))
        )
        report = order.report()
        if fills and report.status is OrderStatus.CANCELED:
            report = msgspec.structs.replace(report, status=OrderStatus.PARTIALLY_FILLED)
        news = act.AccountSeen(venue, msgspec.structs.replace(report, fills=fills))
        if how == "late":
            delay_ns = self.choose("news after", (40, 700, 3_000)) * MS
            self.later.append((self.now_ns + delay_ns, lambda: self.inbox.append(news)))
        elif how != "lost":
            self.inbox += [news] * (2 if how == "twice" else 1)

    def _fill(self, order: VenueOrder, qty: Decimal) -> None:
        terms = order.request.terms
        if order.request.reduce_only:
            qty = min(qty, max(D(0), self._reducible(order.request)))
        lot = lot_of(terms.instrument)
        qty = qty // lot * lot
        if qty <= 0:
            return
        self.trades += 1
        price = ASK if terms.side is Side.BUY else BID
        if terms.rests:
            price = terms.price_limit
        asset = FEE_ASSET[terms.venue]
        fee = qty * FEE_RATE * (1 if asset == "BTC" else price)
        if is_inverse(terms.instrument):
            asset, fee = "BTC", base_of(terms.instrument, qty, price) * FEE_RATE
        is_told = terms.venue not in self.tells_no_fee
        if not is_told:
            self.moved[terms.venue, asset] -= fee
        order.fills.append(
            FillReport(
                trade_id=f"t{self.trades}",
                venue_order_id=order.venue_order_id,
                instrument=terms.instrument,
                side=terms.side,
                price=price,
                qty=qty,
                fee=fee if is_told else None,
                fee_asset=asset if is_told else "",
                ts_venue_ns=self.now_ns,
            )
        )
        self.positions_seen[terms.venue].add(self.true_position(terms.venue))
        self.push(order, order.fills[-1])

    # The truth, and what must hold.

    def true_exposure(self) -> Decimal:
        total = D(0)
        for orders in self.orders.values():
            for order in orders.values():
                for fill in order.fills:
                    total += fill.side.signed(base_of(fill.instrument, fill.qty, fill.price))
                    total -= fill.fee if fill.fee_asset == "BTC" and fill.fee else D(0)
        return total

    def check_owned(self) -> None:
        """Risk takes every order on record and owns every fill, in the order in which it hears."""
        ledger = Ledger()
        for plan in self.approved.values():
            ledger.reserve(reserved(plan))
        for message in self.messages:
            if isinstance(message, OrderEvent):
                assert not ledger.refuses(message)
                ledger.orders.announce(message)
            elif isinstance(message, Fill):
                assert not ledger.ownership_flaw(message)
                ledger.apply_fill(message)
            elif isinstance(message, PlanDone):
                ledger.apply_end(message)

    def check_quiet(self) -> None:
        """What must hold once everything has come to rest."""
        assert max(self.sent.values(), default=0) <= 1, "an id was submitted twice"
        assert not self.engine.state.open_plans()
        self.check_owned()
        told = Counter((f.venue, f.trade_id) for f in self.published(Fill))
        true = Counter(
            (venue, fill.trade_id)
            for venue, orders in self.orders.items()
            for order in orders.values()
            for fill in order.fills
        )
        assert told == true, "the fills told are not the venues' fills"
        assert self.engine.state.books.exposure.get("BTC", D(0)) == self.true_exposure()
        failed = [d for d in self.published(PlanDone) if d.outcome == "FAILED"]
        if failed:
            assert self.engine.state.locked
            assert any(a.severity == "critical" for a in self.published(Alert))
        else:
            plans = max(1, len(self.published(PlanDone)))
            # Dust at each plan's end: less than a lot, or than the least notional (5).
            assert abs(self.true_exposure()) < LOT * plans, self.true_exposure()
