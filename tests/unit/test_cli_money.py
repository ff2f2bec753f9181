"""The money part of a report: both sides at the same prices, and what is not known says so."""

from __future__ import annotations

from decimal import Decimal as D

from services.cli.commands_look import day_lines, strategy_lines
from services.cli.look import pnl_by_strategy, unpriced_text
from shared.domain.accounting import Books
from shared.domain.executions import Execution
from shared.domain.strategy_books import StrategyBooks
from shared.domain.valuation import closes
from shared.messages.base import BookState, Certainty, Side, TradingState
from shared.messages.execution import RiskReport
from shared.messages.position_reports import StrategyReport
from shared.watch.money import Closing, VenuePosition, balance_changes, money_report
from tests.decision_builders import PERP, SPOT, make_view


def booked(*trades: tuple[str, str, str, str, str]) -> Books:
    books = Books()
    for venue, instrument, side, qty, price in trades:
        books.trade(
            Execution(
                venue=venue,
                instrument=instrument,
                side=Side(side),
                qty=D(qty),
                cost=D(qty) * D(price),
                fee=D(1),
                fee_asset="USDT",
            )
        )
    return books


VIEWS = [
    make_view("alpha", SPOT, bids=[(99.0, 1.0), (98.0, 5.0)], asks=[(101.0, 9.0)]),
    make_view("beta", SPOT, bids=[(98.5, 9.0)], asks=[(102.0, 9.0)]),
    make_view("gamma", PERP, bids=[(100.0, 9.0)], asks=[(104.0, 9.0)]),
]


def test_open_legs_are_valued_where_they_could_be_closed_on_both_sides() -> None:
    books = booked(("alpha", SPOT, "buy", "2", "100"), ("gamma", PERP, "sell", "2", "110"))
    before = {"alpha": {"USDT": D(1000), "BTC": D(5)}, "gamma": {"USDT": D(1000)}}
    after = {"alpha": {"USDT": D(799), "BTC": D(7)}, "gamma": {"USDT": D(999)}}
    closing = Closing(
        find=closes(VIEWS),
        changes=balance_changes(before, after),
        positions=[VenuePosition("gamma", PERP, D(-2), D(-220))],
        fee_bps={("alpha", SPOT): D(10), ("beta", SPOT): D(10), ("gamma", PERP): D(5)},
    )
    report = money_report(books, closing)
    pnl = report["pnl"]["USDT"]
    # Two are sold at 98.5 on alpha (99 and 98 on average) or on beta; two bought back at 104.
    assert (pnl["realized"], pnl["unrealized"], pnl["certainty"]) == (D(-2), D(9), "known")
    assert report["venue_equity_change"] == {"USDT": D(7)}
    spot, perp = report["positions"]
    assert (spot["venue"], spot["qty"], spot["close_price"]) == ("", 2, D("98.5"))
    assert (perp["venue"], perp["qty"], perp["entry"], perp["close_price"]) == (
        "gamma",
        -2,
        110,
        104,
    )
    assert report["inventory_change"]["alpha"] == {"BTC": D(2), "USDT": D(-201)}
    spread = 2 * (D(100) - D("98.5")) + 2 * (D(104) - D(102))
    fees = 2 * D("98.5") * D("0.001") + 2 * D(104) * D("0.0005")
    assert report["closing_cost"] == {"USDT": spread + fees}


def test_what_the_accounts_cannot_explain_shows() -> None:
    books = booked(("alpha", SPOT, "buy", "1", "100"), ("beta", SPOT, "sell", "1", "103"))
    changes = {"alpha": {"USDT": D(-101), "BTC": D(1)}, "beta": {"USDT": D(102), "BTC": D(-3)}}
    report = money_report(books, Closing(find=closes(VIEWS), changes=changes))
    assert report["pnl"]["USDT"]["realized"] == 1
    assert report["venue_equity_change"] == {"USDT": D(1), "BTC": D(-2)}


def test_without_a_price_or_accounts_it_is_unknown_and_not_zero() -> None:
    books = booked(("alpha", SPOT, "buy", "1", "100"))
    stale = [make_view("alpha", SPOT, state=BookState.STALE)]
    changes = {"alpha": {"USDT": D(-101), "BTC": D(1)}}
    report = money_report(books, Closing(find=closes(stale), changes=changes))
    pnl = report["pnl"]["USDT"]
    assert (pnl["realized"], pnl["unrealized"], pnl["certainty"]) == (D(-1), None, "unknown")
    assert report["venue_equity_change"] == {"USDT": None}
    assert report["closing_cost"] == {"USDT": None}
    assert money_report(books, Closing())["venue_equity_change"] is None


def test_a_quantity_larger_than_the_book_has_no_price() -> None:
    find = closes(VIEWS)
    assert find("", SPOT, D(10)) is None
    found = find("", SPOT, D(-3))
    assert found is not None
    assert (found.venue, found.price, found.mid) == ("alpha", 101, 100)


