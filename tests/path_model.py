"""Plans of several assets in the executor's tiny world: three markets on each of two venues.

``executor_model.World`` has one market per venue; here a venue has a triangle, and one of them the
stable coin beside it whose book is written the other way round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from services.executor.engine import ExecutorEngine
from services.risk.exposure import Ledger
from services.risk.reservations import Reservation, ReservedLeg, reserve_leg
from services.risk.restated import apply_restated
from shared.accounts.gateway import FillReport, OrderRequest
from shared.config_limits import RiskConfig
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.domain.accounting import Books
from shared.domain.asset_paths import assets_on_the_way, flow_of, stake_of
from shared.domain.executions import execution_of
from shared.domain.fees import share_of
from shared.domain.instrument import split_instrument
from shared.messages.base import BookState, Side, TradingState
from shared.messages.control import Alert
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    PlanDone,
    PlanLeg,
    TradingStateChanged,
)
from shared.messages.restated import FillRestated
from shared.messages.terms import AssetPrice
from tests.decision_builders import make_info, make_view
from tests.executor_model import MS, SECOND, T0, VenueOrder, World

D = Decimal
Market = tuple[str, str]
PRICES: dict[Market, tuple[str, str]] = {
    ("alpha", "BTC/USDT"): ("9999", "10001"),
    ("alpha", "ETH/BTC"): ("0.0499", "0.0501"),
    ("alpha", "ETH/USDT"): ("500.9", "501.1"),
    ("beta", "BTC/USDT"): ("9998", "10002"),
    ("beta", "BTC/USD"): ("10020", "10022"),
    ("beta", "USDT/USD"): ("0.9999", "1.0001"),
}
TICK = {"ETH/BTC": D("0.0001"), "USDT/USD": D("0.0001")}
LOTS = {"BTC": D("0.0001"), "ETH": D("0.001"), "USDT": D("0.01")}
LEAST = {"BTC": D("0.0005"), "USDT": D(5), "USD": D(5)}
"""Least worth of an order by its quote asset."""
WORTH = {"BTC": D(10_000), "ETH": D(501), "USD": D(1), "USDT": D(1)}
FEE_BPS = D(10)
FEE_ASSETS = ("quote", "base", "BNB")
STAKE_CAP_BPS = D(200)

TRIANGLE = (("alpha", "BTC/USDT", Side.BUY, "0.1"), ("alpha", "ETH/BTC", Side.BUY, "1.994"))
TRIANGLE = (*TRIANGLE, ("alpha", "ETH/USDT", Side.SELL, "1.994"))
BACKWARDS = (("alpha", "ETH/USDT", Side.BUY, "2"), ("alpha", "ETH/BTC", Side.SELL, "2"))
BACKWARDS = (*BACKWARDS, ("alpha", "BTC/USDT", Side.SELL, "0.0997"))
CONVERSION = (("alpha", "BTC/USDT", Side.BUY, "0.1"), ("beta", "BTC/USD", Side.SELL, "0.1"))
CONVERSION = (*CONVERSION, ("beta", "USDT/USD", Side.BUY, "999.89"))
Legs = tuple[tuple[str, str, Side, str], ...]
WAYS: tuple[Legs, ...] = (TRIANGLE, BACKWARDS, CONVERSION)


def price_of(market: Market, side: Side) -> Decimal:
    """At which a taker trades."""
    bid, ask = PRICES[market]
    return D(ask if side is Side.BUY else bid)


def path_config(**changes: Any) -> Config:
    venues: dict[str, list[str]] = {}
    for venue, instrument in PRICES:
        venues.setdefault(venue, []).append(instrument)
    return Config(
        venues={venue: VenueConfig(instruments=names) for venue, names in venues.items()},
        risk=RiskConfig(loss_cap_bps=STAKE_CAP_BPS),
        executor=ExecutorConfig(mode="simulated", **changes),
    )


def path_infos() -> list[Any]:
    infos = []
    for venue, instrument in PRICES:
        base, quote, _ = split_instrument(instrument)
        rules = {
            "tick_size": TICK.get(instrument, D("0.1")),
            "lot_size": LOTS[base],
            "qty_min": LOTS[base],
            "notional_min": LEAST[quote],
            "taker_fee_bps": FEE_BPS,
        }
        infos.append(make_info(venue, instrument, **rules))
    return infos


def make_path_plan(
    plan_id: str = "plan00000001", *, legs: Legs = TRIANGLE, now_ns: int = T0, quote: str = "USDT"
) -> ApprovedPlan:
    """A plan along some legs, with the loss cap that risk gives it."""
    made = []
    for venue, instrument, side, qty in legs:
        price = price_of((venue, instrument), side)
        tick = TICK.get(instrument, D("0.1"))
        made.append(
            PlanLeg(
                venue=venue,
                instrument=instrument,
                side=side,
                qty=D(qty),
                price_limit=price + side.signed(tick),
                price_expected=price,
                fee_bps=FEE_BPS,
            )
        )
    assets = assets_on_the_way(tuple((x.instrument, x.side) for x in made), quote)
    values = []
    for asset in assets:
        for (venue, instrument), (bid, ask) in PRICES.items():
            base, counter, _ = split_instrument(instrument)
            if {base, counter} == {asset, quote}:
                middle = (D(bid) + D(ask)) / 2
                price = middle if base == asset else 1 / middle
                values.append(
                    AssetPrice(
                        asset=asset, price=price, venue=venue, instrument=instrument, ts_ns=now_ns
                    )
                )
                break
    flows = [
        flow_of(x.instrument, x.side, x.qty, max(x.price_limit, x.price_expected), FEE_BPS, "")
        for x in made
    ]
    worth = {each.asset: each.price for each in values}
    stake = stake_of(flows, worth, quote, [FEE_BPS] * len(made))
    return ApprovedPlan(
        ts_ns=now_ns,
        plan_id=plan_id,
        opportunity_id=f"opportunity-{plan_id}",
        base=assets[0],
        quote=quote,
        legs=made,
        net_expected=D(1),
        loss_cap=share_of(stake.notional, STAKE_CAP_BPS),
        ts_recv_ns=now_ns - MS,
        ts_depth_ns=now_ns,
        ts_opportunity_ns=now_ns,
        ts_expire_ns=now_ns + SECOND,
        values=values,
    )


def path_reserved(plan: ApprovedPlan) -> Reservation:
    """What risk holds for a plan that it has approved."""
    legs: list[ReservedLeg] = [
        reserve_leg(leg, leg.qty * leg.price_limit, D(0)) for leg in plan.legs
    ]
    return Reservation(
        plan_id=plan.plan_id,
        opportunity_id=plan.opportunity_id,
        quote=plan.quote,
        notional=D(1),
        loss_cap=plan.loss_cap,
        legs=legs,
        ts_expire_ns=plan.ts_expire_ns,
        base=plan.base,
        values={each.asset: each.price for each in plan.values},
    )


class PathWorld(World):
    """The world with several markets per venue; ``fees_in`` is what each venue charges fees in."""

    def __init__(
        self, choose: Callable[[str, tuple[Any, ...]], Any], fees_in: str = "quote", **config: Any
    ) -> None:
        self.fees_in = fees_in
        self.down: set[Market] = set()
        self.lost = False  # the bus has lost plans: what they were of is a guess
        self._path_config = path_config(**config)
        super().__init__(choose, **config)

    def _begin(self, saved: dict[str, bytes]) -> ExecutorEngine:
        self.config = self._path_config
        self.orders.pop("gamma", None)
        self.engine = engine = ExecutorEngine(self.config)
        for info in path_infos():
            engine.on_message(info, self.now_ns)
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
        self._take_checks(engine)
        return engine

    def _take_checks(self, engine: ExecutorEngine) -> None:
        for checked in [r for r in self.inbox if type(r).__name__ in {"AccountChecked"}]:
            self.inbox.remove(checked)
            self.step(lambda now, checked=checked: engine.on_message(checked, now))

    def show_prices(self) -> None:
        if not self.prices_shown:
            return
        for market, (bid, ask) in PRICES.items():
            down = market in self.down or market[0] in self.books_down
            view = make_view(
                *market,
                bids=[(float(bid), 100_000.0)],
                asks=[(float(ask), 100_000.0)],
                state=BookState.DOWN if down else BookState.LIVE,
                ts_ns=self.now_ns,
            )
            self.engine.on_message(view, self.now_ns)

    def _execute(self, request: OrderRequest, share: Decimal) -> VenueOrder:
        terms, orders = request.terms, self.orders[request.terms.venue]
        order = VenueOrder(request, f"{terms.venue}-{len(orders)}")
        orders[request.client_order_id] = order
        market = price_of(terms.market, terms.side)
        if terms.side.signed(terms.price_limit - market) >= 0:
            self._fill(order, terms.qty * share)
        return order

    def _fill(self, order: VenueOrder, qty: Decimal) -> None:
        terms = order.request.terms
        base, quote, _ = split_instrument(terms.instrument)
        filled = sum((fill.qty for fill in order.fills), D(0))
        qty = min(qty, terms.qty - filled) // LOTS[base] * LOTS[base]
        if qty <= 0:
            return
        self.trades += 1
        price = price_of(terms.market, terms.side)
        rate = FEE_BPS / 10_000
        fee, asset = {
            "quote": (qty * price * rate, quote),
            "base": (qty * rate, base) if terms.side is Side.BUY else (qty * price * rate, quote),
            "BNB": (D("0.001"), "BNB"),
        }[self.fees_in]
        order.fills.append(
            FillReport(
                trade_id=f"t{self.trades}",
                venue_order_id=order.venue_order_id,
                instrument=terms.instrument,
                side=terms.side,
                price=price,
                qty=qty,
                fee=fee,
                fee_asset=asset,
                ts_venue_ns=self.now_ns,
            )
        )

    # The truth, and what must hold.

    def true_changes(self) -> dict[str, Decimal]:
        """How trading changed what is owned of each asset, over all venues."""
        total: dict[str, Decimal] = {}
        for orders in self.orders.values():
            for order in orders.values():
                for fill in order.fills:
                    base, quote, _ = split_instrument(fill.instrument)
                    for asset, amount in (
                        (base, fill.side.signed(fill.qty)),
                        (quote, -fill.side.signed(fill.qty * fill.price)),
                        (fill.fee_asset, -(fill.fee or D(0))),
                    ):
                        total[asset] = total.get(asset, D(0)) + amount
        return total

    def check_owned(self) -> Ledger:
        """Risk takes every order on record and books every fill as the executor does."""
        ledger = Ledger()
        for plan in self.approved.values():
            ledger.reserve(path_reserved(plan))
        for message in self.messages:
            if isinstance(message, OrderEvent):
                assert not ledger.refuses(message), ledger.refuses(message)
                ledger.orders.announce(message)
            elif isinstance(message, Fill):
                assert not ledger.ownership_flaw(message)
                ledger.apply_fill(message)
            elif isinstance(message, FillRestated):
                assert apply_restated(ledger, message)
                assert not apply_restated(ledger, message), "a second time"
            elif isinstance(message, PlanDone):
                assert not ledger.refuses_end(message)
                ledger.apply_end(message)
        return ledger

    def check_quiet(self) -> None:
        """What must hold once everything has come to rest."""
        assert max(self.sent.values(), default=0) <= 1, "an id was submitted twice"
        assert not self.engine.state.open_plans()
        ledger = self.check_owned()
        told = Counter((f.venue, f.trade_id) for f in self.published(Fill))
        true = Counter(
            (venue, fill.trade_id)
            for venue, orders in self.orders.items()
            for order in orders.values()
            for fill in order.fills
        )
        assert told == true, "the fills told are not the venues' fills"
        books, changes = self.engine.state.books, self.true_changes()
        assert msgspec.msgpack.encode(ledger.books) == msgspec.msgpack.encode(books)
        self.check_inventory(books, changes)
        if not self.lost:
            for asset in ("BTC", "ETH", "USD"):
                assert books.exposure.get(asset, D(0)) == changes.get(asset, D(0)), asset
        failed = [d for d in self.published(PlanDone) if d.outcome == "FAILED"]
        if failed:
            assert self.engine.state.locked
            assert any(a.severity == "critical" for a in self.published(Alert))
            return
        ended = self.published(PlanDone)
        plans = max(1, len(ended))
        for asset in ("BTC", "ETH", "USD"):
            # Dust at each plan's end: worth less than the least order, with its margin. What an
            # adopted plan earned or lost in its quote asset is none.
            result = sum((d.realized for d in ended if d.quote == asset), D(0))
            left = abs(changes.get(asset, D(0)) - result) * WORTH[asset]
            assert left <= D("6.5") * plans, (asset, changes)

    def check_inventory(self, books: Books, changes: dict[str, Decimal]) -> None:
        """The accounts know what is owned of each asset."""
        owned: dict[str, Decimal] = {}
        for place, amount in books.inventory.items():
            asset = place.partition("|")[2]
            owned[asset] = owned.get(asset, D(0)) + amount
        assert {a: x for a, x in owned.items() if x} == {a: x for a, x in changes.items() if x}
        plain = Books()
        for fill in self.published(Fill):
            plain.trade(msgspec.structs.replace(execution_of(fill), report_asset=""))
        assert plain.inventory_change() == books.inventory_change()
