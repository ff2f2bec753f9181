"""Builders of what the scanner and risk are fed: views, rules, opportunities, events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from services.risk.engine import RiskEngine
from services.scanner.engine import StrategyHost
from shared.config_limits import RiskConfig
from shared.config_sections import Config, ScannerConfig, VenueConfig
from shared.domain.fees import cash_flow, edge_bps, fee_amount
from shared.domain.instrument import split_instrument
from shared.limit_changes import limits_told
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.balances import Balance
from shared.messages.base import BookState, Certainty, Side
from shared.messages.control import Command, CommandKind, Heartbeat, LimitsChange
from shared.messages.execution import (
    ApprovedPlan,
    BalanceReport,
    ExecutorReady,
    Fill,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    PlanOutcome,
)
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.offer_terms import CarryTerms
from shared.messages.rules import InstrumentRules, rules_from
from shared.messages.terms import OrderTerms
from shared.strategies.two_legs import opportunity_id
from shared.strategy_files import load_strategies

D = Decimal
T0 = 1_700_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
BOOKS = (("alpha", SPOT), ("beta", SPOT), ("gamma", PERP), ("gamma", SPOT))


def make_terms(**changes: Any) -> OrderTerms:
    values: dict[str, Any] = {
        "venue": "alpha",
        "instrument": SPOT,
        "side": Side.BUY,
        "qty": D(1),
        "price_limit": D(10_000),
    }
    return OrderTerms(**{**values, **changes})


def make_rules(venue: str = "alpha", instrument: str = SPOT, **changes: Any) -> InstrumentRules:
    values: dict[str, Any] = {
        "venue": venue,
        "instrument": instrument,
        "tick_size": D("0.1"),
        "lot_size": D("0.001"),
        "qty_min": D("0.001"),
        "notional_min": D(5),
        "taker_fee_bps": D(10),
        "maker_fee_bps": D(10),
    }
    return InstrumentRules(**{**values, **changes})


def told_info(venue: str = "alpha", instrument: str = SPOT, **odd: Any) -> InstrumentInfo:
    """What the ingestor makes of rules with odd numbers."""
    usual = make_rules(venue, instrument)
    numbers = {name: getattr(usual, name) for name in usual.__struct_fields__}
    active = odd.pop("active", True)
    rules = rules_from(venue, instrument, {**numbers, **odd}, active=active)
    return InstrumentInfo(ts_ns=T0, rules=rules)


def make_info(venue: str = "alpha", instrument: str = SPOT, **changes: Any) -> InstrumentInfo:
    return InstrumentInfo(ts_ns=T0, rules=make_rules(venue, instrument, **changes))


def make_view(
    venue: str = "alpha",
    instrument: str = SPOT,
    *,
    bids: list[tuple[float, float]] | None = None,
    asks: list[tuple[float, float]] | None = None,
    state: BookState = BookState.LIVE,
    seq: int = 1,
    ts_ns: int = T0,
) -> DepthView:
    return DepthView(
        venue=venue,
        instrument=instrument,
        state=state,
        epoch=1,
        seq=seq,
        bids=[(9_999.0, 1.0)] if bids is None else bids,
        asks=[(10_001.0, 1.0)] if asks is None else asks,
        ts_recv_ns=ts_ns - MS,
        ts_ns=ts_ns,
    )


def make_host(**sections: Any) -> StrategyHost:
    """A host of the strategies that a configuration names."""
    return StrategyHost(load_strategies(Config(**sections)))


def make_scanner(**changes: Any) -> StrategyHost:
    """A scanner that knows the rules of ``BOOKS``."""
    engine = make_host(scanner=ScannerConfig(**changes))
    for venue, instrument in BOOKS:
        engine.on_message(make_info(venue, instrument), T0)
    return engine


def make_opportunity(
    *,
    buy: tuple[str, str] = BOOKS[0],
    sell: tuple[str, str] = BOOKS[1],
    ask: float = 10_000.0,
    bid: float = 10_050.0,
    qty: float = 0.1,
    seq: int = 1,
    now_ns: int = T0,
    **changes: Any,
) -> Opportunity:
    """What the scanner finds between two books of one level each; ``changes`` falsify it.

    The scanner offers spot only, so a leg on a derivative is made from a spot one.
    """
    if PERP in (buy[1], sell[1]):
        found = make_opportunity(ask=ask, bid=bid, qty=qty, seq=seq, now_ns=now_ns)
        legs = [
            msgspec.structs.replace(
                leg, venue=venue, instrument=name, book_id=f"{venue}|{name}|1|{seq}"
            )
            for leg, (venue, name) in zip(found.legs, (buy, sell), strict=True)
        ]
        identity = opportunity_id("cross_venue", legs[0].book_id, legs[1].book_id)
        found = msgspec.structs.replace(found, legs=legs, opportunity_id=identity)
        return msgspec.structs.replace(found, **changes)
    engine = make_scanner(edge_bps_min=-1_000.0, notional_max=1e9)
    for venue, instrument in (buy, sell):
        engine.on_message(make_info(venue, instrument), T0)
    engine.on_message(make_view(*buy, asks=[(ask, qty)], bids=[], ts_ns=now_ns, seq=seq), now_ns)
    view = make_view(*buy, asks=[(ask, qty)], bids=[(1.0, 1.0)], ts_ns=now_ns, seq=seq)
    engine.on_message(view, now_ns)
    view = make_view(*sell, bids=[(bid, qty)], asks=[(1e6, 1.0)], ts_ns=now_ns, seq=seq)
    (found,) = engine.on_message(view, now_ns).messages
    assert isinstance(found, Opportunity)
    return msgspec.structs.replace(found, **changes)


def make_leg(  # noqa: PLR0917 - as a venue's ticket reads
    venue: str,
    side: Side,
    qty: str,
    price: str,
    instrument: str = SPOT,
    seq: int = 1,
    **changes: Any,
) -> OpportunityLeg:
    """A leg at one price, with its arithmetic."""
    worth = D(qty) * D(price)
    fee = fee_amount(worth, D(10))
    values: dict[str, Any] = {
        "venue": venue,
        "instrument": instrument,
        "side": side,
        "qty": D(qty),
        "price_limit": D(price),
        "price_avg": D(price),
        "fee_bps": D(10),
        "fee": fee,
        "levels_used": 1,
        "book_id": f"{venue}|{instrument}|1|{seq}",
        "book_ts_recv_ns": T0,
        "cash_flow": cash_flow(side, worth, fee),
    }
    return OpportunityLeg(**{**values, **changes})


def make_offer(legs: list[OpportunityLeg], *, now_ns: int = T0, **changes: Any) -> Opportunity:
    """An opportunity of any legs, with the arithmetic that follows from them."""
    bought = [leg for leg in legs if leg.side is Side.BUY]
    notional = sum((leg.qty * leg.price_avg for leg in bought), D(0))
    fees = sum((leg.fee for leg in legs), D(0))
    net = sum((leg.cash_flow or D(0) for leg in legs), D(0))
    base, quote, _ = split_instrument(legs[0].instrument)
    values: dict[str, Any] = {
        "ts_ns": now_ns,
        "opportunity_id": ">".join(leg.book_id for leg in legs)[:128],
        "detector": "test",
        "base": base,
        "quote": quote,
        "legs": legs,
        "qty": sum((leg.qty for leg in bought), D(0)),
        "notional": notional,
        "gross": net + fees,
        "fees": fees,
        "net": net,
        "edge_bps": edge_bps(net, notional or D(1)),
        "ts_recv_ns": now_ns,
        "ts_depth_ns": now_ns,
        "ts_expire_ns": now_ns + SECOND,
    }
    return Opportunity(**{**values, **changes})


def make_config(*, start_active: bool = True, **limits: Any) -> Config:
    venues: dict[str, list[str]] = {}
    for venue, instrument in BOOKS:
        venues.setdefault(venue, []).append(instrument)
    return Config(
        venues={name: VenueConfig(instruments=names) for name, names in venues.items()},
        risk=RiskConfig(
            start_active=start_active, **{"loss_cap_bps": D(50), "shrink_share_min": 1.0, **limits}
        ),
    )


def make_ready(now_ns: int = T0, **changes: Any) -> ExecutorReady:
    values: dict[str, Any] = {
        "ts_ns": now_ns,
        "ready": True,
        "mode": "simulated",
        "open_plans": 0,
        "unknown_orders": 0,
    }
    return ExecutorReady(**{**values, **changes})


def make_balances(venue: str, now_ns: int = T0, **free: Any) -> BalanceReport:
    amounts = free or {"USDT": 100_000, "BTC": 10}
    balances = {asset: Balance(free=D(a), used=D(0)) for asset, a in amounts.items()}
    return BalanceReport(ts_ns=now_ns, venue=venue, balances=balances)


def feed_market(engine: RiskEngine, now_ns: int = T0) -> None:
    for venue, instrument in BOOKS:
        engine.on_message(make_info(venue, instrument), now_ns)
        engine.on_message(make_view(venue, instrument, ts_ns=now_ns), now_ns)


def make_risk(config: Config | None = None, now_ns: int = T0) -> RiskEngine:
    """A risk engine that is ACTIVE: books seen, executor ready, balances known."""
    engine = RiskEngine(config or make_config())
    feed_market(engine, now_ns)
    engine.on_message(make_ready(now_ns), now_ns)
    for venue in dict.fromkeys(venue for venue, _ in BOOKS):
        engine.on_message(make_balances(venue, now_ns), now_ns)
    for venue, instrument in BOOKS:  # a plan of the executor's own making
        for side in Side:
            parts = {"venue": venue, "instrument": instrument, "side": side, "qty": D(1_000)}
            engine.on_message(make_order("p", **parts), now_ns)
    return engine


def make_orders(plan: ApprovedPlan) -> list[OrderEvent]:
    """What the executor says when it starts a plan, before anything else happens."""
    return [
        make_order(
            plan.plan_id,
            leg_index=index,
            venue=leg.venue,
            instrument=leg.instrument,
            side=leg.side,
            qty=leg.qty,
        )
        for index, leg in enumerate(plan.legs)
    ]


def announce(engine: RiskEngine, plan: ApprovedPlan, now_ns: int = T0) -> None:
    """Let risk hear that a plan was started."""
    for order in make_orders(plan):
        engine.on_message(order, now_ns)


def order_id(plan_id: str, venue: str, instrument: str, side: Side) -> str:
    """The id of the one order that a plan has in a book's side."""
    return f"{plan_id}-{venue}-{side}{'-perp' if ':' in instrument else ''}"