def test_profit_by_strategy_is_part_of_a_report_and_of_the_status() -> None:
    strategies, whole = StrategyBooks(), Books()
    for strategy, side, price in (("a", "buy", 100), ("a", "sell", 103), ("", "buy", 99)):
        done = Execution(
            venue="alpha",
            instrument=SPOT,
            side=Side(side),
            qty=D(1),
            cost=D(price),
            fee=D(1),
            fee_asset="USDT",
        )
        whole.trade(done)
        strategies.trade(done, strategy)
    report = money_report(whole, Closing(find=closes(VIEWS)), strategies)
    names = ("realized", "unrealized", "fees", "funding")
    known = {"certainties": dict.fromkeys(names, "known")}
    assert report["pnl_by_strategy"] == {
        "a": {
            "USDT": {
                "realized": 1,
                "unrealized": 0,
                "fees": 2,
                "funding": 0,
                "certainty": "known",
                **known,
            }
        },
        "unknown": {
            "USDT": {
                "realized": -1,
                "unrealized": 0,
                "fees": 1,
                "funding": 0,
                "certainty": "known",
                **known,
            }
        },
    }
    part = StrategyReport(
        realized={"USDT": D("1.5")},
        fees={"USDT": D(2)},
        unrealized={"USDT": None},
        certainty=Certainty.UNKNOWN,
    )
    risk = RiskReport(
        ts_ns=1,
        state=TradingState.ACTIVE,
        exposure={},
        realized={},
        fees={},
        realized_today={},
        reserved=D(0),
        plans_in_flight=0,
        certainty=Certainty.KNOWN,
        by_strategy={"a": part},
    )
    told = pnl_by_strategy(risk)
    assert told == {
        "a": {
            "USDT": {
                "realized": D("1.5"),
                "unrealized": None,
                "fees": D(2),
                "funding": 0,
                "certainty": "unknown",
            }
        }
    }
    assert strategy_lines(told) == [
        "strategy a: realized +1.50 USDT after 2.00 fees, unrealized unknown"
    ]


def test_status_tells_the_result_of_the_day_and_the_drawdown() -> None:
    told = {
        "today": {"USDT": D("-12.346"), "USDC": D(7)},
        "drawdown": {"USDT": D("1250.5")},
        "marks_estimated": {},
    }
    assert day_lines(told) == [
        "today -12.35 USDT with open positions, 1,250.50 below the peak",
        "today +7.00 USDC with open positions, 0.00 below the peak",
    ]
    told["marks_estimated"] = {"alpha|BTC/USDT:USDT": "its book is GAP"}
    assert day_lines(told)[0].endswith(
        "below the peak (estimated: alpha|BTC/USDT:USDT: its book is GAP)"
    )


def test_a_fee_without_a_price_stands_beside_the_known_part() -> None:
    """One fee in a coin that nobody prices made the whole result unknown."""
    books = Books()
    for side, cost, asset, fee in (
        (Side.BUY, 1_000, "USDT", D(1)),
        (Side.SELL, 1_020, "XYZ", D("0.5")),
        (Side.BUY, 1_000, "XYZ", D("0.25")),
        (Side.SELL, 1_000, "USDT", D(1)),
    ):
        books.trade(
            Execution(
                venue="alpha",
                instrument="BTC/USDT",
                side=side,
                qty=D("0.1"),
                cost=D(cost),
                fee=fee,
                fee_asset=asset,
            )
        )
    closing = Closing(find=closes(VIEWS), changes={}, positions=[], fee_bps={})
    pnl = money_report(books, closing)["pnl"]["USDT"]
    assert (pnl["realized"], pnl["fees"], pnl["fees_unpriced"]) == (D(18), D(2), {"XYZ": D("0.75")})
    assert pnl["certainty"] == "unknown", "of the whole"
    assert {name: str(each) for name, each in pnl["certainties"].items()} == {
        "realized": "known",
        "unrealized": "known",
        "fees": "known",
        "funding": "known",
    }
    text = unpriced_text(pnl["fees_unpriced"])
    assert text == "without fees of 0.75 XYZ, which nothing prices; "
    assert not unpriced_text({})


def test_an_inverse_contract_is_valued_in_its_coin_and_apart_from_its_hedge() -> None:
    inverse, spot, find = (
        "BTC/USD:BTC",
        "BTC/USD",
        closes(
            [
                make_view("alpha", "BTC/USD", bids=[(40_000.0, 9.0)], asks=[(40_010.0, 9.0)]),
                make_view("gamma", "BTC/USD:BTC", bids=[(39_990.0, 1e6)], asks=[(40_000.0, 1e6)]),
            ]
        ),
    )
    books = Books()
    for venue, instrument, side, qty, cost, fee in (
        ("alpha", spot, Side.BUY, D("0.2"), D(10_000), D(0)),
        ("gamma", inverse, Side.SELL, D(10_000), D("0.2"), D("0.0001")),
    ):
        books.trade(
            Execution(venue=venue, instrument=instrument, side=side, qty=qty, cost=cost, fee=fee)
        )
    held = VenuePosition(
        "gamma", inverse, D(-10_000), books.cost_of(f"gamma|{inverse}", D(-10_000))
    )
    closing = Closing(
        find=find,
        changes={"alpha": {"BTC": D("0.2"), "USD": D(-10_000)}, "gamma": {"BTC": D("-0.0001")}},
        positions=[held],
        fee_bps={("alpha", spot): D(10), ("gamma", inverse): D(5)},
    )
    report = money_report(books, closing)
    figures = {
        asset: (pnl["realized"], pnl["unrealized"], pnl["certainty"])
        for asset, pnl in report["pnl"].items()
    }
    assert figures == {"USD": (0, -2_000, "known"), "BTC": (D("-0.0001"), D("0.05"), "known")}
    assert report["venue_equity_change"] == {"USD": D(-2_000), "BTC": D("0.0499")}
    (entry,) = [p["entry"] for p in report["positions"] if p["instrument"] == inverse]
    assert entry == 50_000
    cost = report["closing_cost"]
    assert cost["USD"] == D("0.2") * 5 + D(8)
    spread = 10_000 * (1 / D(39_995) - 1 / D(40_000))
    assert abs(cost["BTC"] - spread - D("0.25") * D("0.0005")) < D("1e-12")
