"""Rules on what is held of an asset over all venues: what they count, and with which figures."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from services.risk.asset_limits import SPOT, holdings_of
from services.risk.engine import RiskEngine
from services.risk.exposure import Ledger
from services.risk.reasons import DenyReason
from shared.config import parse_config
from shared.config_limits import AssetLimits
from shared.errors import ConfigError
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.rounds import Intent
from tests.decision_builders import (
    PERP,
    T0,
    make_balances,
    make_config,
    make_fill,
    make_opportunity,
    make_risk,
)
from tests.unit.test_path_plans import GOOD as PATH
from tests.unit.test_path_plans import decision as path_decision
from tests.unit.test_path_plans import path_risk
from tests.unit.test_risk_limits import BETA, GOOD, approved, decision, to_gamma
from tests.unit.test_risk_rounds import approve, closing, config, decide, execute, opening, single


def limited(asset: str = "BTC", **limits: str) -> RiskEngine:
    own = AssetLimits(**{name: D(value) for name, value in limits.items()})
    return make_risk(make_config(per_asset={asset: own}))


def told(answer: ApprovedPlan | Denied) -> tuple[str, dict[str, str]]:
    assert isinstance(answer, Denied), answer
    return answer.reason, answer.context


def test_a_plan_may_leave_no_more_unhedged_than_the_limit() -> None:
    reason, context = told(decision(limited(net_max="0.0999"), GOOD))
    assert (reason, context) == ("ASSET_NET", {"asset": "BTC", "net": "0.1", "max": "0.0999"})
    approved(limited(net_max="0.1"), GOOD)
    approved(limited("ETH", net_max="0.0001"), GOOD)
    approved(limited(), GOOD)


def test_what_is_held_and_in_flight_counts_over_all_venues() -> None:
    engine = limited(net_max="0.35")
    engine.on_message(make_fill("p", "beta", Side.BUY, "0.1"), T0)
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.1", instrument=PERP), T0)
    approved(engine, GOOD)  # 0.2 held, 0.1 more if only that is bought
    reason, context = told(decision(engine, to_gamma()))
    assert (reason, context["net"]) == (DenyReason.ASSET_NET.value, "0.4")


def test_gross_adds_up_what_hedges() -> None:
    for limit, is_denied in (("0.4", False), ("0.3999", True)):
        engine = limited(gross_max=limit)
        engine.on_message(make_fill("p", "alpha", Side.BUY, "0.15"), T0)
        engine.on_message(make_fill("p", "gamma", Side.SELL, "0.15", instrument=PERP), T0)
        answer = decision(engine, GOOD)
        assert isinstance(answer, Denied) is is_denied
        if is_denied:
            assert told(answer) == (
                "ASSET_GROSS",
                {"asset": "BTC", "gross": "0.40", "max": "0.3999"},
            )


def test_spot_that_coins_hedge_is_what_was_bought_at_every_price() -> None:
    """1 of spot against 20,000 contracts of a dollar at 20,000, and 0.01 against 400 at 40,000."""
    ledger, coins = Ledger(), "BTC/USD:BTC"
    for number, (qty, price) in enumerate((("1", 20_000), ("0.01", 40_000))):
        spot = {"instrument": "BTC/USD", "price": D(price), "fee_asset": "USD"}
        ledger.apply_fill(make_fill(f"p{number}", "alpha", Side.BUY, qty, **spot))
        perp = {"instrument": coins, "price": D(price), "fee": D(0), "fee_asset": "BTC"}
        worth = str(D(qty) * price)
        ledger.apply_fill(make_fill(f"p{number}", "gamma", Side.SELL, worth, **perp))
    assert holdings_of(ledger, "BTC") == {SPOT: D("1.01"), f"gamma|{coins}": D("-0.51")}


def test_what_takes_away_of_it_passes() -> None:
    engine = make_risk(config(per_asset={"BTC": AssetLimits(net_max=D("0.15"))}))
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.4", instrument=PERP), T0)
    reason, _ = told(decision(engine, make_opportunity(buy=("gamma", PERP), sell=BETA)))
    assert reason == DenyReason.ASSET_NET.value
    approve(engine, single(Side.SELL, "0.1", Intent.OPEN))


def test_a_round_is_closed_whatever_is_held() -> None:
    limits = AssetLimits(net_max=D("0.1"), gross_max=D("0.2"))
    engine = make_risk(config(per_asset={"BTC": limits}))
    execute(engine, approve(engine, opening()))
    engine.on_message(make_fill("p", "beta", Side.BUY, "5"), T0)
    engine.on_message(make_balances("beta"), T0)
    reason, _ = told(decide(engine, opening(round_id="r2")))
    assert reason == DenyReason.ASSET_NET.value
    approve(engine, closing())


def test_a_way_through_several_assets_counts_in_each() -> None:
    """BTC is bought for dollars and paid for ETH, which is sold."""
    bought = PATH.legs[0].qty
    for asset in ("BTC", "ETH"):
        qty = bought if asset == "BTC" else PATH.legs[1].qty
        for limit, is_denied in ((qty * 2, False), (qty / 2, True)):
            engine = path_risk(per_asset={asset: AssetLimits(net_max=limit)})
            answer = path_decision(engine, PATH)
            assert isinstance(answer, Denied) is is_denied, answer
            if is_denied:
                assert told(answer)[0] == "ASSET_NET"


def test_the_limits_are_read_and_checked() -> None:
    read = parse_config("[risk.per_asset.BTC]\nnet_max = 2\n", "arb.toml")
    assert read.risk.per_asset == {"BTC": AssetLimits(net_max=D(2), gross_max=D(0))}
    with pytest.raises(ConfigError, match=r"risk\.per_asset\.BTC\.gross_max = -1; give a number"):
        parse_config("[risk.per_asset.BTC]\ngross_max = -1\n", "arb.toml")


def shared_out(limit_bps: float, **free: str) -> RiskEngine:
    """Risk whose accounts hold that much, all in alpha; beta has what it sells."""
    engine = make_risk(make_config(plan_portfolio_bps_max=limit_bps))
    engine.on_message(make_balances("alpha", **free), T0)
    engine.on_message(make_balances("beta", BTC="0.1"), T0)
    engine.on_message(make_balances("gamma", BTC=0), T0)
    return engine


@pytest.mark.parametrize(("limit_bps", "is_denied"), [(1_005, False), (1_004, True), (0, False)])
def test_a_plan_trades_no_more_than_its_share_of_the_accounts(
    limit_bps: float, is_denied: bool
) -> None:
    """9,000 in dollars, and 0.1 BTC in the middle of 9,999 and 10,001; 1,005 is traded."""
    answer = decision(shared_out(limit_bps, USDT="9000"), GOOD)
    assert isinstance(answer, Denied) is is_denied, answer
    if is_denied:
        reason, context = told(answer)
        assert reason == "PORTFOLIO_SHARE"
        assert D(context["notional"]) == 1_005
        assert D(context["portfolio"]) == 10_000
        assert context["max_bps"] == "1004"


def test_what_has_no_price_or_is_not_known_counts_nothing() -> None:
    engine = shared_out(1_005, USDT="9000", DOGE="1000000")
    approved(engine, GOOD)
    engine = shared_out(1_004, USDT="9000", DOGE="1000000")
    assert told(decision(engine, GOOD))[0] == "PORTFOLIO_SHARE"
    engine = shared_out(1_005, USDT="9000")
    engine.on_message(make_balances("beta", BTC="0.0999"), T0)
    assert told(decision(engine, GOOD))[0] == "PORTFOLIO_SHARE"


def test_a_round_is_closed_whatever_share_it_is() -> None:
    engine = make_risk(config(plan_portfolio_bps_max=100))
    execute(engine, approve(engine, opening()))
    for venue in ("alpha", "beta", "gamma"):
        engine.on_message(make_balances(venue, USDT=1), T0)
    assert told(decide(engine, opening(round_id="r2")))[0] == "PORTFOLIO_SHARE"
    approve(engine, closing())
