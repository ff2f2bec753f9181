"""Cross-exchange quotes that nobody sends: where they would stand, and what would have filled."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config_sections import StrategyConfig
from shared.domain.quotes import Band
from shared.look_ahead import examine, market, run
from shared.messages.arb import Indication, Opportunity
from shared.messages.base import BookState, Side
from shared.messages.market import Trade, TradesMissed
from shared.messages.terms import Resting, TimeInForce
from shared.strategies.built_in.market_making import MarketMaking, MarketMakingParams
from shared.strategies.port import Depth, Trades
from shared.strategies.quoting import Hedged, NoQuote, Quote, QuoteLimits, Quoter
from tests.decision_builders import (
    MS,
    PERP,
    SECOND,
    SPOT,
    T0,
    make_config,
    make_info,
    make_risk,
    make_rules,
    make_view,
)
from tests.unit.test_risk_limits import approved

FINE = {"tick_size": D("0.01"), "lot_size": D("0.001"), "qty_min": D("0.001")}
LIMITS = QuoteLimits(
    notional_quote=D(100),
    edge_bps=D(10),
    band=Band(D(3), D(2)),
    skew_bps_max=D(20),
    inventory_notional_max=D(400),
    depth_ratio=D(3),
    unhedged_notional_max=D(50),
    book_age_ms_max=1_000,
)
Levels = list[tuple[float, float]]


def quoter_of(bids: Levels | None = None, asks: Levels | None = None, **limits: Any) -> Quoter:
    """Maker fees of 2 bps at alpha, taker fees of 5 at beta, whose book is 100.00 to 100.02."""
    quoter = Quoter(LIMITS._replace(**limits))
    quoter.maker.rules = make_rules("alpha", **FINE, notional_min=D(5), maker_fee_bps=D(2))
    quoter.taker.rules = make_rules("beta", **FINE, notional_min=D(5), taker_fee_bps=D(5))
    quoter.maker.view = make_view("alpha", bids=[(99.0, 9.0)], asks=[(101.0, 9.0)])
    show(quoter, bids, asks)
    return quoter


def show(
    quoter: Quoter, bids: Levels | None = None, asks: Levels | None = None, **more: Any
) -> None:
    quoter.taker.view = make_view(
        "beta", bids=bids or [(100.0, 10.0)], asks=asks or [(100.02, 10.0)], **more
    )


def sale(price: float, qty: float = 0.4, side: Side = Side.SELL, **more: Any) -> Trade:
    values: dict[str, Any] = {"venue": "alpha", "instrument": SPOT, "trade_id": "1"}
    return Trade(**{**values, **more}, side=side, price=price, qty=qty, ts_recv_ns=T0)


def test_quotes_earn_the_edge_after_both_fees() -> None:
    """100 * 0.9995 * 0.999 / 1.0002 = 99.83008; 100.02 * 1.0005 * 1.001 / 0.9998 = 100.19012."""
    quoter = quoter_of()
    assert quoter.refresh(T0) == {
        Side.BUY: Quote(D("99.83"), D("1.000"), D(100)),
        Side.SELL: Quote(D("100.20"), D("0.999"), D("100.02")),
    }
    assert quoter.refresh(T0) == {}


def test_the_hedge_is_what_all_of_the_quote_would_get() -> None:
    quoter = quoter_of(bids=[(100.0, 0.5), (99.0, 9.0)])
    assert quoter.refresh(T0)[Side.BUY] == Quote(D("99.33"), D("1.000"), D("99.5"))


def test_a_quote_moves_only_outside_its_band() -> None:
    quoter = quoter_of()
    quoter.refresh(T0)
    show(quoter, bids=[(100.02, 10.0)])  # 2 bps less generous than wanted: it stays
    assert Side.BUY not in quoter.refresh(T0)
    show(quoter, bids=[(100.05, 10.0)])
    moved = quoter.refresh(T0)[Side.BUY]
    assert isinstance(moved, Quote)
    assert moved.price == D("99.87")
    show(quoter, bids=[(100.03, 10.0)])  # and 1 bp more generous
    assert Side.BUY not in quoter.refresh(T0)
    show(quoter, bids=[(100.02, 10.0)])
    assert Side.BUY in quoter.refresh(T0)


def test_what_is_wanted_is_worked_out_anew_only_where_something_changed() -> None:
    quoter = quoter_of()
    quoter.refresh(T0)
    first = quoter.wanted[Side.BUY]
    quoter.refresh(T0 + 100 * MS)
    assert quoter.wanted[Side.BUY] is first
    quoter.maker.rules = make_rules("alpha", **FINE, notional_min=D(5), maker_fee_bps=D(4))
    quoter.refresh(T0 + 200 * MS)
    dearer = quoter.wanted[Side.BUY]
    assert dearer.price < first.price
    quoter.inventory_qty = D(2)
    quoter.refresh(T0 + 300 * MS)
    assert quoter.wanted[Side.BUY].price < dearer.price
    quoter.refresh(T0 + 1_001 * MS)  # nothing else changed, and the books are too old
    assert quoter.why_not[Side.BUY] is NoQuote.MAKER_NOT_LIVE


def test_it_never_takes() -> None:
    quoter = quoter_of()
    quoter.maker.view = make_view("alpha", bids=[(99.0, 1.0)], asks=[(99.5, 1.0)])
    found = quoter.refresh(T0)[Side.BUY]
    assert isinstance(found, Quote)
    assert found.price == D("99.49")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": BookState.STALE}, NoQuote.NOT_LIVE),
        ({"ts_ns": T0 - 2 * SECOND}, NoQuote.NOT_LIVE),
        ({"bids": [(100.0, 2.9)]}, NoQuote.DEPTH),
        ({"bids": [(200_000.0, 10.0)], "asks": [(200_001.0, 10.0)]}, NoQuote.LOT),
    ],
)
def test_quotes_go_at_once(changes: dict[str, Any], why: NoQuote) -> None:
    quoter = quoter_of()
    quoter.refresh(T0)
    show(quoter, **changes)
    assert quoter.refresh(T0)[Side.BUY] is why
    assert Side.BUY not in quoter.quotes
    assert quoter.on_trade(sale(1.0), T0) is False


def test_what_is_not_known_quotes_nothing() -> None:
    quoter = quoter_of()
    quoter.maker.rules = None
    assert quoter.refresh(T0)[Side.BUY] is NoQuote.NO_RULES
    quoter = quoter_of()
    quoter.maker.view = make_view("alpha", state=BookState.GAP)
    assert quoter.refresh(T0)[Side.BUY] is NoQuote.MAKER_NOT_LIVE


def test_a_trade_through_the_price_fills_and_is_hedged() -> None:
    """0.4 bought at 99.83 and sold at 100: 40 * 0.9995 - 39.932 * 1.0002 = 0.0400136."""
    quoter = quoter_of()
    quoter.refresh(T0)
    found = quoter.on_trade(sale(99.82), T0)
    assert found == Hedged(Side.BUY, D("99.83"), D("0.4"), D("0.400"), D("0.0400136"))
    assert (quoter.inventory_qty, quoter.unhedged_qty, quoter.net) == (D("0.4"), 0, D("0.0400136"))
    assert quoter.quotes[Side.BUY].qty == D("0.6")


def test_a_fill_earns_at_least_its_edge() -> None:
    quoter = quoter_of()
    quoter.refresh(T0)
    for trade in (sale(90.0, 5.0), sale(110.0, 5.0, Side.BUY)):
        found = quoter.on_trade(trade, T0)
        assert isinstance(found, Hedged)
        assert found.net >= found.hedged_qty * found.price * D("0.001")


def test_a_trade_at_the_price_fills_nothing_that_is_counted() -> None:
    quoter = quoter_of()
    quoter.refresh(T0)
    assert quoter.on_trade(sale(99.83), T0) is True
    assert quoter.on_trade(sale(99.84), T0) is False
    assert quoter.on_trade(sale(101.0), T0) is False
    assert quoter.inventory_qty == 0


def test_what_is_too_small_to_hedge_adds_up() -> None:
    """Of least orders of 30 two fills of 0.2 make one hedge of 0.4."""
    quoter = quoter_of()
    assert quoter.taker.rules is not None
    quoter.taker.rules = make_rules("beta", **FINE, notional_min=D(30), taker_fee_bps=D(5))
    quoter.refresh(T0)
    first = quoter.on_trade(sale(99.0, 0.2), T0)
    assert isinstance(first, Hedged)
    assert (first.hedged_qty, quoter.unhedged_qty) == (0, D("0.2"))
    second = quoter.on_trade(sale(99.0, 0.2), T0)
    assert isinstance(second, Hedged)
    assert (second.hedged_qty, second.net, quoter.unhedged_qty) == (D("0.400"), D("0.0400136"), 0)


def test_what_is_not_hedged_has_a_cap() -> None:
    quoter = quoter_of(unhedged_notional_max=D(15))
    quoter.taker.rules = make_rules("beta", **FINE, notional_min=D(90), taker_fee_bps=D(5))
    quoter.refresh(T0)
    quoter.on_trade(sale(99.0, 0.2), T0)
    assert quoter.refresh(T0) == {Side.BUY: NoQuote.CAP, Side.SELL: NoQuote.CAP}


def test_a_side_that_adds_to_the_inventory_moves_away_and_ends() -> None:
    """At half of the inventory the bid is 10 bps lower; the ask stays where it earns its edge."""
    quoter = quoter_of()
    quoter.inventory_qty = D(2)
    found = quoter.refresh(T0)
    assert found[Side.BUY] == Quote(D("99.73"), D("1.000"), D(100))
    assert found[Side.SELL] == Quote(D("100.20"), D("0.999"), D("100.02"))
    quoter.inventory_qty = D("3.5")
    assert quoter.refresh(T0)[Side.BUY] is NoQuote.INVENTORY
    quoter.inventory_qty = D(-2)
    assert quoter.refresh(T0)[Side.SELL] == Quote(D("100.30"), D("0.999"), D("100.02"))


@given(
    st.lists(st.tuples(st.booleans(), st.floats(95, 105), st.floats(0.001, 3)), max_size=30),
    st.integers(90, 110),
)
def test_money_adds_up(trades: list[tuple[bool, float, float]], middle: int) -> None:
    """Inventory and what is not hedged are the fills; the net is what their cash flows say."""
    quoter = quoter_of()
    bought = flows = D(0)
    for number, (is_sale, price, qty) in enumerate(trades):
        show(quoter, bids=[(middle - 0.5 + number % 3, 50.0)], asks=[(middle + 2.5, 50.0)])
        quoter.refresh(T0)
        found = quoter.on_trade(sale(price, qty, Side.SELL if is_sale else Side.BUY), T0)
        if isinstance(found, Hedged):
            bought += found.side.signed(found.qty)
            flows += found.net
    assert quoter.inventory_qty == bought
    assert quoter.net == flows
    assert abs(quoter.unhedged_qty) * 110 <= LIMITS.unhedged_notional_max + 3 * 110


PLACES = {"maker_venue": "alpha", "taker_venue": "beta"}


def fed(**params: Any) -> MarketMaking:
    given_ = {"notional_quote": 100.0, "edge_bps": 10.0, "refresh_ms": 10, **PLACES, **params}
    strategy = MarketMaking("mm", MarketMakingParams(**given_))
    strategy.on_rules(make_rules("alpha", **FINE, maker_fee_bps=D(2)), T0)
    strategy.on_rules(make_rules("beta", **FINE, taker_fee_bps=D(5)), T0)
    strategy.on_depth(make_view("alpha", bids=[(99.0, 9.0)], asks=[(101.0, 9.0)]), T0)
    return strategy


def quotes(strategy: MarketMaking, now_ns: int, bid: float, **more: Any) -> list[Indication]:
    view = make_view("beta", bids=[(bid, 10.0)], asks=[(100.02, 10.0)], ts_ns=now_ns, **more)
    maker = make_view("alpha", bids=[(99.0, 9.0)], asks=[(101.0, 9.0)], ts_ns=now_ns)
    return [*strategy.on_depth(maker, now_ns), *strategy.on_depth(view, now_ns)]


def test_the_strategy_shows_its_quotes_and_what_would_fill() -> None:
    strategy = fed()
    now_ns = T0 + 20 * MS
    quotes(strategy, now_ns, 100.0)
    message = quotes(strategy, now_ns + 20 * MS, 100.0)
    (shown,) = message or quotes(strategy, now_ns + 40 * MS, 100.2)
    assert (shown.kind, shown.venue, shown.other_venue) == ("QUOTES", "alpha", "beta")
    assert shown.values["bid"].startswith("99.8") or shown.values["bid"].startswith("100.0")
    assert strategy.gauges() == {"pairs": 1, "quotes": 2}
    (filled,) = strategy.on_trade(sale(98.0), now_ns + 41 * MS)
    assert (filled.kind, filled.values["side"]) == ("WOULD_FILL", "buy")
    assert D(filled.values["net"]) > 0
    assert strategy.on_trade(sale(98.0, venue="beta"), now_ns) == []
    counts = strategy.counters()
    assert (counts["placed"], counts["would_fill"]) == (2, 1)
    strategy.on_gap(
        TradesMissed(venue="alpha", instrument=SPOT, ongoing=False, ts_recv_ns=T0), now_ns
    )
    assert strategy.counters()["trades_missed"] == 1


def test_quotes_go_with_the_takers_book_and_when_it_grows_old() -> None:
    strategy = fed()
    now_ns = T0 + 20 * MS
    quotes(strategy, now_ns, 100.0)
    quotes(strategy, now_ns + 20 * MS, 100.0)
    assert strategy.gauges()["quotes"] == 2
    quotes(strategy, now_ns + 21 * MS, 100.0, state=BookState.GAP)
    assert strategy.gauges()["quotes"] == 0
    quotes(strategy, now_ns + 40 * MS, 100.0)
    quotes(strategy, now_ns + 60 * MS, 100.0)
    assert strategy.gauges()["quotes"] == 2
    due_ns = strategy.next_deadline_ns()
    assert due_ns is not None
    strategy.on_timer(now_ns + 2 * SECOND)
    assert strategy.gauges()["quotes"] == 0
    assert strategy.near_misses.totals["MAKER_NOT_LIVE"] > 0


def test_a_band_that_gives_the_edge_away_is_refused() -> None:
    with pytest.raises(ValueError, match="all of its"):
        fed(worse_bps=10.0)


def test_it_asks_for_both_books_and_the_makers_trades() -> None:
    assert fed().inputs() == (Depth("alpha", ""), Depth("beta", ""), Trades("alpha", ""))


def test_only_books_of_one_base_and_quote_asset_are_paired() -> None:
    strategy = MarketMaking("mm", MarketMakingParams())
    for venue in ("alpha", "beta", "gamma"):
        strategy.on_rules(make_rules(venue), T0)
    strategy.on_rules(make_rules("alpha", "BTC/USD"), T0)
    strategy.on_rules(make_rules("beta", "ETH/USDT"), T0)
    assert strategy.gauges()["pairs"] == 6
    for number in range(9):
        strategy.on_rules(make_rules(f"venue-{number}"), T0)
    assert strategy.gauges()["pairs"] == 32
    assert strategy.counters()["pairs_refused"] == 12 * 11 - 32


def test_it_does_not_look_ahead() -> None:
    params = MarketMakingParams(maker_venue="venue-1", edge_bps=2.0, refresh_ms=20)
    strategy = MarketMaking("mm", params)
    events = market([("venue-1", SPOT), ("venue-2", SPOT)], 600, seed=3, inputs=strategy.inputs())

    def make() -> MarketMaking:
        return MarketMaking("mm", params)

    assert examine(make, events, [20, 300, 500], 1) is None
    assert sum(len(each) > 1 for each in run(make, events)) > 5


Offers = list[Opportunity]
T1 = T0 + 2 * MS


def offers_of(**params: Any) -> tuple[MarketMaking, Offers]:
    """A strategy between alpha (maker) and beta, and what it offers at its first look."""
    names = {"maker_venue": "alpha", "taker_venue": "beta", "refresh_ms": 1}
    values = {**names, "notional_quote": 100.0, "edge_bps": 10.0, "worse_bps": 2.0, **params}
    strategy = MarketMaking("mm", MarketMakingParams(**values))
    strategy.on_rules(make_rules("alpha", **FINE, notional_min=D(5), maker_fee_bps=D(2)), T0)
    strategy.on_rules(make_rules("beta", **FINE, notional_min=D(5), taker_fee_bps=D(5)), T0)
    strategy.on_depth(make_view("alpha", bids=[(99.0, 9.0)], asks=[(101.0, 9.0)]), T0)
    return strategy, look(strategy, T1)


def look(strategy: MarketMaking, now_ns: int, bid: float = 100.0, seq: int = 1) -> Offers:
    view = make_view("beta", bids=[(bid, 10.0)], asks=[(100.02, 10.0)], ts_ns=now_ns, seq=seq)
    return [m for m in strategy.on_depth(view, now_ns) if isinstance(m, Opportunity)]


def test_without_rest_ms_nothing_is_offered() -> None:
    _, offers = offers_of()
    assert offers == []


def test_both_quotes_are_offered_with_their_hedges() -> None:
    _, (bid, ask) = offers_of(rest_ms=3_000)
    rests, hedge = bid.legs
    assert (rests.venue, rests.price_limit, rests.time_in_force) == (
        "alpha",
        D("99.83"),
        TimeInForce.PO,
    )
    assert (hedge.venue, hedge.side, hedge.price_avg, hedge.time_in_force) == (
        "beta",
        Side.SELL,
        D(100),
        TimeInForce.IOC,
    )
    # 99.83 * 1.0002 / (0.9995 * 0.999 * 1.0002) = 99.97993: at which it earns 8 bps
    assert hedge.price_limit == D("99.97")
    assert bid.resting == Resting(rest_ms=3_000, better_bps=D(2))
    assert bid.edge_bps >= D(10)
    hedge, rests = ask.legs
    assert (rests.venue, rests.side, rests.price_limit) == ("alpha", Side.SELL, D("100.2"))
    assert hedge.price_limit > hedge.price_avg == D("100.02")


def test_risk_approves_what_is_offered() -> None:
    _, (bid, ask) = offers_of(rest_ms=3_000)
    entry = StrategyConfig(id="mm", class_="market_making", legs="maker-taker")
    engine = make_risk(msgspec.structs.replace(make_config(), strategies=[entry]))
    for venue, low, high in (("alpha", 99.0, 101.0), ("beta", 100.0, 100.02)):
        engine.on_message(make_info(venue, **FINE), T0)
        view = make_view(venue, bids=[(low, 10.0)], asks=[(high, 10.0)])
        engine.on_message(view, T0)
    for offer in (bid, ask):
        approved(engine, offer, T1)


def test_a_quote_that_stands_is_offered_again_after_a_while() -> None:
    strategy, (bid, _) = offers_of(rest_ms=3_000)
    assert look(strategy, T1 + 499 * MS) == []
    again = look(strategy, T1 + 500 * MS, seq=2)
    assert [one.legs[0].venue for one in again] == ["alpha", "beta"]
    assert again[0].opportunity_id != bid.opportunity_id
    moved = look(strategy, T1 + 600 * MS, bid=99.9, seq=3)
    assert [one.legs[0].side for one in moved] == [Side.BUY]


def test_what_no_lots_of_both_express_is_not_offered() -> None:
    strategy, _ = offers_of(rest_ms=3_000)
    strategy.on_rules(make_rules("beta", lot_size=D(2), qty_min=D(2), notional_min=D(5)), T0)
    assert look(strategy, T1 + 900 * MS, bid=99.5, seq=2) == []


def test_derivatives_are_quoted_and_not_offered() -> None:
    strategy = MarketMaking("mm", MarketMakingParams(rest_ms=1_000, refresh_ms=1))
    for venue in ("alpha", "beta"):
        strategy.on_rules(make_rules(venue, PERP, **FINE, notional_min=D(5)), T0)
    found = [
        message
        for venue in ("alpha", "beta")
        for message in strategy.on_depth(
            make_view(venue, PERP, bids=[(100.0, 900.0)], asks=[(100.02, 900.0)]), T0
        )
    ]
    assert found
    assert not any(isinstance(message, Opportunity) for message in found)