def make_order(plan_id: str = "p", **changes: Any) -> OrderEvent:
    """The record of an order, which makes its plan known."""
    values: dict[str, Any] = {
        "ts_ns": T0,
        "plan_id": plan_id,
        "leg_index": 0,
        "attempt": 0,
        "purpose": OrderPurpose.LEG,
        "venue": "alpha",
        "instrument": SPOT,
        "side": Side.BUY,
        "qty": D(1),
        "price_limit": D(10_000),
        "status": OrderStatus.SUBMITTED,
        **changes,
    }
    own_id = order_id(plan_id, values["venue"], values["instrument"], values["side"])
    return OrderEvent(**{"client_order_id": own_id, **values})


def make_fill(plan_id: str, venue: str, side: Side, qty: str = "0.1", **changes: Any) -> Fill:
    values: dict[str, Any] = {
        "ts_ns": T0,
        "plan_id": plan_id,
        "venue": venue,
        "instrument": SPOT,
        "side": side,
        "trade_id": f"{plan_id}{venue}{side}",
        "price": D(10_000),
        "qty": D(qty),
        "fee": D("1"),
        "fee_asset": "USDT",
        "fee_quote": D("1"),
        **changes,
    }
    own_id = order_id(plan_id, venue, values["instrument"], side)
    return Fill(**{"client_order_id": own_id, **values})


