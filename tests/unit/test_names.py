"""What may be configured for which venue, and that rules, books and orders mean one market."""

from __future__ import annotations

import asyncio
import json

import ccxt
import pytest
from aiohttp import web

from services.cli import settings
from services.ingestor.engine.requests import ListingJob
from services.ingestor.markets import read_rules
from shared.errors import ConfigError
from shared.venues.kraken import ccxt_urls as kraken_setup
from shared.venues.registry import load_feed


def checked(tmp_path, venue: str, *instruments: str):
    path = tmp_path / "arb.toml"
    path.write_text(f"[venues.{venue}]\ninstruments = {json.dumps(list(instruments))}\n")
    return settings.check(str(path), {})


@pytest.mark.parametrize(
    ("venue", "instrument", "problem"),
    [
        ("binanceusdm", "BTC/USDT:USDT-260327", "dated future"),
        ("binance", "BTC/USDT:USDT-260327", "dated future"),
        ("kraken", "BTC/USD:BTC-260327", "dated future"),
        ("binanceusdm", "BTC/USDT:USDT-260327-100000-C", "option"),
        ("binanceusdm", "BTC/USD:BTC", "BTC/USDT:USDT"),
        ("binanceusdm", "BTC/USDT:BUSD", "neither BTC nor USDT"),
        ("binanceusdm", "BTC/USDT", "perpetual"),
        ("binance", "BTC/USDT:USDT", "spot"),
        ("binance", "btc/usdt", "BTC/USDT"),
        ("binance", "BTC/USDT ", "space"),
        ("kraken", "XBT/USD", "BTC"),
    ],
)
def test_instrument_of_another_kind_is_refused_in_one_line(tmp_path, venue, instrument, problem):
    with pytest.raises(ConfigError) as refused:
        checked(tmp_path, venue, instrument)
    text = str(refused.value)
    assert problem in text and instrument in text and f"venues.{venue}" in text
    assert "\n" not in text


def test_instrument_named_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="BTC/USDT twice"):
        checked(tmp_path, "binance", "BTC/USDT", "ETH/USDT", "BTC/USDT")


# --- one map of names


def pair(symbol: str, base: str, decimals: int, wsname: str) -> dict:
    return {
        symbol: {
            "altname": symbol,
            "wsname": wsname,
            "aclass_base": "currency",
            "base": base,
            "aclass_quote": "currency",
            "quote": "ZUSD",
            "pair_decimals": decimals,
            "lot_decimals": 8,
            "fees": [[0, 0.4]],
            "fees_maker": [[0, 0.25]],
            "ordermin": "1",
            "costmin": "0.5",
            "tick_size": f"{10**-decimals:.{decimals}f}",
            "status": "online",
        }
    }


PAIRS = {
    **pair("LUNAUSD", "LUNA", 8, "LUNA/USD"),
    **pair("LUNA2USD", "LUNA2", 4, "LUNA2/USD"),
    **pair("XREPZUSD", "XREP", 3, "REP/USD"),
    **pair("REPV2USD", "REPV2", 2, "REPV2/USD"),
    **pair("XXBTZUSD", "XXBT", 1, "XBT/USD"),
    **pair("XDGUSD", "XXDG", 7, "XDG/USD"),
    **pair("USTUSD", "UST", 6, "UST/USD"),
    **pair("ODDUSD", "ODD", 5, "OTHER/USD"),
}
ALTNAMES = {"XXBT": "XBT", "XXDG": "XDG", "XREP": "REP", "ZUSD": "USD"}
ASSETS = {
    asset: {
        "aclass": "currency",
        "altname": ALTNAMES.get(asset, asset),
        "decimals": 10,
        "display_decimals": 5,
        "status": "enabled",
    }
    for asset in ["ZUSD", *(listed["base"] for listed in PAIRS.values())]
}


@pytest.fixture
async def kraken():
    """The address of a venue with renamed assets."""

    async def answer(request: web.Request) -> web.Response:
        result = {"AssetPairs": PAIRS, "Assets": ASSETS}[request.match_info["name"]]
        return web.json_response({"error": [], "result": result})

    app = web.Application()
    app.router.add_get("/0/public/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_rules_books_and_orders_are_of_one_pair_also_where_assets_were_renamed(kraken):
    """The stream's own name, the list's rules, and the id that orders go to."""
    expected = {
        "LUNA/USD": "LUNAUSD",
        "LUNA2/USD": "LUNA2USD",
        "REP/USD": "XREPZUSD",
        "REPV2/USD": "REPV2USD",
        "BTC/USD": "XXBTZUSD",
        "DOGE/USD": "XDGUSD",
        "UST/USD": "USTUSD",
    }
    answer = await read_rules(ListingJob("kraken", "kraken", kraken, list(expected)))
    assert answer.missing == {}
    ticks = {rules.instrument: rules.tick_size for rules in answer.rules}
    client = ccxt.kraken()
    kraken_setup.set_urls(client, kraken)
    markets = await asyncio.to_thread(client.load_markets)
    for instrument, symbol in expected.items():
        assert markets[instrument]["id"] == symbol, "orders"
        assert f"{ticks[instrument]:f}" == PAIRS[symbol]["tick_size"], "rules"
        streamed = load_feed("kraken").to_symbol(instrument)
        assert streamed.replace("BTC", "XBT").replace("DOGE", "XDG") == PAIRS[symbol]["wsname"]


async def test_market_that_is_streamed_under_another_name_is_left_out(kraken):
    answer = await read_rules(
        ListingJob("kraken", "kraken", kraken, ["ODD/USD", "BTC/USD", "LUNC/USD"])
    )
    assert [rules.instrument for rules in answer.rules] == ["BTC/USD"]
    assert "OTHER/USD" in answer.missing["ODD/USD"]
    assert "does not list" in answer.missing["LUNC/USD"]
