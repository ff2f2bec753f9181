"""The rule on what venues should hold: what it denies, and with which figures."""

from __future__ import annotations

import re
from decimal import Decimal as D
from typing import Any

import msgspec

from services.risk.engine import RiskEngine
from services.risk.inventory_limits import inventory_limits
from shared.config import parse_config
from shared.config_inventory import targets_of
from shared.config_sections import InventoryConfig, InventoryTarget, StrategyConfig
from shared.domain.inventory import band_of
from shared.domain.skew import Change, Skew, SkewLimits, skew_of
from shared.messages.execution import ApprovedPlan, Denied
from tests.decision_builders import SECOND, T0, make_balances, make_config, make_risk
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
    inventory = InventoryConfig(targets=list(targets), skew_bps_max=D(skew), **given)
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
    engine = path_risk()
    scarce = kept(make_config(), units("alpha", "1e9", "1", "USDT"))
    engine.decider._inventory = inventory_limits(scarce)
    assert isinstance(path_decision(engine, PATH), ApprovedPlan)


def test_rounds_are_opened_and_closed_whatever_is_held() -> None:
    engine = make_risk(kept(round_config(), units("alpha", "1e9", "1", "USDT")))
    execute(engine, approve(engine, opening()))
    approve(engine, closing())


PAGE = (ROOT / "docs" / "inventory.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| (\d+) \| (\d+) \| (\S+) \| (\S*) ?\|", PAGE, re.MULTILINE)


def test_the_figures_of_the_page() -> None:
    config = parse_config(EXAMPLE, "arb.toml")
    (target,) = targets_of(config.inventory)
    given = config.inventory
    limits = SkewLimits(given.skew_bps_max, given.reward_bps_max)
    assert len(ROWS) == 8
    for held, after, charge, reward in ROWS:
        change = Change(target.venue_asset, band_of(target, D(0)), D(held), D(after))
        assert change.is_below_band is (charge == "denied")
        if charge != "denied":
            assert skew_of([change], limits) == Skew(D(charge), D(reward))
