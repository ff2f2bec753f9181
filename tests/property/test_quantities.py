"""What must hold of contracts, coins and quote units, whatever the numbers are."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.risk.coin_results import coins_in_quote
from shared.domain.accounting import Books
from shared.domain.executions import Execution, cost_of
from shared.domain.fees import MONEY_STEP
from shared.domain.quantities import base_of, qty_of_base, worth_of
from shared.domain.rounding import qty_to_lot
from shared.exchange.accounts import AccountLedger
from shared.messages.base import Side
from shared.venues.bybit.simulated.listing import inverse as inverse_listing

D = Decimal
INVERSE, LINEAR, SPOT = "BTC/USD:BTC", "BTC/USD:USD", "BTC/USD"
prices = st.integers(1_000, 10**9).map(lambda n: D(n) / 10)
contracts = st.integers(1, 10**7).map(D)
lots = st.sampled_from([D(1), D(10), D(100)])
sides = st.sampled_from(list(Side))
trades = st.lists(st.tuples(sides, st.integers(1, 200_000), st.integers(500_000, 900_000)))


@given(contracts, prices, lots)
def test_coins_of_contracts_are_as_many_contracts_again(
    lots_held: Decimal, price: Decimal, lot: Decimal
) -> None:
    held = lots_held * lot
    coins = base_of(INVERSE, held, price)
    assert abs(coins * price - held) <= MONEY_STEP * price
    if MONEY_STEP * price < lot:
        assert qty_to_lot(qty_of_base(INVERSE, coins, price), lot) == held
    assert base_of(INVERSE, -held, price) == -coins


@given(contracts, prices)
def test_other_kinds_are_base_units_as_they_are(qty: Decimal, price: Decimal) -> None:
    for name in (LINEAR, SPOT):
        assert base_of(name, qty, price) == qty_of_base(name, qty, price) == qty
        assert worth_of(name, qty, price) == qty * price
    assert worth_of(INVERSE, qty, price) == qty


@given(trades)
def test_entry_and_result_are_the_simulated_venue_s_to_the_last_digit(
    done: list[tuple[Side, int, int]],
) -> None:
    listing = inverse_listing("BTC", price_scale=1)
    venue, books = AccountLedger({"BTC": D(100)}, D(1)), Books()
    for side, qty, tenths in done:
        price = D(tenths) / 10
        venue.settle_perpetual(listing, side, D(qty), price)
        books.trade(
            Execution(
                venue="bybit",
                instrument=INVERSE,
                side=side,
                qty=D(qty),
                cost=cost_of(INVERSE, D(qty), price),
                fee=D(0),
            )
        )
    key = f"bybit|{INVERSE}"
    held = venue.positions[INVERSE] if done else None
    assert books.result("BTC").realized == venue.balance("BTC").free - 100
    if held is not None and held.qty:
        assert books.quantities[key] == held.qty
        assert books.opened_base() == {key: held.cost}
        assert books.holdings[key].inverse_entry == held.entry_price
    else:
        assert books.opened_base() == {}


@given(contracts, prices, prices)
def test_a_hedged_round_is_worth_the_same_at_every_price(
    held: Decimal, entry: Decimal, now: Decimal
) -> None:
    """``N`` contracts sold against ``N / E`` coins: what the coins gain the contracts lose."""
    coins = base_of(INVERSE, held, entry)
    books = Books()
    books.trade(
        Execution(venue="bybit", instrument=INVERSE, side=Side.SELL, qty=held, cost=coins, fee=D(0))
    )
    assert sum(books.opened_base().values()) + coins == 0
    (position,) = books.positions(lambda venue, instrument, qty: now)
    lost = coins_in_quote(books, [position], {})["USD"]
    gained = coins * (now - entry)
    assert abs(gained + lost) <= 2 * MONEY_STEP * (now + entry)