def order_of(fill: Fill, qty: str = "1000") -> OrderEvent:
    """The record of an order that a fill belongs to."""
    return make_order(
        fill.plan_id,
        client_order_id=fill.client_order_id,
        venue=fill.venue,
        instrument=fill.instrument,
        side=fill.side,
        qty=D(qty),
    )


def make_result(plan_id: str, amount: str, ts_ns: int = T0) -> list[OrderEvent | Fill]:
    """An order and two fills that realize ``amount`` of USDT: bought here, sold there."""
    free = {"fee": D(0), "ts_ns": ts_ns}
    return [
        make_order(plan_id),
        make_order(plan_id, venue="beta", side=Side.SELL),
        make_fill(plan_id, "alpha", Side.BUY, "1", **free),
        make_fill(plan_id, "beta", Side.SELL, "1", price=D(10_000) + D(amount), **free),
    ]


def make_done(plan_id: str, now_ns: int = T0, **changes: Any) -> PlanDone:
    values: dict[str, Any] = {
        "ts_ns": now_ns,
        "plan_id": plan_id,
        "outcome": PlanOutcome.FILLED,
        "base": "BTC",
        "quote": "USDT",
        "realized": D("1.5"),
        "fees": D("0.5"),
        "certainty": Certainty.KNOWN,
    }
    return PlanDone(**{**values, **changes})


def make_command(kind: CommandKind, now_ns: int = T0) -> Command:
    return Command(ts_ns=now_ns, command_id=f"{kind}-{now_ns}", kind=kind, operator="ann")


def make_limits_change(
    engine: RiskEngine, now_ns: int = T0, *, number: int = 1, mode: str = "", **limits: str
) -> LimitsChange:
    """A change of limits by somebody who knows those in force."""
    config = engine.limits.config
    told = limits_told(config.risk)
    return LimitsChange(
        ts_ns=now_ns,
        command_id=f"limits-{number}-{now_ns}",
        operator="ann",
        mode=mode or config.executor.mode,
        limits=limits,
        before={name: told.get(name, "0") for name in limits},
    )


def make_beat(service: str, ts_ns: int, since_ns: int = 1, **changes: Any) -> Heartbeat:
    """A heartbeat of a process that is ready and counts nothing."""
    given: dict[str, Any] = {
        "instance": f"{service}-1",
        "ready": True,
        "reason": "",
        "counters": {},
        "gauges": {},
        "latency": {},
        "inputs": {},
        **changes,
    }
    return Heartbeat(
        ts_ns=ts_ns, service=service, pid=1, ts_started_ns=since_ns, http_port=0, **given
    )


def make_carry_terms() -> CarryTerms:
    """What a carry was expected to earn."""
    return CarryTerms(
        rate=D("0.0005"),
        interval_ns=1,
        ts_funding_ns=T0,
        settlements=4,
        settlements_to_earn=2,
        funding_next=D("0.05"),
        funding=D("0.2"),
        fees=D("0.05"),
        spreads=D("0.04"),
        basis=D("0.01"),
        apr_gross=D(1),
        apr_net=D(1),
        liquidation_bps=D(9_000),
    )
