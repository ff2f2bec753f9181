"""Funding worked out by hand: rates, settlements, joins, and the rule of carry."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.domain.carry import (
    Act,
    CarryCost,
    CarryLimits,
    Cause,
    Offer,
    apr,
    decide_close,
    decide_open,
    fees_bps,
    for_side,
    settlements_to_earn,
    spread_per_hour,
)
from shared.domain.contracts import Contract
from shared.domain.funding import (
    HOUR_NS,
    SECOND_NS,
    Below,
    FundingHistory,
    Pair,
    Predicted,
    Settled,
    accrued,
    as_of,
    between,
    on_equal_times,
    per_hour,
    realised,
    received,
    to_second,
)
from shared.domain.funding_rate import RateRule, WeightedPremium, steps
from shared.domain.instrument import InstrumentKind
from shared.domain.margin import Isolated, distance_bps, liquidation_price, margin_for
from shared.messages.base import Certainty, Side

D = Decimal
H = HOUR_NS
LINEAR = Contract(InstrumentKind.LINEAR)
INVERSE = Contract(InstrumentKind.INVERSE, D(100))


def settled(hour: int, rate: str, interval: int = 8) -> Settled:
    return Settled(hour * H, interval * H, D(rate))


def predicted(rate: str, *, at: int = 8, interval: int = 8, now: int = 0) -> Predicted:
    return Predicted(now * H, at * H, interval * H, D(rate))


def test_stamps_that_jitter_name_one_instant() -> None:
    instant = 1_680_652_800 * SECOND_NS
    assert to_second(instant + 47_000_000) == instant
    assert to_second(instant - 47_000_000) == instant
    history = FundingHistory()
    assert history.take(Settled(instant + 46_999_931, 8 * H, D("0.0001")))
    assert not history.take(Settled(instant, 8 * H, D("0.0001")))
    assert len(history) == 1
    assert history.last == Settled(instant, 8 * H, D("0.0001"))


def test_rates_of_other_intervals_compare_per_hour() -> None:
    assert per_hour(D("0.0008"), 8 * H) == per_hour(D("0.0001"), H) == D("0.0001")
    assert spread_per_hour(predicted("0.0008"), predicted("0.00005", interval=1)) == D("0.00005")


def test_a_yield_is_the_sum_over_the_span() -> None:
    """8 h, 8 h, then hourly: a mean times 1,095 a year would say six times too little."""
    rows = [settled(8, "0.0008"), settled(16, "0.0008")]
    rows += [settled(16 + hour, "0.0001", 1) for hour in range(1, 9)]
    found = realised(rows)
    assert (found.total, found.hours, found.holes) == (D("0.0024"), D(24), 0)
    assert found.per_hour == D("0.0001")


def test_late_and_early_settlements_are_no_hole_but_a_missing_one_is() -> None:
    late = realised([settled(8, "0.0001"), settled(18, "0.0001"), settled(24, "0.0001")])
    assert (late.hours, late.holes) == (24, 0)
    missing = realised([settled(8, "0.0001"), settled(24, "0.0001"), settled(776, "0.0001")])
    assert (missing.hours, missing.holes) == (24, 2)
    assert realised([]).per_hour is None


def test_a_history_with_too_little_or_a_hole_says_nothing() -> None:
    history = FundingHistory()
    for row in (settled(8, "0.0001"), settled(24, "0.0002"), settled(32, "0.0003")):
        history.take(row)
    assert history.realised(4) is None
    assert history.realised(3) is None
    found = history.realised(2)
    assert found is not None
    assert found.per_hour == D("0.0005") / 16


def test_cash_is_of_the_position_at_the_instant() -> None:
    rows = [settled(8, "0.0001"), settled(16, "-0.0002"), settled(24, "0.0003")]
    held = {8: D(-2), 16: D(-2), 24: D(0)}  # closed before the last one
    marks = {8: D(100), 16: D(110), 24: D(120)}
    cash = received(LINEAR, rows, lambda ns: held[ns // H], lambda ns: marks[ns // H])
    assert cash == D("0.02") - D("0.044")
    coins = received(INVERSE, rows[:1], lambda _: D(-100), lambda _: D(50_000))
    assert coins == D("0.0001") * 100 * 100 / 50_000


def test_accrual_is_an_estimate_and_ends_with_its_interval() -> None:
    row = predicted("0.0008", at=8)
    due = [accrued(LINEAR, D(-1), D(100), row, hour * H) for hour in (-1, 0, 4, 8, 9)]
    assert [each.amount for each in due] == [0, 0, D("0.04"), D("0.08"), D("0.08")]
    assert {each.certainty for each in due} == {Certainty.ESTIMATED}


def test_venues_that_settle_at_other_times_share_no_instant_but_many_hours() -> None:
    left = [settled(hour, "0.0008") for hour in (0, 8, 16, 24)]
    right = [settled(hour, "0.0004") for hour in (4, 12, 20)]
    assert on_equal_times(left, right) == []
    pairs = as_of(left, right)
    assert [pair.ts_ns // H for pair in pairs] == [4, 8, 12, 16, 20, 24]
    assert pairs[0] == Pair(4 * H, D("0.0001"), D("0.00005"))
    assert as_of(left, right[:1])[-1].ts_ns == 16 * H, "older than two intervals is not known"
    assert between(left, 0, 16 * H) == D("0.0016")


def test_settlements_in_a_row_below_a_rate_count_once_each() -> None:
    below = Below(D("0.00001"))
    for rate, at in (("0", 8), ("0.0004", 8), ("0", 8), ("0", 16), ("0", 16), ("0", 24)):
        below.take(predicted(rate, at=at))
    assert below.count == 3
    below.take(predicted("0.0004", at=24))
    assert below.count == 0, "the last word before the settlement counts"
    below.take(predicted("0", at=24))
    assert below.count == 3
    below.take(predicted("0.0004", at=16))
    assert below.count == 3, "a word about a settlement that is over changes nothing"
    below.take(predicted("0.0004", at=32))
    below.take(predicted("0", at=40))
    assert below.count == 1


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        ("0", "0.0001"),
        ("-0.0004", "0.0001"),  # within 5 bps of the interest: the interest exactly
        ("0.0006", "0.0001"),
        ("0.0007", "0.0002"),
        ("-0.0005", "0.0000"),
        ("-0.001", "-0.0005"),
        ("0.01", "0.003"),  # cut to the cap
        ("-0.01", "-0.003"),
    ],
)
def test_the_rate_of_a_premium(premium: str, rate: str) -> None:
    rule = RateRule(cap=D("0.003"), floor=D("-0.003"))
    assert rule.rate(D(premium)) == D(rate)


def test_a_shorter_interval_gets_its_share_where_the_venue_divides() -> None:
    assert RateRule(interval_hours=4).rate(D("0.0007")) == D("0.0001")
    assert RateRule(interval_hours=1).rate(D(0)) == D("0.0000125")
    assert RateRule(interval_hours=4, is_divided=False).rate(D("0.0007")) == D("0.0002")
    assert steps(D("0.0001")) == 10_000


def test_a_running_premium_hardens_late() -> None:
    premium = WeightedPremium(3)
    assert premium.value is None
    assert premium.take(1, D("0.0006"))
    assert premium.value == D("0.0006")  # all of it is still to come
    assert premium.take(2, D("0.0003"))
    assert premium.value == (1 * D("0.0006") + 2 * D("0.0003") + 3 * D("0.0003")) / 6
    assert not premium.take(2, D(1))
    assert premium.take(3, D(0))
    assert premium.value == D("0.0012") / 6
    assert premium.is_whole
    assert not premium.take(4, D(1))


def test_a_minute_that_was_not_seen_counts_as_still_to_come() -> None:
    premium = WeightedPremium(3)
    premium.take(1, D("0.0006"))
    premium.take(3, D("0.0003"))
    assert premium.value == (1 * D("0.0006") + 3 * D("0.0003") + 2 * D("0.0003")) / 6
    assert not premium.is_whole


def test_settlements_that_pay_for_a_round() -> None:
    cost = CarryCost(fees_bps(D(10), D(5)), D(2), D(4), D(1))
    assert cost.total_bps == 29
    assert settlements_to_earn(cost.total_bps, D(1)) == 29
    assert settlements_to_earn(cost.total_bps, D("0.99")) == 30
    assert settlements_to_earn(cost.total_bps, D(0)) is None
    assert settlements_to_earn(cost.total_bps, D(-1)) is None
    assert settlements_to_earn(D(0), D(-1)) == 0


def test_rates_per_year() -> None:
    found = apr(D("0.0000125"), D("0.003"), D(720), borrow_apr=D("0.02"))
    assert found.gross == D("0.1095")
    assert found.cost == D("0.0365")
    assert found.net == D("0.053")
    assert for_side(D("0.0001"), Side.SELL) == D("0.0001")
    assert for_side(D("0.0001"), Side.BUY) == D("-0.0001")


@pytest.mark.parametrize(
    ("held", "price"),
    [(D(-1), (D(50) + D(100)) / D("1.004")), (D(1), (D(100) - D(50)) / D("0.996"))],
)
def test_liquidation_of_linear_positions(held: Decimal, price: Decimal) -> None:
    position = Isolated(LINEAR, held, D(100), D(50), D("0.004"))
    assert liquidation_price(position) == price
    away = distance_bps(position, D(100))
    assert away is not None
    assert away == abs(price - 100) / 100 * 10_000
    assert distance_bps(position, price) == 0


def test_what_no_price_liquidates() -> None:
    assert liquidation_price(Isolated(LINEAR, D(1), D(100), D(100), D("0.004"))) is None
    coins = INVERSE.base(D(5), D(50_000))
    assert liquidation_price(Isolated(INVERSE, D(-5), D(50_000), coins, D("0.004"))) is None
    assert distance_bps(Isolated(INVERSE, D(-5), D(50_000), coins, D("0.004")), D(1)) is None
    with pytest.raises(ValueError, match="less than 10000"):
        margin_for(Isolated(LINEAR, D(1), D(100), D(1), D(0)), D(100), D(10_000))


LIMITS = CarryLimits(
    enter_bps_per_hour=D("0.125"),
    exit_bps_per_hour=D(0),
    exit_count=3,
    hold_hours_max=D(240),
    apr_bps_min=D(100),
    guard_ms=60_000,
    distance_bps_min=D(1_000),
)
GOOD = Offer(
    settled_per_hour=D("0.0000125"),
    predicted=predicted("0.0001"),
    cost=D("0.0025"),
    borrow_apr=D(0),
    distance_bps=D(5_000),
)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({}, Cause.EARNS),
        ({"settled_per_hour": None}, Cause.HISTORY),
        ({"settled_per_hour": D("0.0000124")}, Cause.SETTLED),
        ({"predicted": None}, Cause.NO_RATE),
        ({"predicted": predicted("0.0001", at=0)}, Cause.NO_RATE),
        ({"predicted": predicted("0.00008")}, Cause.BREAK_EVEN),  # 32 settlements of 8 h
        ({"predicted": predicted("0")}, Cause.BREAK_EVEN),
        ({"borrow_apr": D("0.05")}, Cause.APR),
        ({"distance_bps": D(999)}, Cause.MARGIN),
        ({"distance_bps": None}, Cause.MARGIN_UNKNOWN),
    ],
)
def test_opening_a_carry(change: dict[str, object], cause: Cause) -> None:
    verdict = decide_open(GOOD._replace(**change), LIMITS, now_ns=0)
    assert verdict.cause is cause
    assert (verdict.act is Act.OPEN) is (cause is Cause.EARNS)


def test_nothing_opens_just_before_a_settlement_that_charges() -> None:
    charged = GOOD._replace(predicted=predicted("-0.0001"), cost=D(0))
    minute_ns = 60 * SECOND_NS
    near = decide_open(charged, LIMITS, now_ns=8 * H - minute_ns)
    assert near.cause is Cause.GUARD
    before = decide_open(charged, LIMITS, now_ns=8 * H - minute_ns - 1)
    assert before.cause is Cause.EARNS, "its basis alone pays for it"
    pays = decide_open(GOOD, LIMITS, now_ns=8 * H - 1)
    assert pays.cause is Cause.EARNS


@pytest.mark.parametrize(
    ("below", "distance", "is_adl", "act", "cause"),
    [
        (2, D(5_000), False, Act.STAY, Cause.HOLDS),
        (3, D(5_000), False, Act.CLOSE, Cause.RATES),
        (0, D(999), False, Act.CLOSE, Cause.MARGIN),
        (0, D(5_000), True, Act.CLOSE, Cause.ADL),
        (0, None, False, Act.STAY, Cause.MARGIN_UNKNOWN),
        (3, None, False, Act.CLOSE, Cause.RATES),
    ],
)
def test_closing_a_carry(
    below: int, distance: Decimal | None, is_adl: bool, act: Act, cause: Cause
) -> None:
    found = decide_close(LIMITS, below_count=below, distance_bps=distance, is_adl=is_adl)
    assert (found.act, found.cause) == (act, cause)
