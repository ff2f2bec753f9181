"""Bases of spot and perpetual, rounds by terms, thresholds and stops, worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.domain.basis import (
    YEAR_NS,
    Bases,
    BasisLimits,
    Decision,
    Holding,
    LegFees,
    Move,
    Prices,
    Sides,
    Why,
    annualised,
    decide_flat,
    decide_held,
    executable_bases,
    round_terms,
    round_trip_cost_bps,
    takeable,
    threshold_problem,
)
from shared.domain.contracts import Contract
from shared.domain.depth import ExactLevel
from shared.domain.instrument import InstrumentKind
from shared.messages.base import Side

D = Decimal
LINEAR = Contract(InstrumentKind.LINEAR)
TEN_THOUSANDTH = Contract(InstrumentKind.LINEAR, D("0.0001"))
HUNDRED_USD = Contract(InstrumentKind.INVERSE, D(100))
MS = 1_000_000


def levels(*pairs: tuple[str, str]) -> list[ExactLevel]:
    return [(D(price), D(qty)) for price, qty in pairs]


SPOT_BOOK = Sides(levels(("99", "1"), ("98", "1")), levels(("100", "1"), ("102", "1")))
PERP_BOOK = Sides(levels(("103", "1"), ("101", "1")), levels(("104", "1"), ("106", "1")))


def test_bases_are_of_the_walked_depth() -> None:
    bases = executable_bases(SPOT_BOOK, PERP_BOOK, D(2), LINEAR)
    assert bases is not None
    assert bases.opening == D(102) / D(101) - 1  # sold at 103 and 101, bought at 100 and 102
    assert bases.closing == D(105) / D("98.5") - 1
    assert executable_bases(SPOT_BOOK, PERP_BOOK, D("2.01"), LINEAR) is None
    assert executable_bases(SPOT_BOOK, Sides([], PERP_BOOK.asks), D(1), LINEAR) is None


def test_a_short_of_spot_opens_where_a_long_closes() -> None:
    long = executable_bases(SPOT_BOOK, PERP_BOOK, D(1), LINEAR)
    short = executable_bases(SPOT_BOOK, PERP_BOOK, D(1), LINEAR, side=Side.SELL)
    assert long is not None
    assert short == Bases(-long.closing, -long.opening)


def test_contracts_of_another_size_than_one() -> None:
    book = Sides(
        *(
            [(price, qty / TEN_THOUSANDTH.size) for price, qty in side]  # as the venue counts them
            for side in PERP_BOOK
        )
    )
    assert executable_bases(SPOT_BOOK, book, D(2), TEN_THOUSANDTH) == executable_bases(
        SPOT_BOOK, PERP_BOOK, D(2), LINEAR
    )
    assert TEN_THOUSANDTH.base(D(12_345), D(60_000)) == D("1.2345")
    assert TEN_THOUSANDTH.contracts(D("1.2345"), D(60_000)) == 12_345


def test_the_average_of_an_inverse_walk_keeps_the_coins() -> None:
    walked = HUNDRED_USD.walk(levels(("50000", "100"), ("40000", "100")), D(200), Side.SELL)
    assert walked is not None
    # 10,000 USD at 50,000 and as many at 40,000 are 0.2 + 0.25 coins: 20,000 / 0.45, not 45,000.
    assert walked.price_avg == D("44444.4444444")
    assert (walked.price_worst, walked.levels_used) == (D(40_000), 2)
    assert HUNDRED_USD.walk(levels(("50000", "100")), D(101), Side.SELL) is None


def test_an_inverse_contract_earns_pays_and_owes_coins() -> None:
    assert HUNDRED_USD.profit(D(100), D(40_000), D(50_000)) == D("0.05")
    assert HUNDRED_USD.profit(D(-100), D(40_000), D(50_000)) == D("-0.05")
    assert HUNDRED_USD.fee(D(100), D(40_000), D(5)) == D("0.000125")
    assert HUNDRED_USD.funding(D(-100), D(50_000), D("0.0001")) == D("0.00002")
    assert HUNDRED_USD.notional(D(100), D(40_000)) == 10_000
    assert HUNDRED_USD.settled(D(100), D(40_000)) == D("0.25")


def test_a_linear_contract_earns_pays_and_owes_the_quote_asset() -> None:
    assert LINEAR.profit(D(2), D(100), D(110)) == 20
    assert LINEAR.fee(D("0.001"), D("12345.678901"), D(5)) == D("0.00617284")  # rounded up
    assert LINEAR.funding(D(2), D(100), D("0.001")) == D("-0.2")  # a long pays
    assert LINEAR.funding(D(-2), D(100), D("-0.001")) == D("-0.2")  # a short pays below zero


def test_a_round_by_terms() -> None:
    terms = round_terms(
        Holding(Side.BUY, D(2), D(2), LINEAR),
        Prices(D(100), D(101)),
        Prices(D(120), D("120.4")),
        LegFees(D(10), D(5)),
        funding=D("0.7"),
    )
    assert (terms.spot, terms.perp, terms.basis) == (D(40), D("-38.8"), D("1.2"))
    assert (terms.spot_fees, terms.perp_fees) == (D("0.44"), D("0.2214"))
    assert terms.net == D("1.2") + D("0.7") - D("0.44") - D("0.2214")


def test_a_round_short_of_spot_pays_for_its_coins() -> None:
    terms = round_terms(
        Holding(Side.SELL, D(2), D(2), LINEAR),
        Prices(D(100), D(99)),
        Prices(D(90), D(90)),
        LegFees(D(0), D(0)),
        borrow=D("0.3"),
    )
    assert (terms.spot, terms.perp) == (D(20), D(-18))
    assert terms.net == D("1.7")


def test_thresholds_must_earn_a_round_trip() -> None:
    cost = round_trip_cost_bps(LegFees(D(10), D(5)), D(2))
    assert cost == 32
    assert threshold_problem(D(32), D(0), cost) == ""
    problem = threshold_problem(D(30), D(0), cost)
    assert problem == (
        "opening at 30 bps and closing at 0 bps earns 30 bps, a round costs 32 bps; open at 32 bps "
        "or more"
    )


def test_annualised() -> None:
    assert annualised(D("0.003"), YEAR_NS // 365 * 30) == D("0.0365")


def test_takeable_stops_at_the_marginal_unit() -> None:
    spot, perp = SPOT_BOOK.asks, PERP_BOOK.bids
    every = D(10)
    assert takeable(spot, perp, D("0.03"), at_least=True, qty_max=every) == 1
    assert takeable(spot, perp, D("0.0301"), at_least=True, qty_max=every) == 0
    assert takeable(spot, perp, D("-0.01"), at_least=True, qty_max=every) == 2
    assert takeable(spot, perp, D("-0.01"), at_least=True, qty_max=D("1.5")) == D("1.5")
    # Closing: 104 against 99, then 106 against 98.
    bids, asks = SPOT_BOOK.bids, PERP_BOOK.asks
    assert takeable(bids, asks, D("0.051"), at_least=False, qty_max=every) == 1
    assert takeable(bids, asks, D("0.05"), at_least=False, qty_max=every) == 0
    assert takeable([], asks, D(1), at_least=False, qty_max=every) == 0


LIMITS = BasisLimits(enter_bps=D(30), exit_bps=D(0), held_ms_max=1_000, distance_bps_min=D(500))


@pytest.mark.parametrize(
    ("opening", "distance", "decision"),
    [
        ("0.003", D(500), Decision(Move.OPEN, Why.THRESHOLD)),
        ("0.0029999", D(500), Decision(Move.STAY, Why.BETWEEN)),
        ("0.01", D(499), Decision(Move.STAY, Why.MARGIN)),
        ("0.01", None, Decision(Move.STAY, Why.MARGIN_UNKNOWN)),
    ],
)
def test_opening(opening: str, distance: Decimal | None, decision: Decision) -> None:
    assert decide_flat(Bases(D(opening), D(1)), LIMITS, distance) == decision


@pytest.mark.parametrize(
    ("closing", "distance", "after_ms", "decision"),
    [
        ("0", D(500), 1, Decision(Move.CLOSE, Why.THRESHOLD)),
        ("0.00001", D(500), 999, Decision(Move.STAY, Why.BETWEEN)),
        ("0.00001", D(500), 1_000, Decision(Move.CLOSE, Why.TIME)),
        ("0.00001", D(499), 1, Decision(Move.CLOSE, Why.MARGIN)),
        ("0.00001", None, 1, Decision(Move.STAY, Why.MARGIN_UNKNOWN)),
        ("-0.1", None, 1, Decision(Move.CLOSE, Why.THRESHOLD)),
        (None, D(499), 1, Decision(Move.CLOSE, Why.MARGIN)),
        (None, D(500), 1_000, Decision(Move.CLOSE, Why.TIME)),
        (None, D(500), 1, Decision(Move.STAY, Why.BETWEEN)),
    ],
)
def test_closing(
    closing: str | None, distance: Decimal | None, after_ms: int, decision: Decision
) -> None:
    bases = None if closing is None else Bases(D(0), D(closing))
    found = decide_held(
        bases, LIMITS, ts_opened_ns=7 * MS, now_ns=(7 + after_ms) * MS, distance_bps=distance
    )
    assert found == decision


def test_without_a_margin_stop_the_distance_need_not_be_known() -> None:
    limits = LIMITS._replace(distance_bps_min=D(0))
    assert decide_flat(Bases(D(1), D(1)), limits) == Decision(Move.OPEN, Why.THRESHOLD)
    held = decide_held(Bases(D(1), D(1)), limits, ts_opened_ns=0, now_ns=MS)
    assert held == Decision(Move.STAY, Why.BETWEEN)
