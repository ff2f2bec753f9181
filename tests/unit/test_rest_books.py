"""The REST books that books are compared with: their paths, and what is read of answers."""

from __future__ import annotations

import pytest

from shared.errors import ParseError
from shared.venues.registry import EVERY, load_book_audit

AUDITED = [venue for venue in EVERY if load_book_audit(venue) is not None]

PATHS = {
    "binance": ("BTC/USDT", "/api/v3/depth?symbol=BTCUSDT&limit=100"),
    "binanceusdm": ("BTC/USDT:USDT", "/fapi/v1/depth?symbol=BTCUSDT&limit=100"),
    "kraken": ("BTC/USD", "/0/public/Depth?pair=XBTUSD&count=100"),
    "gateio": (
        "BTC/USDT",
        "/api/v4/spot/order_book?currency_pair=BTC_USDT&limit=100&with_id=true",
    ),
    "kucoin": ("BTC/USDT", "/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"),
    "bitstamp": ("BTC/USD", "/api/v2/order_book/btcusd/"),
    "okx": ("BTC/USDT", "/api/v5/market/books?instId=BTC-USDT&sz=100"),
    "bybit": ("BTC/USD:BTC", "/v5/market/orderbook?category=inverse&symbol=BTCUSD&limit=50"),
}
ANSWERS = {
    "binance": b'{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],'
    b'"asks":[["4.00000200","12.00000000"]]}',
    "binanceusdm": b'{"lastUpdateId":1027024,"E":1589436922972,"T":1589436922959,'
    b'"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}',
    "kraken": b'{"error":[],"result":{"XXBTZUSD":{"asks":[["4.00000200","12.000",1616663113]],'
    b'"bids":[["4.00000","431.000",1616663112]]}}}',
    "gateio": b'{"id":1027024,"current":1623898993123,"update":1623898993121,'
    b'"asks":[["4.000002","12"]],"bids":[["4.0","431"]]}',
    "kucoin": b'{"code":"200000","data":{"time":1550653727731,"sequence":"1027024",'
    b'"bids":[["4","431"]],"asks":[["4.000002","12"]]}}',
    "bitstamp": b'{"timestamp":"0","microtimestamp":"1027024","bids":[["4.0","431.00000000"]],'
    b'"asks":[["4.000002","12.00000000"]]}',
    "okx": b'{"code":"0","msg":"","data":[{"asks":[["4.000002","12","0","1"]],'
    b'"bids":[["4","431","0","4"]],"ts":"1629966436396","seqId":3235851742}]}',
    "bybit": b'{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSD","a":[["4.000002","12"]],'
    b'"b":[["4","431"]],"ts":1716863719031,"u":230704,"seq":1432604333,"cts":1716863718905},'
    b'"retExtInfo":{},"time":1716863719382}',
}
NUMBERED = {"binance", "binanceusdm", "gateio", "kucoin", "bitstamp"}
"""Whose number is one that their streams carry."""


@pytest.mark.parametrize("venue", AUDITED)
def test_it_is_asked_for_as_the_venue_documents(venue):
    instrument, path = PATHS[venue]
    assert load_book_audit(venue).path(instrument) == path


@pytest.mark.parametrize("venue", AUDITED)
def test_a_documented_answer_is_read(venue):
    bids, asks, seq = load_book_audit(venue).read(ANSWERS[venue])
    assert list(bids) == [(4.0, 431.0)]
    assert list(asks) == [(4.000002, 12.0)]
    assert seq == (1_027_024 if venue in NUMBERED else None)
    assert load_book_audit(venue).is_numbered is (venue in NUMBERED)


@pytest.mark.parametrize("venue", AUDITED)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html>",
        b'{"bids":[["4","-1"]],"asks":[]}',
        b'{"error":["EQuery:Unknown asset pair"],"result":{}}',
        b'{"retCode":10001,"retMsg":"params error","result":{}}',
        b'{"code":-1121,"msg":"Invalid symbol."}',
    ],
)
def test_anything_else_is_no_book(venue, body):
    with pytest.raises(ParseError):
        load_book_audit(venue).read(body)
