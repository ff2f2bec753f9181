"""What bringing inventory back costs a trade, in figures by hand."""

from __future__ import annotations

from decimal import Decimal as D

from shared.domain.rebalance_steps import Market, TradeWay, TransferWay
from shared.domain.return_cost import NOTHING, UNKNOWN, ReturnCost, Short, TradeBack, return_cost
from shared.messages.base import Certainty

PRICES = {"BTC": D(50_000), "USDT": D(1)}
COINS = Short(("b", "BTC"), D(1), D(4))
MONEY = Short(("a", "USDT"), D(5_000), D(20_000))


def way(fee: str | None, asset: str = "BTC", giver: str = "a", taker: str = "b", **more):
    told = None if fee is None else D(fee)
    return TransferWay(asset, giver, taker, more.pop("network", ""), told, D(40), **more)


def book(venue: str, levels: list[tuple[D, D]]) -> Market:
    return Market(venue, "BTC/USDT", levels, levels, D("0.001"), D(10), D("0.001"), None, D(5))


BACK = TradeWay("BTC", book("a", [(D(49_990), D(10))]), book("b", [(D(50_010), D(10))]))


def cost(*shorts: Short, ways=(), back=None, qty_back: str = "1") -> ReturnCost:
    trade = None if back is None else TradeBack(D(qty_back), D(0), lambda: back)
    return return_cost(shorts, ways, trade, lambda asset, _: PRICES.get(asset))


def test_a_trade_pays_its_share_of_a_withdrawal_of_the_usual_size() -> None:
    """0.001 BTC of 50,000 for every 4 BTC, and 1 USDT for every 20,000."""
    coins = way("0.001")
    found = cost(COINS, ways=[coins])
    assert found == (D("12.5"), Certainty.KNOWN, "transfer of BTC from a to b")
    money = way("1", "USDT", "b", "a", network="TRC20")
    both = cost(COINS, MONEY, ways=[coins, money])
    assert both.amount == D("12.75")
    assert both.route == ("transfer of BTC from a to b and transfer of USDT from b to a over TRC20")


def test_the_cheapest_known_way_is_taken_and_its_least_withdrawal_counts() -> None:
    dear, cheap, unknown = way("0.002"), way("0.0005", network="fast"), way(None)
    assert cost(COINS, ways=[unknown, dear, cheap]).amount == D("6.25")
    large = way("0.001", least=D(8))  # 7.999 arrive: 50 / 7.999, rounded up
    assert cost(COINS, ways=[large]).amount == D("6.25078135")


def test_trading_back_costs_two_fees_and_the_spread() -> None:
    """Of each BTC 50,010 and 50.01 are paid, 49,990 less 49.99 come in."""
    found = cost(COINS, MONEY, back=BACK)
    assert found == (D(120), Certainty.ESTIMATED, "BTC/USDT sold at a, bought at b")
    assert cost(COINS, ways=[way("0.01")], back=BACK).amount == D(120)  # 125 by transfer
    assert cost(COINS, ways=[way("0.009")], back=BACK) == (
        D("112.5"),
        Certainty.KNOWN,
        "transfer of BTC from a to b",
    )


def test_a_book_too_thin_for_the_usual_size_is_priced_by_what_is_there() -> None:
    thin = BACK._replace(buy=book("b", [(D(50_010), D(2))]))
    assert cost(COINS, back=thin).amount == D(120)


def test_what_is_not_known_is_not_nothing() -> None:
    assert cost(COINS) == UNKNOWN
    assert cost(COINS, ways=[way(None)]) == UNKNOWN
    assert cost(COINS, MONEY, ways=[way("0.001")]) == UNKNOWN  # no way for the money
    assert cost(Short(("b", "ETH"), D(1), D(1)), ways=[way("1", "ETH")]) == UNKNOWN  # no price
    assert cost(COINS, ways=[way(None)], back=BACK).amount == D(120)
    assert cost() == NOTHING
