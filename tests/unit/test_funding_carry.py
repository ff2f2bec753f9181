"""Funding carry, from rates and views through scanner and risk and back by positions."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from shared.config_sections import Config, StrategyConfig
from shared.domain.funding import Predicted
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import Side
from shared.messages.execution import Denied
from shared.messages.market import Funding, FundingSettled
from shared.messages.rounds import Intent, RoundState
from shared.strategies.built_in.funding_carry import FundingCarry
from shared.strategies.carry_markets import FundingCarryParams
from shared.strategies.carry_terms import settlements_until
from shared.strategy_files import load_strategies
from tests.decision_builders import PERP, SECOND, T0, make_info, make_view
from tests.unit.test_spot_perp_basis import World

HOUR_NS = 3_600 * SECOND
INTERVAL_NS = 8 * HOUR_NS
LAST_NS = T0 // INTERVAL_NS * INTERVAL_NS
NEXT_NS = LAST_NS + INTERVAL_NS
PARAMS: dict[str, Any] = {
    "long_venue": "alpha",
    "short_venue": "gamma",
    "short_instrument": PERP,
    "notional_quote_max": 2_000.0,
    "hold_hours_max": 400.0,
    "cooldown_ms": 1_000,
}


class CarryWorld(World):
    strategy_class, defaults = "funding_carry", PARAMS

    def rate(self, bps: float, next_ns: int = NEXT_NS, **changes: Any) -> None:
        """What settles next, in basis points of an interval."""
        told = Funding(
            **{
                "venue": "gamma",
                "instrument": PERP,
                "mark_price": 10_000.0,
                "index_price": None,
                "rate": bps / 1e4,
                "ts_funding_ns": next_ns,
                "ts_recv_ns": self.now_ns,
                "interval_ns": INTERVAL_NS,
                **changes,
            }
        )
        self.take(self.host.on_message(told, self.now_ns).messages)

    def settled(self, *bps: float, last_ns: int = LAST_NS) -> None:
        """The newest settlements, oldest first."""
        for back, rate in enumerate(reversed(bps)):
            self._settled(rate, last_ns - back * INTERVAL_NS)

    def history(self, *bps: float, last_ns: int = LAST_NS) -> None:
        for place, rate in enumerate(bps):
            self._settled(rate, last_ns - (len(bps) - 1 - place) * INTERVAL_NS)

    def _settled(self, bps: float, ts_ns: int) -> None:
        told = FundingSettled(
            venue="gamma",
            instrument=PERP,
            rate=bps / 1e4,
            ts_funding_ns=ts_ns,
            ts_recv_ns=self.now_ns,
            mark_price=10_000.0,
            interval_ns=INTERVAL_NS,
        )
        self.take(self.host.on_message(told, self.now_ns).messages)

    def gates(self) -> set[str]:
        self.now_ns += SECOND
        self.take(self.host.on_timer(self.now_ns).messages)
        return {miss.gate for miss in self.every(NearMiss)}


def ready(*bps: float, predicted: float = 5.0, **params: Any) -> CarryWorld:
    world = CarryWorld(params=params)
    world.beat()
    world.history(*(bps or (5.0, 5.0, 5.0)))
    world.rate(predicted)
    return world


def test_it_opens_where_the_rates_earn_the_round_and_closes_where_they_fade() -> None:
    """Fees 4 * 10 bps and 4 bps of spreads: 44 bps; at 5 bps nine settlements earn them."""
    world = ready()
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN]
    (found,) = world.every(Opportunity)
    assert [(leg.venue, leg.side) for leg in found.legs] == [
        ("alpha", Side.BUY),
        ("gamma", Side.SELL),
    ]
    assert world.last.state is RoundState.OPEN
    world.show(10_000, 10_000)
    world.rate(0.1)  # one settlement predicted below 0.05 bps an hour is not enough
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN]
    world.rate(0.2, NEXT_NS + INTERVAL_NS)
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]
    assert world.last.state is RoundState.CLOSED
    assert not world.every(Denied)


def test_an_opening_tells_the_funding_it_is_for_and_what_that_costs() -> None:
    """0.199 BTC at 10,001: 40 bps of fees, 4 of spreads; 5 bps at 50 settlements in 400 hours."""
    world = ready()
    world.show(10_000, 10_000)
    (found,) = world.every(Opportunity)
    told = found.carry
    assert told is not None
    notional = D("0.199") * 10_001
    assert found.notional == notional
    assert (told.rate, told.interval_ns, told.ts_funding_ns) == (D("0.0005"), INTERVAL_NS, NEXT_NS)
    assert (told.settlements, told.settlements_to_earn) == (50, 9)
    assert told.funding_next == notional * D("0.0005")
    assert told.funding == notional * D("0.025")
    assert told.fees == notional * D("0.004")
    assert told.spreads == pytest.approx(notional * D("0.0004"), abs=D("1e-6"))
    assert told.basis == 0
    assert told.net == told.funding - told.fees - told.spreads
    assert told.apr_gross == D("0.5475")  # 5 / 8 bps an hour, 8,760 hours
    assert told.apr_net == pytest.approx(D("0.5475") - D("0.0044") * 8_760 / 400, abs=D("1e-7"))
    assert 9_800 < told.liquidation_bps < 10_000


def test_settlements_are_counted_up_to_the_end_of_the_horizon() -> None:
    predicted = Predicted(T0, T0 + HOUR_NS, 8 * HOUR_NS, D("0.0001"))
    counts = [settlements_until(predicted, T0 + n * HOUR_NS) for n in (0, 1, 8, 9, 17)]
    assert counts == [0, 1, 1, 2, 3]


def test_closings_have_no_such_terms() -> None:
    world = ready()
    world.show(10_000, 10_000)
    world.rate(0.1)
    world.rate(0.2, NEXT_NS + INTERVAL_NS)
    world.show(10_000, 10_000)
    opened, closed = world.every(Opportunity)
    assert (opened.intent, closed.intent) == (Intent.OPEN, Intent.CLOSE)
    assert closed.carry is None


def test_a_payment_is_no_reason_to_close() -> None:
    world = ready()
    world.show(10_000, 10_000)
    world.history(5.0, last_ns=NEXT_NS)
    world.rate(5.0, NEXT_NS + INTERVAL_NS)
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN]


@pytest.mark.parametrize(
    ("history", "predicted", "params", "gate"),
    [
        ((5.0, 5.0), 5.0, {}, "HISTORY"),
        ((1.0, 1.0, 1.0), 5.0, {}, "SETTLED"),
        ((5.0, 5.0, 5.0), 5.0, {"hold_hours_max": 64.0}, "BREAK_EVEN"),
        ((5.0, 5.0, 5.0), -0.1, {"exit_bps_per_hour": -1.0}, "BREAK_EVEN"),
        ((5.0, 5.0, 5.0), 5.0, {"apr_bps_min": 5_000.0}, "APR"),
        ((5.0, 5.0, 5.0), 0.1, {}, "FADES"),
        ((5.0, 5.0, 5.0), 5.0, {"distance_bps_min": 9_990.0, "margin_fraction": 0.1}, "MARGIN"),
        (
            (5.0, 5.0, 5.0),
            -1.0,
            {"guard_ms": 86_400_000, "exit_bps_per_hour": -1.0},
            "GUARD",
        ),
    ],
)
def test_what_does_not_pay_or_is_not_known_opens_nothing(
    history: Any, predicted: float, params: Any, gate: str
) -> None:
    world = ready(*history, predicted=predicted, **params)
    world.show(10_000, 10_000)
    assert world.intents == []
    assert gate in world.gates()


def test_without_a_rate_or_its_interval_nothing_opens() -> None:
    world = CarryWorld(params={})
    world.beat()
    world.history(5.0, 5.0, 5.0)
    world.show(10_000, 10_000)
    world.rate(5.0, interval_ns=None)
    world.show(10_000, 10_000)
    assert world.intents == []
    assert "NO_RATE" in world.gates()
    world.rate(5.0)
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN]


def test_rates_compare_per_hour_when_the_interval_changes() -> None:
    """5 bps of an hour are 40 bps of eight: an interval that shortens pays more, not the same."""
    world = ready(0.3, 0.3, 0.3, predicted=0.3)
    world.show(10_000, 10_000)
    assert world.intents == []
    hour = {"interval_ns": HOUR_NS}
    for place in range(3):
        told = FundingSettled(
            venue="gamma",
            instrument=PERP,
            rate=0.00003,
            ts_funding_ns=LAST_NS + (place + 4) * HOUR_NS,
            ts_recv_ns=world.now_ns,
            interval_ns=HOUR_NS,
        )
        world.take(world.host.on_message(told, world.now_ns).messages)
    world.rate(0.3, LAST_NS + 7 * HOUR_NS, **hour)
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN]


def test_a_basis_against_us_costs_and_one_for_us_counts_only_as_allowed() -> None:
    """Long at 10,030 of what is sold at 10,000 lacks 30 bps: then 15 settlements are needed."""
    world = ready(hold_hours_max=80.0)
    world.show(10_030, 10_000)
    assert world.intents == []
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN]
    for credit, intents in ((0.0, []), (40.0, [Intent.OPEN])):
        world = ready(hold_hours_max=24.0, basis_credit_bps_max=credit)
        world.show(10_000, 10_040)
        assert world.intents == intents


def test_it_ends_by_time_near_liquidation_and_before_a_charge() -> None:
    world = ready(hold_hours_max=80.0)
    world.show(10_000, 10_000)
    world.now_ns += 80 * HOUR_NS
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]
    world = ready(margin_fraction=0.2)
    world.show(10_000, 10_000)
    world.show(10_900, 10_900)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]
    world = ready(guard_ms=60_000)
    world.show(10_000, 10_000)
    world.rate(-6.0, world.now_ns // SECOND * SECOND + 30 * SECOND)
    world.show(10_000, 10_000)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]


def test_the_size_ends_where_the_books_become_dearer() -> None:
    world = ready(notional_quote_max=1_000_000.0, slippage_bps_max=3.0)
    world.show(10_000, 10_000)
    (found,) = world.every(Opportunity) or (None,)
    assert found is None or found.legs[0].qty <= D(1)  # what both books show within it


def test_an_exit_at_the_rate_of_the_entry_is_refused() -> None:
    entry = StrategyConfig(
        id="carry",
        class_="funding_carry",
        params={"enter_bps_per_hour": 0.1, "exit_bps_per_hour": 0.1},
    )
    (loaded,) = load_strategies(Config(strategies=[entry]))
    assert "would open and close at the same rate" in loaded.problem


def perp_pair() -> FundingCarry:
    carry = FundingCarry("carry", FundingCarryParams(hold_hours_max=400.0))
    for venue in ("one", "two"):
        carry.on_rules(make_info(venue, PERP).rules, T0)
    return carry


def tell(carry: FundingCarry, venue: str, bps: float, interval_ns: int, next_ns: int) -> None:
    for back in (3, 2, 1):
        told = FundingSettled(
            venue=venue,
            instrument=PERP,
            rate=bps / 1e4,
            ts_funding_ns=next_ns - back * interval_ns,
            ts_recv_ns=T0,
            interval_ns=interval_ns,
        )
        carry.on_funding(told, T0)
    running = Funding(
        venue=venue,
        instrument=PERP,
        mark_price=10_000.0,
        index_price=None,
        rate=bps / 1e4,
        ts_funding_ns=next_ns,
        ts_recv_ns=T0,
        interval_ns=interval_ns,
    )
    carry.on_funding(running, T0)


def see(carry: FundingCarry) -> list[Opportunity]:
    found: list[Opportunity] = []
    for venue in ("one", "two"):
        view = make_view(venue, PERP, bids=[(9_999.0, 1.0)], asks=[(10_001.0, 1.0)], ts_ns=T0)
        found += [each for each in carry.on_depth(view, T0) if isinstance(each, Opportunity)]
    return found


def test_between_perpetuals_the_one_that_pays_more_an_hour_is_sold() -> None:
    """1 bp of an hour is more than 5 bps of eight, though the number is smaller."""
    carry = perp_pair()
    tell(carry, "one", 5.0, INTERVAL_NS, NEXT_NS)
    tell(carry, "two", 1.0, HOUR_NS, T0 // HOUR_NS * HOUR_NS + HOUR_NS)
    (found,) = see(carry)
    assert [(leg.venue, leg.side) for leg in found.legs] == [
        ("one", Side.BUY),
        ("two", Side.SELL),
    ]


def test_between_perpetuals_equal_rates_an_hour_earn_nothing() -> None:
    carry = perp_pair()
    tell(carry, "one", 8.0, INTERVAL_NS, NEXT_NS)
    tell(carry, "two", 1.0, HOUR_NS, T0 // HOUR_NS * HOUR_NS + HOUR_NS)
    assert see(carry) == []


def test_between_perpetuals_one_unknown_rate_is_no_rate() -> None:
    carry = perp_pair()
    tell(carry, "two", 9.0, HOUR_NS, T0 // HOUR_NS * HOUR_NS + HOUR_NS)
    assert see(carry) == []
