"""What must hold of bases, rounds and contracts whatever the numbers are."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.basis import (
    Holding,
    LegFees,
    Prices,
    Sides,
    basis,
    executable_bases,
    round_terms,
    round_trip_cost_bps,
    takeable,
)
from shared.domain.contracts import Contract
from shared.domain.depth import ExactLevel
from shared.domain.instrument import InstrumentKind
from shared.messages.base import Side

D = Decimal
NOTHING = D("1e-18")

prices = st.integers(1, 10**9).map(lambda n: D(n) / 1000)
sizes = st.sampled_from([D(1), D("0.0001"), D("0.01"), D(10), D(100), D("1e-8")])
contracts = st.integers(1, 10**7).map(D)
fees = st.integers(0, 60).map(D)
sides = st.sampled_from(list(Side))
linear = st.builds(Contract, st.just(InstrumentKind.LINEAR), sizes)
inverse = st.builds(Contract, st.just(InstrumentKind.INVERSE), sizes)
kinds = st.one_of(linear, inverse)


def near(value: Decimal, other: Decimal, scale: Decimal) -> bool:
    """Equal but for the last digits of Decimal's 28."""
    return abs(value - other) <= scale * D("1e-24")


@given(inverse, contracts, prices, prices)
def test_a_short_against_its_coins_is_flat_in_usd_at_every_price(
    contract: Contract, held: Decimal, entry: Decimal, leave: Decimal
) -> None:
    coins = contract.base(held, entry)  # N * M = q * E
    owned = coins + contract.profit(-held, entry, leave)
    usd = contract.notional(held, entry)
    assert near(owned * leave, usd, coins * max(leave, entry))


@given(inverse, contracts, prices, prices)
def test_profit_of_an_inverse_contract_is_exact_to_the_context(
    contract: Contract, held: Decimal, entry: Decimal, leave: Decimal
) -> None:
    exact = Fraction(held * contract.size) * (1 / Fraction(entry) - 1 / Fraction(leave))
    most = held * contract.size / min(entry, leave)
    assert abs(Fraction(contract.profit(held, entry, leave)) - exact) <= Fraction(most) / 10**25


@given(kinds, contracts, prices, prices)
def test_long_and_short_are_each_others_loss(
    contract: Contract, held: Decimal, entry: Decimal, leave: Decimal
) -> None:
    assert contract.profit(held, entry, leave) == -contract.profit(-held, entry, leave)
    assert contract.funding(held, entry, D("0.0003")) == -contract.funding(
        -held, entry, D("0.0003")
    )
    assert contract.profit(held, entry, entry) == 0


@given(kinds, contracts, prices)
def test_contracts_and_base_units_are_two_ways_to_count(
    contract: Contract, held: Decimal, price: Decimal
) -> None:
    assert near(contract.contracts(contract.base(held, price), price), held, held)


books = st.lists(st.tuples(prices, contracts), min_size=1, max_size=6)


@given(kinds, books, st.data(), sides)
def test_the_average_stands_for_the_parts(
    contract: Contract, levels: list[ExactLevel], data: st.DataObject, side: Side
) -> None:
    there = sum(qty for _, qty in levels)
    qty = D(data.draw(st.integers(1, int(there))))
    walked = contract.walk(levels, qty, side)
    assert walked is not None
    left, parts = qty, D(0)
    for price, available in levels:
        step = min(left, available)
        parts += contract.base(step, price) if contract.is_inverse else step * price
        left -= step
    whole = contract.base(qty, walked.price_avg) if contract.is_inverse else qty * walked.price_avg
    assert abs(whole - parts) <= parts * D("1e-11")
    # Rounded against us: a buy never reads cheaper than it is, a sell never dearer.
    cheaper = whole > parts if contract.is_inverse else whole < parts
    assert whole == parts or near(whole, parts, parts) or cheaper is (side is Side.SELL)
    assert contract.walk(levels, there + 1, side) is None


ends = st.builds(Prices, prices, prices)
leg_fees = st.builds(LegFees, fees, fees)


