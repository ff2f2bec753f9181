"""The rule on what venues should hold: what it denies, and with which figures."""

from __future__ import annotations

import re
from decimal import Decimal as D
from typing import Any

import msgspec

from services.risk.engine import RiskEngine
from shared.config import parse_config
from shared.config_inventory import targets_of, transfer_ways
from shared.config_sections import (
    InventoryConfig,
    InventoryTarget,
    InventoryTransfer,
    StrategyConfig,
)
from shared.domain.inventory import band_of
from shared.domain.return_cost import Short, return_cost
from shared.domain.skew import Change, Skew, SkewLimits, skew_of
from shared.messages.base import Certainty
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.inventory import InventoryTold
from shared.messages.terms import InventoryCost
from tests.decision_builders import SECOND, T0, make_balances, make_config, make_risk, make_view
from tests.support import ROOT
from tests.unit.test_path_plans import GOOD as PATH
from tests.unit.test_path_plans import decision as path_decision
from tests.unit.test_path_plans import path_risk
from tests.unit.test_risk_limits import GOOD, approved, decision
from tests.unit.test_risk_rounds import approve, closing, execute, opening
from tests.unit.test_risk_rounds import config as round_config


def units(venue: str, qty: str, band: str, asset: str = "BTC") -> InventoryTarget:
    return InventoryTarget(venue=venue, asset=asset, target_qty=D(qty), band_qty=D(band))


def share(venue: str, part: str = "0.5", band: str = "0.25") -> InventoryTarget:
    return InventoryTarget(venue=venue, asset="BTC", target_share=D(part), band_share=D(band))


def kept(config: Any, *targets: InventoryTarget, skew: str = "20", **given: Any) -> Any:
    asked = {"cost_in_edge": False, **given}
    inventory = InventoryConfig(targets=list(targets), skew_bps_max=D(skew), **asked)
    return msgspec.structs.replace(config, inventory=inventory)


def risk(*targets: InventoryTarget, skew: str = "20", **given: Any) -> RiskEngine:
    return make_risk(kept(make_config(), *targets, skew=skew, **given))


def told(answer: ApprovedPlan | Denied) -> tuple[str, dict[str, str]]:
    assert isinstance(answer, Denied), answer
    return answer.reason, answer.context


SHORT = units("beta", "10.1", "1")
"""The plan sells 0.1 of the 10 BTC there: from 1/10 to 2/10 of the way to the edge at 9.1."""


def test_a_plan_that_empties_a_venue_must_earn_more() -> None:
    """Its edge is 29.95: with 2 asked of every plan, 15/100 of the skew may be 27.95."""
    approved(risk(SHORT, skew="186.3333"), GOOD)
    assert told(decision(risk(SHORT, skew="186.4"), GOOD)) == (
        "INVENTORY_EDGE",
        {
            "edge_bps": "29.95",
            "needs_bps": "29.96",
            "usual_bps": "2",
            "charge_bps": "27.96",
            "reward_bps": "0",
            "cost_bps": "0",
            "cost": "estimated",
            "route": "BTC/USDT sold at alpha, bought at beta",
            "venue": "beta",
            "asset": "BTC",
            "held": "10",
            "after": "9.9",
            "target": "10.1",
            "low": "9.1",
        },
    )


def test_money_at_the_buying_venue_counts_like_coins_at_the_selling_one() -> None:
    """1,001 of 100,000 USDT leave alpha, fee included."""
    money = units("alpha", "101000", "10000", "USDT")  # from 0.1 to 0.2001: 0.15005 in the mean
    _, context = told(decision(risk(money, skew="190"), GOOD))
    assert (context["charge_bps"], context["after"]) == ("28.5095", "98999")
    _, both = told(decision(risk(money, SHORT, skew="190"), GOOD))
    assert D(both["charge_bps"]) == D("28.5095") + D("28.5")


def test_what_brings_back_makes_up_for_it() -> None:
    """Alpha gets 0.1 BTC and is as short of it as beta, so half of the charge is made up for."""
    both = (SHORT, units("alpha", "10.2", "1"))
    approved(risk(*both, skew="200", reward_bps_max=D(100)), GOOD)
    _, context = told(decision(risk(*both, skew="400", reward_bps_max=D(100)), GOOD))
    assert (context["charge_bps"], context["reward_bps"]) == ("60", "15")
    assert context["needs_bps"] == "47"


def test_no_plan_leaves_a_venue_below_its_band() -> None:
    approved(risk(units("beta", "10", "0.1"), skew="0.1"), GOOD)
    reason, context = told(decision(risk(units("beta", "10", "0.0999"), skew="0.1"), GOOD))
    assert (reason, context["low"], context["after"]) == ("INVENTORY_BAND", "9.9001", "9.9")
    approved(risk(units("alpha", "20", "1"), skew="0.1"), GOOD)  # it gets some: never denied
    approved(risk(units("alpha", "5", "1"), skew="0.1"), GOOD)  # more than its band holds as well


