"""Limits of risk and of the executor that are broken on purpose, each caught in a few worlds.

A world has few of these limits, and they are drawn so that they seldom stop a plan. Here every
world has the one that is broken, and it is tight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count, islice
from typing import Any

import pytest

from services.executor import answers, standdown
from services.executor.order_record import OrderRecord
from services.executor.standdown import StandDown
from services.lab import chaos, drawn_limits, market, variety
from services.lab.kinds import Kind, kind_of
from services.lab.simulate import run_seed
from services.lab.world import World
from services.risk import judgement, margin_limits
from shared.config_limits import AssetLimits
from shared.domain.rounding import exact
from shared.engine import Step
from shared.messages.execution import OrderStatus

WORLDS_MAX = 12
"""So many worlds a mutant may pass."""
UNBROKEN_WORLDS = 6


@dataclass(frozen=True)
class Promise:
    """A limit: the rule that keeps it, what a world draws of it, and who sees that it is broken."""

    rule: str
    checker: str
    chances: dict[str, Any] = field(default_factory=dict)
    risk: Callable[[dict[str, float]], dict[str, Any]] = lambda prices: {}
    kind: Kind | None = None


def per_asset(name: str) -> Callable[[dict[str, float]], dict[str, Any]]:
    """A limit of 1,000 of the money on every asset: a third of the largest plan."""
    return lambda prices: {
        "per_asset": {
            asset: AssetLimits(**{name: 1_000 / exact(price)}) for asset, price in prices.items()
        }
    }


SMALL = Decimal("0.0008")
"""Of the usual collateral: about 4,000 of the money, two rounds' worth."""
NET = {"net_notional_max": Decimal(2_000)}

PROMISES = (
    Promise("maintenance", "maintenance", {"MAINTENANCE_CHANCE": 1.0}),
    Promise("clock_skew", "clock_skew", {"SKEW_CHANCE": 1.0}),
    Promise(
        "portfolio_share", "portfolio_share", risk=lambda prices: {"plan_portfolio_bps_max": 0.3}
    ),
    Promise("price_band", "price_band", risk=lambda prices: {"price_band_bps_max": 5.0}),
    Promise("order_rate", "order_rate", risk=lambda prices: {"orders_per_minute_max": 2}),
    Promise("net_of_asset", "asset_net", risk=per_asset("net_max")),
    Promise("gross_of_asset", "asset_gross", risk=per_asset("gross_max")),
    Promise(
        "inventory",
        "inventory_band",
        {"INVENTORY_CHANCE": 1.0, "INVENTORY_BAND": Decimal(1_000), "SKEWS_BPS": (Decimal(2),)},
    ),
    Promise("daily_loss", "daily_loss", risk=lambda prices: {"daily_loss_max": Decimal(20)}),
    Promise("rolling_loss", "rolling_loss", risk=lambda prices: {"rolling_loss_max": Decimal(20)}),
    Promise("drawdown", "drawdown", risk=lambda prices: {"drawdown_max": Decimal(20)}),
    Promise("losing_streak", "losing_streak", risk=lambda prices: {"losses_in_row_max": 1}),
    Promise("net_notional", "net_notional", risk=lambda prices: NET),
    Promise("open_orders", "open_orders_max", risk=lambda prices: {"open_orders_max": 1}),
    Promise(
        "strategy_notional",
        "strategy_notional",
        {"STRATEGY_CHANCE": 1.0, "STRATEGY_MAX": (Decimal(1_500),)},
    ),
    Promise(
        "leverage",
        "leverage",
        {"MARGIN_CHANCE": 1.0, "COLLATERAL_SHARE": SMALL},
        risk=lambda prices: {"leverage_max": 0.3},
        kind=Kind.CARRY,
    ),
    Promise(
        "liquidation",
        "liquidation",
        {"MARGIN_CHANCE": 1.0, "COLLATERAL_SHARE": SMALL},
        risk=lambda prices: {"liquidation_bps_min": 25_000.0},
        kind=Kind.CARRY,
    ),
    Promise(
        "liquidation",
        "liquidation",
        {"MARGIN_CHANCE": 1.0, "COLLATERAL_SHARE": SMALL / 40},
        risk=lambda prices: {"liquidation_bps_min": 8_000.0},
        kind=Kind.INVERSE,
    ),
    Promise("depeg", "depeg", risk=lambda prices: {"depeg_bps_max": 20.0}, kind=Kind.CONVERSION),
)
EACH = pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.rule)


