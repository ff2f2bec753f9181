"""Proposals to rebalance, in figures: transfers, trades, their cost, and what cannot be done."""

from __future__ import annotations

from decimal import Decimal as D

from shared.domain.inventory import Held, Target
from shared.domain.rebalance import Inventory, plan_rebalance
from shared.domain.rebalance_plan import RowState
from shared.domain.rebalance_steps import Market, Trade, Transfer, TransferWay
from shared.domain.supply_flow import Edge, Room, cheapest_flow
from shared.messages.base import Side

PRICES = {"BTC": D(50_000), "USDT": D(1)}


def share(venue: str, asset: str = "BTC", part: str = "0.5", band: str = "0.1") -> Target:
    return Target(venue, asset, D(part), D(band), True)


def units(venue: str, qty: str, band: str, asset: str = "BTC") -> Target:
    return Target(venue, asset, D(qty), D(band), False)


def way(giver: str, taker: str, fee: str | None = "0.001", **changes) -> TransferWay:
    usual = TransferWay("BTC", giver, taker, "btc", None if fee is None else D(fee), D(40))
    return usual._replace(**changes)


def book(venue: str, bid: str = "49990", ask: str = "50010", qty: str = "10") -> Market:
    levels = [(D(bid), D(qty))], [(D(ask), D(qty))]
    return Market(venue, "BTC/USDT", *levels, D("0.001"), D(10), D("0.001"), None, D(5))


def plan(targets, held, *, ways=(), markets=(), unknown=None, price=PRICES.get):
    places = {
        (venue, asset): each if isinstance(each, Held) else Held(D(each))
        for venue, assets in held.items()
        for asset, each in assets.items()
    }
    asked = Inventory(targets, places, unknown or {}, ways, markets, lambda asset, _: price(asset))
    return plan_rebalance(asked)


BOTH = [share("a"), share("b")]
UNEVEN = {"a": {"BTC": 9}, "b": {"BTC": 1}}


def test_a_transfer_goes_on_to_the_target_and_brings_its_fee_along() -> None:
    found = plan(BOTH, UNEVEN, ways=[way("a", "b")])
    (step,) = found.steps
    assert isinstance(step, Transfer)
    assert (step.qty, step.arrives, step.cost, step.minutes) == (D("4.001"), 4, 50, 40)
    assert step.why == (
        "b holds 1 BTC, below its band of 4 to 6, and a holds 9 BTC, above its band of 4 to 6"
    )
    assert [row.after for row in found.rows] == [D("4.999"), 5]
    assert [row.state for row in found.rows] == [RowState.BROUGHT_BACK] * 2
    assert (found.cost, found.minutes, found.is_whole) == (50, 40, True)


def test_within_the_bands_nothing_is_moved() -> None:
    found = plan(BOTH, {"a": {"BTC": 6}, "b": {"BTC": 4}}, ways=[way("a", "b")])
    assert (found.steps, found.cost, found.minutes) == ((), 0, 0)
    assert [row.state for row in found.rows] == [RowState.IN_BAND] * 2


def test_the_cheaper_network_is_taken_and_one_of_unknown_fee_last() -> None:
    ways = [way("a", "b", None, network="x"), way("a", "b", "0.01", network="slow"), way("a", "b")]
    (step,) = plan(BOTH, UNEVEN, ways=ways).steps
    assert step.way.network == "btc"


def test_an_unknown_fee_makes_what_arrives_and_what_it_costs_unknown() -> None:
    found = plan(BOTH, UNEVEN, ways=[way("a", "b", None, minutes=None)])
    (step,) = found.steps
    assert (step.qty, step.arrives, step.cost, step.minutes) == (4, None, None, None)
    assert (found.cost, found.cost_known, found.costs_unknown, found.minutes) == (None, 0, 1, None)
    giver, taker = found.rows
    assert (giver.after, taker.after, taker.state) == (5, None, RowState.UNKNOWN)
    assert "is unknown, and so is what arrives" in taker.reason
    assert not found.is_whole


def test_a_fee_that_nothing_prices_is_of_unknown_cost() -> None:
    found = plan(BOTH, UNEVEN, ways=[way("a", "b")], price=lambda _: None)
    assert found.steps[0].arrives == 4
    assert (found.cost, found.costs_unknown) == (None, 1)


def test_what_is_used_counts_as_held_and_is_not_given() -> None:
    held = {"a": {"BTC": Held(D(1), D(8))}, "b": {"BTC": D(1)}}
    found = plan(BOTH, held, ways=[way("a", "b")])
    assert [step.qty for step in found.steps] == [1]
    assert [row.after for row in found.rows] == [8, D("1.999")]
    assert [row.state for row in found.rows] == [RowState.OUT_OF_BAND] * 2


def test_a_trade_moves_both_assets_at_the_prices_of_the_books() -> None:
    held = {"a": {"BTC": 9, "USDT": 0}, "b": {"BTC": 1, "USDT": 400_000}}
    found = plan(
        [*BOTH, share("a", "USDT"), share("b", "USDT")],
        held,
        markets=[book("a"), book("b", ask="50020")],
    )
    (step,) = found.steps
    assert isinstance(step, Trade)
    assert (step.sell.venue, step.sell.side, step.buy.venue) == ("a", Side.SELL, "b")
    assert (step.sell.qty, step.sell.price_avg, step.buy.price_avg) == (4, 49_990, 50_020)
    assert (step.sell.fee, step.buy.fee) == (D("199.96"), D("200.08"))
    assert step.cost == 4 * 30 + D("199.96") + D("200.08")
    assert found.is_whole
    assert [row.after for row in found.rows] == [5, 5, D("199760.04"), D("199719.92")]