def test_what_plans_in_flight_may_spend_counts_as_gone() -> None:
    engine = risk(units("beta", "10", "0.15"), skew="0.1")
    approved(engine, GOOD)
    again = msgspec.structs.replace(GOOD, opportunity_id="f" * 16)
    assert told(decision(engine, again))[0] == "PAIR_IN_FLIGHT"
    (held,) = engine.ledger.reservations.values()
    held.legs[0], held.legs[1] = held.legs[1], held.legs[1]  # the same pair no more
    assert told(decision(engine, again))[0] == "INVENTORY_BAND"


def test_shares_are_of_what_all_venues_report() -> None:
    both = (share("alpha"), share("beta"))  # 10 of 20: the target; the edge at 5
    _, context = told(decision(risk(*both, skew="5000"), GOOD))
    told_of = context["target"], context["low"], context["charge_bps"]
    assert told_of == ("10", "5", "50")


def test_what_is_not_known_is_not_a_target_kept() -> None:
    engine = risk(share("beta"), share("gamma"), balance_age_ms_max=1_000)
    approved(engine, GOOD)
    late = msgspec.structs.replace(GOOD, opportunity_id="e" * 16)
    engine = risk(share("beta"), share("gamma"), balance_age_ms_max=1_000)
    for venue in ("alpha", "beta"):
        engine.on_message(make_balances(venue, T0 + 2 * SECOND), T0)
    engine.ledger.balances["gamma"].ts_ns = T0 - 2 * SECOND
    assert told(decision(engine, late)) == ("INVENTORY_UNKNOWN", {"venue": "beta", "asset": "BTC"})
    unknown = risk(share("alpha"), share("gamma"), balance_age_ms_max=1_000)
    unknown.ledger.balances["gamma"].ts_ns = T0 - 2 * SECOND
    approved(unknown, GOOD)  # alpha gets some: that it would be rewarded is all that is not known


def test_a_strategy_is_asked_for_its_own_edge() -> None:
    own = StrategyConfig(id="cross_venue", class_="cross_venue", params={"edge_bps_min": 20})
    config = msgspec.structs.replace(make_config(), strategies=[own])
    approved(make_risk(kept(config, SHORT, skew="66")), GOOD)
    _, context = told(decision(make_risk(kept(config, SHORT, skew="67")), GOOD))
    assert (context["usual_bps"], context["needs_bps"]) == ("20", "30.05")


def test_without_skew_the_targets_bind_nothing() -> None:
    approved(risk(units("beta", "100", "1"), skew="0"), GOOD)


def test_a_way_at_one_venue_moves_nothing() -> None:
    """What is spent of the money comes back with the profit, so nothing is taken of it."""
    scarce = kept(make_config(), units("alpha", "1e9", "1", "USDT"))
    engine = path_risk(inventory=scarce.inventory)
    assert isinstance(path_decision(engine, PATH), ApprovedPlan)
    leaves = kept(make_config(), units("alpha", "1e9", "1"), units("alpha", "1e9", "1", "ETH"))
    plan = path_decision(path_risk(inventory=leaves.inventory), PATH)
    assert isinstance(plan, ApprovedPlan), "what is left over is brought"


def test_rounds_are_opened_and_closed_whatever_is_held() -> None:
    engine = make_risk(kept(round_config(), units("alpha", "1e9", "1", "USDT")))
    execute(engine, approve(engine, opening()))
    approve(engine, closing())


# -- the cost of bringing back ------------------------------------------------------------------


def ways(fee: str | None = "0.002", money: str | None = "1") -> list[InventoryTransfer]:
    return [
        InventoryTransfer(asset=asset, fee_qty=None if each is None else D(each))
        for asset, each in (("BTC", fee), ("USDT", money))
    ]


BOTH_SHORT = (
    units("beta", "10", "1"),
    units("alpha", "20", "1"),
    units("alpha", "100000", "10010", "USDT"),
    units("beta", "0", "0", "USDT"),
)
"""0.1 BTC of beta and 1,001 USDT of alpha: a tenth of what is moved at a time, of both."""


def costed(skew: str = "0.001", **given: Any) -> RiskEngine:
    given = {"transfers": ways(), "cost_in_edge": True, **given}
    return risk(*BOTH_SHORT, skew=skew, **given)


def test_a_plan_must_earn_what_bringing_back_costs() -> None:
    """0.0002 BTC at 10,050 and 0.1 USDT are 2.11, of 1,000 that are bought: 21.1 bps."""
    plan = approved(costed(), GOOD)
    assert plan.inventory_cost == InventoryCost(
        amount=D("2.11"),
        certainty=Certainty.KNOWN,
        route="transfer of USDT from beta to alpha and transfer of BTC from alpha to beta",
    )
    own = StrategyConfig(id="cross_venue", class_="cross_venue", params={"edge_bps_min": 8.9})
    config = msgspec.structs.replace(make_config(), strategies=[own])
    given = {"transfers": ways(), "cost_in_edge": True}
    reason, context = told(
        decision(make_risk(kept(config, *BOTH_SHORT, skew="0.001", **given)), GOOD)
    )
    assert (reason, context["cost_bps"], context["cost"]) == ("INVENTORY_EDGE", "21.1", "known")
    assert D(context["needs_bps"]) == D("8.9") + D("21.1") + D(context["charge_bps"])