@given(ends, ends, contracts, leg_fees, sides)
def test_the_terms_of_a_linear_round_are_the_formula(
    entry: Prices, leave: Prices, qty: Decimal, bps: LegFees, side: Side
) -> None:
    held = Holding(side, qty, qty, Contract(InstrumentKind.LINEAR))
    terms = round_terms(held, entry, leave, bps)
    (s_e, f_e), (s_x, f_x) = entry, leave
    moved = side.signed((f_e - s_e) - (f_x - s_x)) * qty
    owed = qty * (bps.spot_bps * (s_e + s_x) + bps.perp_bps * (f_e + f_x)) / 10_000
    assert terms.basis == moved
    assert moved - owed - D("4e-8") <= terms.net <= moved - owed  # four fees, each rounded up


@given(prices, contracts, leg_fees, st.integers(-500, 500))
def test_a_round_between_its_thresholds_earns_what_it_costs(
    spot: Decimal, coins: Decimal, bps: LegFees, exit_: int
) -> None:
    """At one price, thresholds apart by the cost earn it but for fees on the basis itself."""
    cost = round_trip_cost_bps(bps)
    entry = Prices(spot, spot * (1 + (exit_ + cost) / 10_000))
    end = Prices(spot, spot * (1 + D(exit_) / 10_000))
    held = Holding(Side.BUY, coins, coins, Contract(InstrumentKind.LINEAR))
    terms = round_terms(held, entry, end, bps)
    second_order = coins * spot * bps.perp_bps * (2 * abs(exit_) + cost) / 10**8
    assert abs(terms.net) <= second_order + D("4e-8") + coins * spot * D("1e-24")


@given(inverse, contracts, st.tuples(prices, prices), leg_fees, sides)
def test_an_inverse_round_at_equal_prices_costs_its_fees(
    contract: Contract, held: Decimal, at: tuple[Decimal, Decimal], bps: LegFees, side: Side
) -> None:
    """Perpetual and spot at one price at both ends: the hedge earns nothing."""
    entry, leave = at
    coins = contract.base(held, entry)
    terms = round_terms(
        Holding(side, coins, held, contract), Prices(entry, entry), Prices(leave, leave), bps
    )
    assert near(terms.basis, D(0), coins * max(at))
    assert terms.spot_fees >= 0
    assert terms.perp_fees >= 0


@given(books, books, st.integers(-300, 300), contracts, st.booleans())
def test_takeable_takes_units_within_the_bound_and_no_other(
    spot: list[ExactLevel],
    perp: list[ExactLevel],
    bound_bps: int,
    qty_max: Decimal,
    at_least: bool,
) -> None:
    bound = D(bound_bps) / 10_000
    spot = sorted(spot, reverse=not at_least)  # asks rise, bids fall
    perp = sorted(perp, reverse=at_least)
    taken = takeable(spot, perp, bound, at_least=at_least, qty_max=qty_max)
    assert 0 <= taken <= qty_max

    def within(unit: Decimal) -> bool:
        here = basis(price_at(perp, unit), price_at(spot, unit))
        return here >= bound if at_least else here <= bound

    there = min(sum(qty for _, qty in spot), sum(qty for _, qty in perp), qty_max)
    if taken > 0:
        assert within(taken)
    if taken < there:
        assert not within(taken + NOTHING)


def price_at(levels: list[ExactLevel], unit: Decimal) -> Decimal:
    with localcontext(prec=60):
        for price, qty in levels:
            if unit <= qty:
                return price
            unit -= qty
    raise AssertionError("beyond the book")


@given(st.tuples(books, books), st.tuples(books, books), contracts, kinds)
def test_opening_and_closing_at_once_never_pays(
    spot_sides: tuple[list[ExactLevel], list[ExactLevel]],
    perp_sides: tuple[list[ExactLevel], list[ExactLevel]],
    qty: Decimal,
    contract: Contract,
) -> None:
    """With books that are not crossed the opening basis never exceeds the closing one."""
    below = D("0.5") / 10**9
    spot, perp = (
        Sides([(price * below, there) for price, there in bids], asks)
        for bids, asks in (spot_sides, perp_sides)
    )
    bases = executable_bases(spot, perp, qty, contract)
    if bases is not None:
        assert bases.opening <= bases.closing
