"""Limits are in units of a quote asset: ten thousand dollars are not ten thousand bitcoins."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.cli.settings import to_toml, without_limits
from services.executor.closing_plans import ClosingPlans
from services.executor.intake import Intake
from services.executor.market import Markets
from services.executor.paper_account import PaperAccount, paper_account
from services.executor.state import ExecutorState
from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from services.risk.rounds import Round
from shared.config import parse_config
from shared.config_limits import QuoteLimits, RiskConfig
from shared.config_sections import (
    Config,
    ExecutorConfig,
    StrategyConfig,
    VenueConfig,
)
from shared.domain.accounting import Books
from shared.domain.executions import Execution
from shared.errors import ConfigError
from shared.messages.arb import Opportunity
from shared.messages.base import Side, TradingState
from shared.messages.execution import ApprovedPlan, Denied, RiskReport, TradingStateChanged
from shared.messages.rounds import Intent
from tests.decision_builders import (
    T0,
    make_balances,
    make_done,
    make_info,
    make_leg,
    make_offer,
    make_ready,
    make_result,
    make_rules,
    make_view,
)

CROSS = "ETH/BTC"
FINE = {"lot_size": D("0.001"), "qty_min": D("0.001"), "tick_size": D("0.00001")}
FINE |= {"notional_min": D("0.0001")}
LIMITS = QuoteLimits(
    order_notional_max=D("0.2"),
    instrument_notional_max=D(1),
    venue_notional_max=D(2),
    total_notional_max=D(3),
    daily_loss_max=D("0.01"),
)


def cross_config(**risk: Any) -> Config:
    venues = {name: VenueConfig(instruments=[CROSS, "BTC/USDT"]) for name in ("alpha", "beta")}
    as_wanted: dict[str, Any] = {"loss_cap_bps": D(50), "shrink_share_min": 1.0, **risk}
    return Config(venues=venues, risk=RiskConfig(**as_wanted))


def cross_risk(strategies: Sequence[StrategyConfig] = (), **risk: Any) -> RiskEngine:
    config = msgspec.structs.replace(cross_config(**risk), strategies=list(strategies))
    engine = RiskEngine(config)
    for venue, bid, ask in (("alpha", 0.0499, 0.05), ("beta", 0.0503, 0.0504)):
        engine.on_message(make_info(venue, CROSS, **FINE), T0)
        levels = {"bids": [(bid, 1e6)], "asks": [(ask, 1e6)]}
        engine.on_message(make_view(venue, CROSS, **levels), T0)
    engine.on_message(make_ready(T0), T0)
    for venue in ("alpha", "beta"):
        engine.on_message(make_balances(venue, BTC=1e6, ETH=1e6), T0)
    return engine


def cross_offer(qty: str, **changes: Any) -> Opportunity:
    legs = [
        make_leg("alpha", Side.BUY, qty, "0.05", CROSS),
        make_leg("beta", Side.SELL, qty, "0.0503", CROSS),
    ]
    return make_offer(legs, **changes)


def decision(engine: RiskEngine, found: Opportunity) -> ApprovedPlan | Denied:
    (decided,) = [
        m for m in engine.on_message(found, T0).messages if isinstance(m, ApprovedPlan | Denied)
    ]
    return decided


def test_ten_thousand_dollars_do_not_allow_an_order_of_thousands_of_bitcoins() -> None:
    answer = decision(cross_risk(), cross_offer("100000"))  # 5,000 BTC
    assert isinstance(answer, Denied)
    assert (answer.reason, answer.context) == (DenyReason.QUOTE_LIMITS.value, {"quote": "BTC"})


def test_limits_of_its_own_hold_for_a_quote_asset() -> None:
    engine = cross_risk(per_quote={"BTC": LIMITS})
    too_large = decision(engine, cross_offer("5"))
    assert isinstance(too_large, Denied)
    assert too_large.reason == DenyReason.ORDER_NOTIONAL.value
    assert too_large.context["max"] == "0.2"
    assert isinstance(decision(engine, cross_offer("2")), ApprovedPlan)


def test_no_strategy_holds_single_legs_against_an_asset_with_limits_of_its_own() -> None:
    entry = StrategyConfig(id="one", class_="cross_venue", directional_notional_max=D(5_000))
    engine = cross_risk([entry], per_quote={"BTC": LIMITS})
    legs = [make_leg("alpha", Side.BUY, "2", "0.05", CROSS)]
    found = make_offer(legs, intent=Intent.OPEN, round_id="r", strategy_id="one", stop_bps=D(50))
    answer = decision(engine, found)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.DIRECTIONAL_BUDGET.value
    assert answer.context["max"] == "0"


def test_what_was_lost_in_bitcoins_halts_by_the_limit_in_bitcoins() -> None:
    engine = cross_risk(per_quote={"BTC": LIMITS})
    for message in lost_in_bitcoins("0.02"):
        engine.on_message(message, T0)
    out = engine.on_message(make_done("p", base="ETH", quote="BTC"), T0).messages
    (told,) = [m for m in out if isinstance(m, TradingStateChanged)]
    assert told.state is TradingState.HALTED
    assert "0.02 BTC lost today, 0.01 allowed" in told.reason


def lost_in_bitcoins(amount: str) -> list[Any]:
    messages = []
    for message in make_result("p", f"-{amount}"):
        messages.append(msgspec.structs.replace(message, instrument=CROSS))
    return messages


def test_the_executor_refuses_what_has_no_limits_too() -> None:
    engine = cross_risk(per_quote={"BTC": LIMITS})
    plan = decision(engine, cross_offer("2"))
    assert isinstance(plan, ApprovedPlan)
    markets = Markets(("alpha", "beta"))
    venues = {"alpha": [CROSS], "beta": [CROSS]}
    without = Intake(markets, venues, RiskConfig())
    assert without.objection(plan, T0) == "risk.per_quote has no limits in BTC"
    small = msgspec.structs.replace(LIMITS, order_notional_max=D("0.05"))
    smaller = Intake(markets, venues, RiskConfig(per_quote={"BTC": small}))
    assert "0.05 are allowed" in smaller.objection(plan, T0)


def test_a_paper_account_has_a_worth_of_bitcoins_not_a_million_of_them() -> None:
    names = ("BTC/USDT", CROSS, "ETH/USDT", "BTC/USD:BTC")
    rules = {("alpha", name): make_rules("alpha", name, **FINE) for name in names}
    account = PaperAccount("alpha", rules, D(1_000_000))
    cross = make_view("alpha", CROSS, bids=[(0.05, 1.0)], asks=[(0.051, 1.0)])
    inverse = make_view("alpha", "BTC/USD:BTC", bids=[(1e4, 1.0)], asks=[(10_001.0, 1.0)])
    account.open(cross)
    account.open(inverse)
    assert account.balances() == {}  # nobody says yet what a bitcoin is worth
    account.open(make_view("alpha", "BTC/USDT", bids=[(1e4, 1.0)], asks=[(10_001.0, 1.0)]))
    account.open(cross)
    account.open(inverse)
    assert {asset: b.free for asset, b in account.balances().items()} == {
        "USDT": D(1_000_000),
        "BTC": D(100),
        "ETH": D(2_000),
    }


def test_a_paper_account_has_the_worth_of_what_is_traded_for_its_quote_asset() -> None:
    names = ("BTC/USDT", "BTC/EUR")
    rules = {("alpha", name): make_rules("alpha", name, **FINE) for name in names}
    account = PaperAccount("alpha", rules, D(1_000_000))
    euros = make_view("alpha", "BTC/EUR", bids=[(9_000.0, 1.0)], asks=[(9_001.0, 1.0)])
    account.open(euros)
    assert account.balances() == {}
    account.open(make_view("alpha", "BTC/USDT", bids=[(1e4, 1.0)], asks=[(10_001.0, 1.0)]))
    account.open(euros)
    assert account.balance("EUR") == 900_000


def test_a_paper_account_has_what_is_configured_of_an_asset() -> None:
    config = cross_config()
    config = msgspec.structs.replace(config, executor=ExecutorConfig(paper_balances={"BTC": D(3)}))
    rules = {("alpha", CROSS): make_rules("alpha", CROSS, **FINE)}
    account = paper_account("alpha", rules, config)
    account.open(make_view("alpha", CROSS, bids=[(0.05, 1.0)], asks=[(0.051, 1.0)]))
    assert (account.balance("BTC"), account.balance("ETH")) == (3, 60)


@pytest.mark.parametrize(("btc_usdt", "cap"), [(None, "0.0001"), (10_000.0, "0.0001")])
def test_closing_a_rest_may_not_lose_a_whole_bitcoin(btc_usdt: float | None, cap: str) -> None:
    markets = Markets(("alpha",))
    markets.learn_view(make_view("alpha", CROSS, bids=[(0.05, 9.0)], asks=[(0.05, 9.0)]))
    if btc_usdt:
        level = [(btc_usdt, 9.0)]
        markets.learn_view(make_view("alpha", "BTC/USDT", bids=level, asks=level))
    plan = ClosingPlans(ExecutorState(), markets).flatten("c", CROSS, D("0.2"), T0)
    assert plan is not None
    assert plan.loss_cap == D(cap)  # 1 % of 0.01 BTC, or one dollar


def test_what_is_reserved_is_told_by_quote_asset() -> None:
    engine = cross_risk(per_quote={"BTC": LIMITS})
    assert isinstance(decision(engine, cross_offer("2")), ApprovedPlan)
    (report,) = [m for m in engine.on_timer(T0).messages if isinstance(m, RiskReport)]
    assert report.reserved_by_quote == {"BTC": D("0.1006")}


def test_the_check_of_a_configuration_names_what_has_no_limits() -> None:
    assert without_limits(cross_config()) == ["BTC"]
    assert without_limits(cross_config(per_quote={"BTC": LIMITS})) == []


def test_limits_by_quote_are_read_shown_and_checked() -> None:
    text = "\n".join(f"{name} = '{x}'" for name, x in msgspec.structs.asdict(LIMITS).items())
    config = parse_config(f"[risk.per_quote.BTC]\n{text}\n", "arb.toml")
    assert config.risk.per_quote == {"BTC": LIMITS}
    assert parse_config(to_toml(config), "arb.toml") == config
    with pytest.raises(ConfigError, match=r"risk\.per_quote\.BTC\.daily_loss_max = -1; give"):
        parse_config(f"[risk.per_quote.BTC]\n{text}\n".replace("'0.01'", "-1"), "arb.toml")
    with pytest.raises(ConfigError, match="missing required field"):
        parse_config("[risk.per_quote.BTC]\norder_notional_max = 1\n", "arb.toml")
    with pytest.raises(ConfigError, match=r"executor\.paper_balances\.BTC = 0; give a number"):
        parse_config("[executor]\npaper_balances = { BTC = 0 }\n", "arb.toml")


def test_what_is_reserved_in_several_assets_is_never_added() -> None:
    engine = cross_risk(per_quote={"BTC": LIMITS})
    crossed = decision(engine, cross_offer("2"))
    assert isinstance(crossed, ApprovedPlan)
    for name in ("alpha", "beta"):
        engine.on_message(make_info(name, "BTC/USDT"), T0)
        engine.on_message(make_view(name, "BTC/USDT"), T0)
        engine.on_message(make_balances(name, T0 + 1, BTC=1e6, ETH=1e6, USDT=1e6), T0)
    legs = [
        make_leg("alpha", Side.BUY, "0.1", "10000", "BTC/USDT"),
        make_leg("beta", Side.SELL, "0.1", "10050", "BTC/USDT"),
    ]
    assert isinstance(decision(engine, make_offer(legs)), ApprovedPlan)
    gauges = engine.gauges()
    assert gauges["reserved_notional_BTC"] == pytest.approx(0.1006)
    assert gauges["reserved_notional_USDT"] == pytest.approx(1_005)
    assert "reserved_notional" not in gauges
    (report,) = [m for m in engine.on_timer(T0).messages if isinstance(m, RiskReport)]
    assert report.reserved_by_quote == {"BTC": D("0.1006"), "USDT": D("1005.0")}
    assert report.reserved == D("1005.0")
    engine.on_message(make_done(crossed.plan_id, base="ETH", quote="BTC"), T0)
    assert engine.gauges()["reserved_notional_BTC"] == 0


def test_a_directional_budget_counts_each_quote_asset_apart() -> None:
    """A round left over in bitcoins from other limits is no amount of dollars."""
    entry = StrategyConfig(id="one", class_="cross_venue", directional_notional_max=D(1_500))
    engine = cross_risk([entry], per_quote={"BTC": LIMITS}, quote_assets=("USDT", "USDC"))
    engine.on_message(make_info("alpha", "BTC/USDT"), T0)
    engine.on_message(make_view("alpha", "BTC/USDT"), T0)
    engine.on_message(make_balances("alpha", T0 + 1, USDT=1e6), T0)
    books = Books()
    books.trade(
        Execution(venue="alpha", instrument=CROSS, side=Side.BUY, qty=D(40_000), cost=D(2_000))
    )
    left = Round(
        strategy="one",
        round_id="old",
        base="ETH",
        quote="BTC",
        is_directional=True,
        ts_opened_ns=T0,
        books=books,
    )
    engine.ledger.rounds.begin(left, "plan-old")
    legs = [make_leg("alpha", Side.BUY, "0.1", "10001", "BTC/USDT")]
    found = make_offer(legs, intent=Intent.OPEN, round_id="r", strategy_id="one", stop_bps=D(50))
    assert isinstance(decision(engine, found), ApprovedPlan)
    found = make_offer(legs, intent=Intent.OPEN, round_id="r2", strategy_id="one", stop_bps=D(50))
    again = decision(engine, msgspec.structs.replace(found, opportunity_id="other"))
    assert isinstance(again, Denied)
