"""What must hold of funding and margin whatever the numbers are."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.carry import settlements_to_earn
from shared.domain.contracts import Contract
from shared.domain.funding import (
    HOUR_NS,
    FundingHistory,
    Settled,
    as_of,
    between,
    on_equal_times,
    realised,
    to_second,
)
from shared.domain.funding_rate import CLAMP, INTEREST, RateRule, WeightedPremium
from shared.domain.instrument import InstrumentKind
from shared.domain.margin import Isolated, distance_bps, liquidation_price, margin_for

D = Decimal
H = HOUR_NS
rates = st.integers(-300_000, 300_000).map(lambda n: D(n).scaleb(-8))
positive = st.integers(1, 10**8).map(lambda n: D(n).scaleb(-3))
contracts = st.sampled_from(
    [
        Contract(InstrumentKind.LINEAR),
        Contract(InstrumentKind.LINEAR, D("0.0001")),
        Contract(InstrumentKind.INVERSE, D(100)),
    ]
)
intervals = st.sampled_from([1, 2, 4, 8])
rows = st.lists(st.tuples(intervals, rates), min_size=1, max_size=40).map(
    lambda parts: [
        Settled(sum(hours for hours, _ in parts[: at + 1]) * H, hours * H, rate)
        for at, (hours, rate) in enumerate(parts)
    ]
)


@given(st.integers(0, 2 * 10**18), st.integers(-499_999_999, 499_999_999))
def test_jitter_below_half_a_second_is_taken_off(second: int, jitter: int) -> None:
    instant = second // 10**9 * 10**9
    assert to_second(instant + jitter) == instant


@given(rows)
def test_intervals_that_change_leave_the_span_whole(settlements: list[Settled]) -> None:
    found = realised(settlements)
    assert found.total == sum(settled.rate for settled in settlements)
    # An interval that became shorter leaves a step of what it is for; longer, of the longer one.
    assert found.hours * H == settlements[-1].ts_funding_ns
    assert found.holes == 0


@given(rows, st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_sums_between_instants_add_up(
    settlements: list[Settled], first: int, second: int, third: int
) -> None:
    low, mid, high = sorted((first * H, second * H, third * H))
    assert between(settlements, low, high) == between(settlements, low, mid) + between(
        settlements, mid, high
    )


@given(rows)
def test_a_history_keeps_each_instant_once(settlements: list[Settled]) -> None:
    once, twice = FundingHistory(), FundingHistory()
    for settled in settlements:
        assert once.take(settled)
        assert twice.take(settled._replace(ts_funding_ns=settled.ts_funding_ns + 3_000_000))
        assert not twice.take(settled)
    assert once.newest(50) == twice.newest(50) == settlements


@given(rows, rows)
def test_joins_are_the_same_from_either_side(left: list[Settled], right: list[Settled]) -> None:
    assert on_equal_times(left, right) == [(a, b) for b, a in on_equal_times(right, left)]
    forth, back = as_of(left, right), as_of(right, left)
    assert [(p.ts_ns, p.left_per_hour, p.right_per_hour) for p in forth] == [
        (p.ts_ns, p.right_per_hour, p.left_per_hour) for p in back
    ]
    instants = {pair.ts_ns for pair in forth}
    assert {row[0].ts_funding_ns for row in on_equal_times(left, right)} <= instants


@given(rates)
def test_near_the_interest_the_rate_is_the_interest(premium: Decimal) -> None:
    rate = RateRule().rate(premium)
    if abs(INTEREST - premium) <= CLAMP:
        assert rate == INTEREST
    else:
        assert abs(rate - premium) == CLAMP
    assert abs(rate - INTEREST) <= abs(premium - INTEREST)


@given(st.lists(rates, min_size=1, max_size=60))
def test_the_running_premium_ends_at_the_weighted_mean(premiums: list[Decimal]) -> None:
    running = WeightedPremium(len(premiums))
    for minute, premium in enumerate(premiums, 1):
        assert running.take(minute, premium)
        assert running.value is not None
        assert min(premiums) <= running.value <= max(premiums)
    weights = range(1, len(premiums) + 1)
    mean = sum(k * p for k, p in zip(weights, premiums, strict=True)) / sum(weights)
    assert running.value == mean
    assert running.is_whole


@given(positive, positive)
def test_break_even_is_the_first_settlement_that_pays(cost: Decimal, rate: Decimal) -> None:
    count = settlements_to_earn(cost, rate)
    assert count is not None
    slack = cost * D("1e-24")
    assert count * rate >= cost - slack
    assert (count - 1) * rate < cost + slack


@given(
    contracts,
    st.tuples(st.booleans(), positive, positive),
    st.integers(1, 2_000).map(lambda n: D(n) / 1000),
    st.integers(0, 50).map(lambda n: D(n) / 1000),
)
def test_at_its_liquidation_price_only_the_maintenance_is_left(
    contract: Contract,
    size: tuple[bool, Decimal, Decimal],
    share: Decimal,
    maintenance: Decimal,
) -> None:
    is_long, qty, entry = size
    held = qty if is_long else -qty
    margin = share * contract.settled(qty, entry)
    position = Isolated(contract, held, entry, margin, maintenance)
    price = liquidation_price(position)
    if price is None:
        assert share >= 1
        return
    equity = margin + contract.profit(held, entry, price)
    kept = maintenance * contract.settled(qty, price)
    scale = margin + contract.settled(qty, price) + contract.settled(qty, entry)
    assert abs(equity - kept) <= scale * D("1e-20")


@given(contracts, st.booleans(), positive, positive, st.integers(0, 9_000).map(D))
def test_added_margin_brings_the_distance_asked_for(
    contract: Contract, is_long: bool, qty: Decimal, mark: Decimal, distance: Decimal
) -> None:
    held = qty if is_long else -qty
    margin = contract.settled(qty, mark) / 10
    position = Isolated(contract, held, mark, margin, D("0.005"))
    added = margin_for(position, mark, distance)
    found = distance_bps(position._replace(margin=margin + added), mark)
    assert found is None or found >= distance - D("1e-15")
    if not added:
        was = distance_bps(position, mark)
        assert was is None or was >= distance - D("1e-15")