def test_a_cheaper_transfer_is_taken_instead_of_a_trade() -> None:
    held = {"a": {"BTC": 9}, "b": {"BTC": 1, "USDT": 400_000}}
    markets = [book("a"), book("b")]
    (step,) = plan(BOTH, held, ways=[way("a", "b")], markets=markets).steps
    assert isinstance(step, Transfer)
    (step,) = plan(BOTH, held, ways=[way("a", "b", "0.02")], markets=markets).steps
    assert isinstance(step, Trade)


def test_a_trade_never_spends_more_than_is_free_nor_breaks_the_other_band() -> None:
    markets = [book("a"), book("b")]
    held = {"a": {"BTC": 9}, "b": {"BTC": 1, "USDT": Held(D(60_000), D(400_000))}}
    (step,) = plan(BOTH, held, markets=markets).steps
    assert step.spent == D("1.198") * D("50010") * D("1.001")
    band = units("b", "30000", "5000", "USDT")
    held = {"a": {"BTC": 9}, "b": {"BTC": 1, "USDT": 35_000}}
    found = plan([*BOTH, band], held, markets=markets)
    assert found.steps[0].spent <= 10_000
    assert found.rows[-1].state is RowState.IN_BAND


def test_money_that_is_short_is_moved_by_the_trade_the_other_way_round() -> None:
    targets = [share("a", "USDT"), share("b", "USDT")]
    held = {"a": {"USDT": 100_000}, "b": {"USDT": 0, "BTC": 2}}
    found = plan(targets, held, markets=[book("a"), book("b")])
    (step,) = found.steps
    assert (step.buy.venue, step.sell.venue) == ("a", "b")
    assert found.is_whole
    assert found.rows[1].after == step.received


def test_what_cannot_be_brought_back_says_why() -> None:
    def why(*arguments, **more) -> list[str]:
        return [row.reason for row in plan(*arguments, **more).rows]

    assert why([units("a", "5", "1"), units("b", "5", "1")], {"a": {"BTC": 4}, "b": {}}) == [
        "",
        "all venues hold 4 BTC, their bands begin at 8",
    ]
    empty = why([units("a", "5", "1")], {"a": {}}, ways=[way("a", "b")])
    assert empty == ["all venues hold 0 BTC, their bands begin at 4"]
    assert why(BOTH, UNEVEN) == [
        "no configured transfer and no market at two venues takes BTC from here",
        "no configured transfer and no market at two venues brings BTC here",
    ]
    small = {"a": {"BTC": D("0.9")}, "b": {"BTC": D("0.1")}}
    assert why(BOTH, small, ways=[way("a", "b", least=D(2))])[1] == (
        "transfer of BTC from a to b over btc: the 0.5 that may move are less than its least of 2"
    )
    in_use = {"a": {"BTC": Held(D(0), D(9))}, "b": {"BTC": 1}}
    assert (
        why(BOTH, in_use, ways=[way("a", "b")])[0] == "what is above its band is in use, not free"
    )


def test_a_venue_whose_balances_are_unknown_neither_gives_nor_takes() -> None:
    found = plan(BOTH, {"a": {"BTC": 9}}, ways=[way("a", "b")], unknown={"b": "b is silent"})
    assert found.steps == ()
    assert [row.state for row in found.rows] == [RowState.UNKNOWN] * 2
    assert [row.reason for row in found.rows] == [
        "its share is of all, and what b holds is unknown",
        "b is silent",
    ]
    targets = [units("a", "5", "1"), units("b", "5", "1"), units("c", "5", "1")]
    held = {"a": {"BTC": 9}, "c": {"BTC": 1}}
    ways = [way("a", "b"), way("a", "c")]
    found = plan(targets, held, ways=ways, unknown={"b": "b is silent"})
    assert [(step.way.taker, step.arrives) for step in found.steps] == [("c", 4)]


def test_a_giver_that_only_one_taker_can_reach_is_left_to_it() -> None:
    """b could take from d more cheaply, but then nothing would be left for c."""
    targets = [units(v, "5", "0") for v in "abcd"]
    held = {"a": {"BTC": 8}, "b": {"BTC": 2}, "c": {"BTC": 2}, "d": {"BTC": 8}}
    ways = [way("a", "b", "0"), way("d", "b", "0"), way("d", "c", "0")]
    found = plan(targets, held, ways=ways)
    assert {(s.way.giver, s.way.taker): s.qty for s in found.steps} == {
        ("a", "b"): 3,
        ("d", "c"): 3,
    }


def test_flow_does_what_must_be_done_before_it_saves() -> None:
    supplies = {"a": Room(D(0), D(5)), "d": Room(D(0), D(5))}
    needs = {"b": Room(D(4), D(0)), "c": Room(D(4), D(9))}
    edges = [
        Edge("a", "b", D(9), D(7)),
        Edge("d", "b", D(9), D(1)),
        Edge("d", "c", D(9), None),
    ]
    assert cheapest_flow(supplies, needs, edges) == [3, 1, 4]
    assert cheapest_flow(supplies, needs, edges[:2]) == [0, 4]