def worlds_of(kind: Kind | None) -> Iterator[int]:
    """Seeds of worlds of a kind, or of any."""
    return (seed for seed in count(1) if kind in {None, kind_of(seed)})


def draw_it(patch: pytest.MonkeyPatch, promise: Promise) -> None:
    """Let every world have this limit, and a dollar lose its peg for long."""
    patch.setattr(variety, "_limits_of", lambda seed, prices: promise.risk(prices))
    patch.setattr(variety, "LIMIT_CHANCE", 0.0)
    for name, chance in promise.chances.items():
        for module in (variety, drawn_limits):
            if hasattr(module, name):
                patch.setattr(module, name, chance)
    patch.setattr(market, "DEPEG_CHANCE", 1.0)
    patch.setattr(market, "DEPEG_LASTS_NS", (9_000_000_000, 12_000_000_000))


def drop_the_rule(patch: pytest.MonkeyPatch, name: str) -> None:
    """Risk asks every rule but one."""

    def others(rules: Any) -> Any:
        return tuple(rule for rule in rules if rule.__name__ != name)

    assert len(others(judgement.INSTANT_RULES)) == len(judgement.INSTANT_RULES) - 1
    of_intents = {intent: others(rules) for intent, rules in judgement.RULES.items()}
    patch.setattr(judgement, "RULES", of_intents)
    patch.setattr(judgement, "PATH_RULES", others(judgement.PATH_RULES))


@EACH
@pytest.mark.timeout(400)
def test_a_limit_that_is_not_kept_is_caught(promise: Promise, monkeypatch) -> None:
    draw_it(monkeypatch, promise)
    drop_the_rule(monkeypatch, promise.rule)
    for seed in islice(worlds_of(promise.kind), WORLDS_MAX):
        if promise.checker in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


@pytest.mark.timeout(400)
def test_a_maintenance_margin_that_is_left_out_is_caught(monkeypatch) -> None:
    """Risk lets positions come so near that the least margin must have been used up."""
    limits = {"liquidation_bps_min": 1.0, "maintenance_margin_bps": Decimal(9_900)}
    chances = {"MARGIN_CHANCE": 1.0, "COLLATERAL_SHARE": SMALL / 4}
    draw_it(monkeypatch, Promise("", "", chances, risk=lambda prices: limits))
    away_bps = margin_limits._away_bps
    monkeypatch.setattr(
        margin_limits, "_away_bps", lambda backed, maintenance: away_bps(backed, Decimal(0))
    )
    drop_the_rule(monkeypatch, "balances")
    for seed in islice(worlds_of(Kind.CARRY), WORLDS_MAX):
        if "liquidation" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


@EACH
@pytest.mark.timeout(400)
def test_a_limit_is_kept(promise: Promise, monkeypatch) -> None:
    draw_it(monkeypatch, promise)
    for seed in islice(worlds_of(promise.kind), UNBROKEN_WORLDS):
        outcome = run_seed(seed)
        assert not outcome.violations, outcome.story