def test_a_trade_back_is_an_estimate_at_one_price_for_both() -> None:
    """Without transfers: two fees of 10 bps of 1,000, and what both books ask beyond that."""
    engine = costed(transfers=[], cost_in_edge=False)
    cost = approved(engine, GOOD).inventory_cost
    assert cost is not None
    assert (cost.certainty, cost.route) == (
        Certainty.ESTIMATED,
        "BTC/USDT sold at alpha, bought at beta",
    )
    assert cost.amount is not None
    assert 2 < cost.amount < 4


def test_an_unknown_cost_is_counted_as_configured_or_denied() -> None:
    unknown = {"transfers": ways(None), "cost_estimate_bps": D(7)}
    engine = costed(**unknown)
    thin(engine)
    cost = approved(engine, GOOD).inventory_cost
    assert cost == InventoryCost(
        amount=D("0.7"), certainty=Certainty.ESTIMATED, route="no route of known cost"
    )
    engine = costed(**unknown, cost_unknown="deny")
    thin(engine)
    assert told(decision(engine, GOOD)) == (
        "INVENTORY_UNKNOWN",
        {"cost": "unknown", "why": "no route of known cost"},
    )
    engine = costed(**unknown, cost_unknown="deny", cost_in_edge=False)
    thin(engine)
    cost = approved(engine, GOOD).inventory_cost
    assert cost is not None
    assert (cost.amount, cost.certainty) == (None, Certainty.UNKNOWN)


def thin(engine: RiskEngine) -> None:
    """Let nothing be bought back at beta: its book has no asks."""
    engine.on_message(make_view("beta", asks=[], ts_ns=T0), T0)


def test_a_plan_back_to_the_targets_costs_nothing() -> None:
    engine = risk(units("beta", "5", "1"), units("alpha", "20", "1"), cost_in_edge=True)
    cost = approved(engine, GOOD).inventory_cost
    assert cost == InventoryCost(
        amount=D(0), certainty=Certainty.KNOWN, route="nothing to bring back"
    )


def test_without_skew_no_plan_names_a_cost() -> None:
    assert approved(risk(*BOTH_SHORT, skew="0"), GOOD).inventory_cost is None


PAGE = (ROOT / "docs" / "inventory.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| (\d+) \| (\d+) \| (\S+) \| (\S*) ?\|", PAGE, re.MULTILINE)


def test_the_figures_of_the_page() -> None:
    config = parse_config(EXAMPLE, "arb.toml")
    target = targets_of(config.inventory)[0]
    given = config.inventory
    limits = SkewLimits(given.skew_bps_max, given.reward_bps_max)
    assert len(ROWS) == 8
    for held, after, charge, reward in ROWS:
        change = Change(target.venue_asset, band_of(target, D(0)), D(held), D(after))
        assert change.is_below_band is (charge == "denied")
        if charge != "denied":
            assert skew_of([change], limits) == Skew(D(charge), D(reward))


def test_the_cost_that_the_page_tells() -> None:
    inventory = parse_config(EXAMPLE, "arb.toml").inventory
    targets = targets_of(inventory)
    short = Short(targets[0].venue_asset, D(1), targets[0].band)
    prices = {"BTC": D(50_000)}
    found = return_cost(
        [short], transfer_ways(inventory, targets), None, lambda asset, _: prices.get(asset)
    )
    assert found.certainty is Certainty.KNOWN
    assert f" {found.amount} USDT. Known." in " ".join(PAGE.split())


def told_places(engine: RiskEngine) -> InventoryTold | None:
    found = [each for each in engine.on_timer(T0).messages if isinstance(each, InventoryTold)]
    return found[0] if found else None


def test_the_strategies_are_told_what_is_held() -> None:
    engine = risk(*BOTH_SHORT, reward_bps_max=D(5))
    approved(engine, GOOD)
    told = told_places(engine)
    assert told is not None
    assert (told.charge_bps_max, told.reward_bps_max) == (20, 5)
    assert [(each.venue, each.asset, each.held) for each in told.places] == [
        ("beta", "BTC", D("9.9")),
        ("alpha", "BTC", D(10)),
        ("alpha", "USDT", D(98_999)),
        ("beta", "USDT", D(100_000)),
    ]
    first = told.places[0]
    assert (first.low, first.target, first.high) == (9, 10, 11)


def test_a_place_that_is_not_known_is_not_told() -> None:
    engine = risk(share("alpha"), share("gamma"), units("beta", "1", "1"))
    engine.ledger.balances["gamma"].ts_ns = T0 - 61 * SECOND
    told = told_places(engine)
    assert told is not None
    assert [each.venue for each in told.places] == ["beta"]
    assert told_places(risk(*BOTH_SHORT, skew="0")) is None
