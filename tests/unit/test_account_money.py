"""What of an account's money orders can use, and positions, as each venue tells them."""

from __future__ import annotations

from collections.abc import Awaitable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import ccxt.async_support as ccxt

from shared.messages.balances import Balance
from shared.venues.binance import orders as binance
from shared.venues.binanceusdm import orders as binanceusdm
from shared.venues.bybit import orders as bybit
from shared.venues.kraken import orders as kraken

D = Decimal


async def read(what: str, request: Awaitable[Any]) -> Any:
    assert what
    return await request


def answering(reply: Any) -> Any:
    async def ask(*_: Any) -> Any:
        return reply

    return ask


def market(base: str, quote: str, base_id: str, quote_id: str) -> dict[str, Any]:
    return {"base": base, "quote": quote, "baseId": base_id, "quoteId": quote_id}


def kraken_client(balances: dict[str, Any]) -> Any:
    names = {"XXBT": "XBT", "XETH": "ETH", "USDT": "USDT", "ZUSD": "USD", "XXDG": "XDG"}
    return SimpleNamespace(
        markets={
            "BTC/USDT": market("BTC", "USDT", "XXBT", "USDT"),
            "ETH/USD": market("ETH", "USD", "XETH", "ZUSD"),
            "DOGE/USD": market("DOGE", "USD", "XXDG", "ZUSD"),
        },
        currencies={i: {"id": i, "info": {"altname": short}} for i, short in names.items()},
        safe_currency_code=lambda asset_id: asset_id,
        privatePostBalanceEx=answering({"error": [], "result": balances}),
    )


def amounts(told: dict[str, Balance]) -> dict[str, tuple[Decimal, Decimal]]:
    assert all(each.wallet is None for each in told.values())
    return {asset: (each.free, each.used) for asset, each in told.items()}


def row(balance: str, hold: str = "0.0000") -> dict[str, str]:
    return {"balance": balance, "hold_trade": hold}


async def test_what_earns_rewards_is_spent_like_the_asset_itself() -> None:
    told = {
        "XXBT": row("1.5", "0.5"),
        "XBT.F": row("2.0"),
        "XBT.S": row("10"),
        "XBT.M": row("20"),
        "XBT.B": row("40"),
        "XBT28.S": row("80"),
        "ETH.F": row("3"),
        "USD.F": row("100", "25"),
        "ZUSD": row("7"),
        "XDG.F": row("9"),
        "USD.HOLD": row("5000"),
        "USDT": row("0"),
        "ATOM": row("4"),
        "ATOM.F": row("6"),
        "ATOM21.S": row("1"),
    }
    assert amounts(await kraken.balances(kraken_client(told), read)) == {
        "BTC": (D(3), D("0.5")),
        "ETH": (D(3), D(0)),
        "USD": (D(82), D(25)),
        "DOGE": (D(9), D(0)),
        "USDT": (D(0), D(0)),
        "ATOM": (D(10), D(0)),
    }


async def test_what_is_lent_out_is_no_coin_of_another_name() -> None:
    balances = [
        {"asset": "BTC", "free": "1.0", "locked": "0.5"},
        {"asset": "LDBTC", "free": "7.0", "locked": "0"},
        {"asset": "LDO", "free": "3.0", "locked": "0"},
        {"asset": "LDUSDT", "free": "900", "locked": "0"},
        {"asset": "USDT", "free": "10", "locked": "2"},
        {"asset": "BNB", "free": "0.1", "locked": "0"},
    ]
    client = SimpleNamespace(
        markets={
            "BTC/USDT": market("BTC", "USDT", "BTC", "USDT"),
            "O/USDT": market("O", "USDT", "O", "USDT"),
            "LDO/USDT": market("LDO", "USDT", "LDO", "USDT"),
        },
        safe_currency_code=lambda asset_id: asset_id,
        privateGetAccount=answering({"balances": balances}),
    )
    assert amounts(await binance.balances(client, read)) == {
        "BTC": (D(1), D("0.5")),
        "LDO": (D(3), D(0)),
        "USDT": (D(10), D(2)),
        "BNB": (D("0.1"), D(0)),
    }


async def test_a_wallet_lacks_what_open_positions_earn() -> None:
    """Of the answer of ``GET /fapi/v3/account``, through ccxt's own reading of it."""
    usdt = {
        "asset": "USDT",
        "walletBalance": "1000.00",
        "unrealizedProfit": "-300.00",
        "marginBalance": "700.00",
        "initialMargin": "250.00",
        "availableBalance": "450.00",
        "updateTime": 1720736417660,
    }
    client = ccxt.binanceusdm()
    client.markets = {"BTC/USDT:USDT": {}}
    client.fapiPrivateV3GetAccount = answering({"assets": [usdt]})
    told = await binanceusdm.balances(client, read)
    assert told == {"USDT": Balance(free=D(450), used=D(250), wallet=D(1000))}
    assert told["USDT"].settled == 1_000
    await client.close()


async def test_margin_that_other_coins_back_is_no_balance() -> None:
    coin = {"coin": "USDT", "walletBalance": "100", "locked": "0", "totalPositionIM": "260.5"}
    client = SimpleNamespace(
        safe_currency_code=lambda asset_id: asset_id,
        privateGetV5AccountWalletBalance=answering({"result": {"list": [{"coin": [coin]}]}}),
    )
    (told,) = (await bybit.balances(client, read)).values()
    assert (told.free, told.used, told.settled) == (0, D("260.5"), 100)


async def test_positions_of_both_sides_make_one_amount() -> None:
    rows = [
        {"symbol": "BTCUSDT", "positionSide": "LONG", "positionAmt": "0.5"},
        {"symbol": "BTCUSDT", "positionSide": "SHORT", "positionAmt": "-0.2"},
        {"symbol": "ETHUSDT", "positionSide": "BOTH", "positionAmt": "-1"},
        {"symbol": "XRPUSDT", "positionSide": "BOTH", "positionAmt": "9"},
    ]
    client = SimpleNamespace(
        market=lambda name: {"id": name.partition(":")[0].replace("/", "")},
        fapiPrivateV3GetPositionRisk=answering(rows),
    )
    wanted = ["BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"]
    assert await binanceusdm.positions(client, read, wanted) == {
        "BTC/USDT:USDT": D("0.3"),
        "ETH/USDT:USDT": D(-1),
    }


async def test_a_nonce_rises_whatever_the_clock_does() -> None:
    times = iter([1_000, 1_000, 400, 2_000])
    client = SimpleNamespace(nonce=lambda: next(times))
    kraken.prepare(client)
    assert [client.nonce() for _ in range(4)] == [1_000, 1_001, 1_002, 2_000]


async def test_a_nonce_is_never_lowered_by_the_venues_time() -> None:
    client = SimpleNamespace(options={}, milliseconds=lambda: 5_000, fetch_time=answering(2_000))
    assert await kraken.measure_clock(client) == 3_000
    assert client.options["timeDifference"] == 0
    client.fetch_time = answering(9_000)
    assert await kraken.measure_clock(client) == -4_000
    assert client.options["timeDifference"] == -4_000, "ours is behind: add it"