@pytest.fixture(params=["fails", "is_late"])
def weak_venues(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Venues fail often, or answers may take less than they do; a few are enough to judge them."""
    monkeypatch.setattr(answers, "ANSWERS_LEAST", 4)
    monkeypatch.setattr(variety, "_limits_of", lambda seed, prices: {})
    monkeypatch.setattr(variety, "LIMIT_CHANCE", 1.0)
    monkeypatch.setattr(variety, "PORTFOLIO_SHARES_BPS", (0.0,))
    if request.param == "fails":
        monkeypatch.setattr(chaos, "BAD_WEATHERS", ({"refused": 0.6}, {"not_sent": 0.6}))
    else:
        monkeypatch.setattr(variety, "ERROR_RATE_MAX", 0.0)
        monkeypatch.setattr(variety, "LATENCY_MS_MAX", 12)


@pytest.mark.usefixtures("weak_venues")
@pytest.mark.timeout(400)
def test_a_weak_venue_that_gets_orders_is_caught(monkeypatch) -> None:
    """The executor notes its answers, and goes on."""

    def judge_lately(self: StandDown, order: OrderRecord, now_ns: int, out: Step) -> None:
        told = self._state.answers.setdefault(order.venue, answers.VenueAnswers())
        is_failure = order.life.status is OrderStatus.REJECTED or not order.ts_sent_ns
        took_ns = order.ts_ended_ns - order.ts_sent_ns if order.ts_sent_ns else 0
        told.add(took_ns, is_failure=is_failure)

    monkeypatch.setattr(StandDown, "judge_lately", judge_lately)
    for seed in islice(count(1), WORLDS_MAX):
        if "weak_venue" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


@pytest.mark.usefixtures("weak_venues")
@pytest.mark.timeout(400)
def test_a_weak_venue_gets_no_leg(monkeypatch) -> None:
    fall, falls = answers.VenueAnswers.fall, []

    def noted_fall(self: answers.VenueAnswers, now_ns: int) -> int:
        falls.append(now_ns)
        return fall(self, now_ns)

    monkeypatch.setattr(answers.VenueAnswers, "fall", noted_fall)
    for seed in islice(count(1), WORLDS_MAX):
        outcome = run_seed(seed)
        assert not outcome.violations, outcome.story
    assert falls, "no venue stood down for its answers"


@pytest.fixture
def costly_venues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests fail half the time, at a loss that soon is as much as one plan may lose.

    Nothing else goes wrong: what a process has forgotten is not judged.
    """
    monkeypatch.setattr(standdown, "REFUSALS_MAX", 1_000)
    monkeypatch.setattr(chaos, "BAD_WEATHERS", ({"not_sent": 0.5},))
    monkeypatch.setattr(chaos, "WEATHER_LASTS_NS", (7_000_000_000, 9_000_000_000))
    for never in ("KILL_NS", "BUS_NS", "OPERATOR_NS"):
        monkeypatch.setattr(chaos, never, (10**12, 10**12 + 1))
    monkeypatch.setattr(chaos, "EFFECTS_BETWEEN_CRASHES", 1e9)
    monkeypatch.setattr(chaos, "PAUSED_WORLDS", 0.0)
    monkeypatch.setattr(variety, "_limits_of", lambda seed, prices: {"loss_cap_bps": Decimal(20)})
    monkeypatch.setattr(variety, "LIMIT_CHANCE", 0.0)


@pytest.mark.usefixtures("costly_venues")
@pytest.mark.timeout(400)
def test_a_venue_that_costs_too_much_and_gets_orders_is_caught(monkeypatch) -> None:
    """The executor counts refusals, and not what they cost."""
    monkeypatch.setattr(StandDown, "plan_ended", lambda *args: None)
    for seed in islice(count(1), WORLDS_MAX):
        if "failure_costs" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


@pytest.mark.usefixtures("costly_venues")
@pytest.mark.timeout(400)
def test_a_venue_that_costs_too_much_gets_no_leg() -> None:
    judged = 0
    for seed in islice(count(1), UNBROKEN_WORLDS + 2):
        world = World(seed)
        outcome = run_seed(seed, world)
        assert not outcome.violations, outcome.story
        judged += world.checkers.costs.judged
    assert judged, "no venue cost that much"
