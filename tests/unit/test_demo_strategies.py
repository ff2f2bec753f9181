"""`arb demo --strategies all`: every built-in strategy joins by itself, and says what it did."""

from __future__ import annotations

from decimal import Decimal

from services.cli.demo_strategies import Shown, every_built_in, one_built_in, strategy_lines
from services.venuesim.__main__ import parse_arguments
from shared.config_sections import StrategyConfig
from shared.domain.accounting import Books
from shared.domain.executions import Execution, cost_of
from shared.domain.valuation import closes
from shared.messages.base import Side
from shared.strategy_files import built_ins
from shared.watch.dust import dust_test, more_than_dust
from tests.decision_builders import make_rules, make_view

D = Decimal
INVERSE = "BTC/USD:BTC"


def test_every_built_in_is_shown_with_parameters_of_its_own() -> None:
    shown = every_built_in()
    assert [entry.id for entry in shown.strategies] == built_ins()
    params = {entry.id: entry.params for entry in shown.strategies}
    assert params["conversion"]["quote_asset"] == "USDT"
    assert shown.one_shard, "several base assets in one strategy"


def test_one_built_in_is_shown_by_its_name() -> None:
    shown = one_built_in("market_making")
    (entry,) = shown.strategies
    assert (entry.id, entry.legs) == ("market_making", "maker-taker")
    assert entry.params["rest_ms"] > 0
    assert shown.notes == {"market_making": ""}


def test_the_market_has_what_they_need() -> None:
    given = parse_arguments(["--seed", "7", *every_built_in().venue_arguments])
    assert given.more_markets
    assert given.trading_venues
    assert given.depeg_bps > 0
    assert given.premium_bps > 0


def test_each_says_whether_it_traded() -> None:
    entries = [StrategyConfig(id=name, class_=name) for name in ("a", "b", "c", "d")]
    shown = Shown(entries, notes={"a": "", "b": "it measures", "c": "", "d": ""})
    alert = "scanner: STRATEGY_DISABLED: strategy d is disabled until the scanner starts again: x"
    report = {"pnl_by_strategy": {"a": {}}, "alerts": [alert]}
    assert strategy_lines(shown, report) == {
        "a": "traded",
        "b": "only watches: it measures",
        "c": "found nothing to trade",
        "d": alert,
    }


def test_dust_is_what_no_venue_takes() -> None:
    rules = [
        make_rules("alpha", "BTC/USDT", notional_min=D(5)),
        make_rules("beta", "BTC/USDT", notional_min=D(20)),
        make_rules("alpha", "USDT/USD", lot_size=D("0.01"), qty_min=D(1), tick_size=D("0.0001")),
        make_rules("alpha", "BTC/USDT:USDT", notional_min=D(5)),
    ]
    views = [
        make_view("alpha", "BTC/USDT"),
        make_view("alpha", "BTC/USDT:USDT"),
        make_view("alpha", "USDT/USD", bids=[(0.99, 1e4)], asks=[(1.01, 1e4)]),
    ]
    is_dust = dust_test(rules, closes(views))
    assert is_dust("BTC/USDT", D("0.0009")), "less than a lot"
    assert not is_dust("BTC/USDT", D("0.001")), "10 USDT: alpha takes them"
    assert is_dust("USD/USDT", D(4))
    assert not is_dust("USD/USDT", D(-6))
    assert not is_dust("ETH/USDT", D("0.000001")), "nobody says what it is worth"
    assert not is_dust("alpha|BTC/USDT:USDT", D("-0.001"))
    books = Books()
    for venue, instrument, qty in (
        ("alpha", "BTC/USDT", "0.0009"),
        ("alpha", "BTC/USDT:USDT", "-0.1"),
        ("alpha", "ETH/USDT", "1"),
    ):
        trade(books, venue, instrument, qty, "10000")
    assert more_than_dust(books, is_dust) == {"BTC": D("-0.1"), "ETH": D(1)}


def trade(books: Books, venue: str, instrument: str, qty: str, price: str) -> None:
    signed = D(qty)
    books.trade(
        Execution(
            venue=venue,
            instrument=instrument,
            side=Side.BUY if signed > 0 else Side.SELL,
            qty=abs(signed),
            cost=cost_of(instrument, abs(signed), D(price)),
            fee=D(0),
        )
    )


def test_coins_that_hedge_inverse_contracts_leave_nothing_open() -> None:
    rules = [
        make_rules("alpha", "BTC/USD", notional_min=D(5), lot_size=D("0.000001")),
        make_rules("beta", "BTC/USD:BTC", lot_size=D(1), qty_min=D(1), notional_min=D(5)),
    ]
    inverse = make_view("beta", INVERSE, bids=[(9_999, 1e5)], asks=[(10_001, 1e5)])
    is_dust = dust_test(rules, closes([make_view("alpha", "BTC/USD"), inverse]))
    books = Books()
    trade(books, "beta", INVERSE, "-1000", "10000")
    assert more_than_dust(books, is_dust) == {"BTC": D("-0.1")}, "coins, not dollars"
    trade(books, "alpha", "BTC/USD", "0.099996", "9950")
    assert more_than_dust(books, is_dust) == {}, "4 cents are less than anybody trades"
    trade(books, "alpha", "BTC/USD", "-0.001", "9950")
    assert more_than_dust(books, is_dust) == {"BTC": D("-0.001004")}
