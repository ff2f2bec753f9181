"""Which recorded REST requests told of funding, and to whom."""

from __future__ import annotations

import pytest

from shared.venues.funding import HISTORY, TERMS
from shared.venues.registry import load_recordings

LINEAR = "https://fapi.binance.com"
BYBIT = "https://api.bybit.com/v5/market"


@pytest.mark.parametrize(
    ("adapter", "url", "topic"),
    [
        ("binanceusdm", f"{LINEAR}/fapi/v1/fundingInfo", TERMS),
        (
            "binanceusdm",
            f"{LINEAR}/fapi/v1/fundingRate?symbol=BTCUSDT&limit=30",
            f"{HISTORY}BTC/USDT:USDT",
        ),
        (
            "binanceusdm",
            f"{LINEAR}/fapi/v1/fundingRate?limit=1000&symbol=BTCUSDT",
            f"{HISTORY}BTC/USDT:USDT",
        ),
        ("binanceusdm", f"{LINEAR}/fapi/v1/fundingRate?symbol=BTCUSDT&startTime=1", None),
        ("binanceusdm", f"{LINEAR}/fapi/v1/fundingRate", None),
        ("binanceusdm", f"{LINEAR}/fapi/v1/depth?symbol=BTCUSDT&limit=1000", None),
        ("bybit", f"{BYBIT}/instruments-info?category=linear&limit=1000", TERMS),
        ("bybit", f"{BYBIT}/instruments-info?category=spot&limit=1000", None),
        (
            "bybit",
            f"{BYBIT}/funding/history?category=linear&symbol=BTCUSDT&limit=30",
            f"{HISTORY}BTC/USDT:USDT",
        ),
        (
            "bybit",
            f"{BYBIT}/funding/history?category=inverse&symbol=BTCUSD&limit=200",
            f"{HISTORY}BTC/USD:BTC",
        ),
        ("binance", "https://api.binance.com/fapi/v1/fundingInfo", None),
        ("kraken", "https://api.kraken.com/0/public/AssetPairs", None),
        ("gateio", "https://api.gateio.ws/api/v4/spot/currency_pairs", None),
    ],
)
def test_what_was_asked_is_found_by_the_url(adapter: str, url: str, topic: str | None) -> None:
    assert load_recordings(adapter).facts_of_url(url) == topic


@pytest.mark.parametrize(
    ("url", "venue"),
    [
        (f"{BYBIT}/funding/history?category=linear&symbol=BTCUSDT", "bybit"),
        (f"{BYBIT}/instruments-info?category=inverse", "bybit"),
        (f"{BYBIT}/instruments-info?category=option", None),
        (f"{BYBIT}/time", None),
        ("wss://stream.bybit.com/v5/public/linear", "bybit"),
        ("wss://stream.bybit.com/v5/public/spot", None),
        ("wss://stream.bybit.com/v5/trade", None),
    ],
)
def test_an_answer_of_bybit_is_told_by_its_category(url: str, venue: str | None) -> None:
    assert load_recordings("bybit").venue_of_url(url) == venue
