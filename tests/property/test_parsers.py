"""Bad bytes: parsers give ParseError and nothing else, sessions and readers never raise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.capture.items import LineError, parse_line
from shared.errors import ParseError
from shared.venues.binance import parse as binance_parse
from shared.venues.binanceusdm import parse as futures_parse
from shared.venues.bitstamp import parse as bitstamp_parse
from shared.venues.bybit import parse as bybit_parse
from shared.venues.coinbaseexchange import parse as coinbase_parse
from shared.venues.funding import HISTORY, TERMS
from shared.venues.gateio import parse as gate_parse
from shared.venues.kraken import parse as kraken_parse
from shared.venues.krakenfutures import parse as krakenfutures_parse
from shared.venues.kucoin import parse as kucoin_parse
from shared.venues.okx import parse as okx_parse
from shared.venues.registry import EVERY, load_feed, load_recordings, load_simulated

SAMPLES = (
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT",'
    b'"U":50,"u":52,"pu":49,"b":[["61730.17","0.0"]],"a":[["61837.64","1.54"]]}}',
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":3,"p":"6.6","q":"0.02",'
    b'"T":1,"m":true,"M":true}}',
    b'{"u":50,"s":"BTCUSDT","b":"61837.63","B":"3.7","a":"61837.64","A":"1.5"}',
    b'{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"2.7","P":"2.1","i":"2.6","r":"0.1","T":2}',
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1,"s":"BTCUSDT","a":3,"p":"6.6",'
    b'"q":"0.02","f":1,"l":2,"T":1,"m":true}}',
    b'[{"symbol":"BTCUSDT","adjustedFundingRateCap":"0.02","fundingIntervalHours":4}]',
    b'[{"symbol":"BTCUSDT","fundingTime":1680652800007,"fundingRate":"1e-4","markPrice":""}]',
    b'{"lastUpdateId":50,"bids":[["61837.63","3.78"]],"asks":[]}',
    b'{"code":2,"msg":"Invalid request","id":1}',
    b'{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{"changes":'
    b'{"asks":[["1.5","2","3"]],"bids":[]},"sequenceEnd":3,"sequenceStart":3,"symbol":"BTC-USDT"}}',
    b'{"event":"data","channel":"diff_order_book_btcusd","data":{"timestamp":"1641343691",'
    b'"microtimestamp":"1641343691406478","bids":[["1.5","0.0"]],"asks":[]}}',
    b'{"code":"200000","data":{"sequence":"3","bids":[["1","2"]],"asks":[]}}',
    b'{"type":"snapshot","product_id":"BAND-GBP","asks":[["14.8024","12.77"]],"bids":[["14.75","3.1"]],'
    b'"time":"2021-04-17T16:43:37.075687Z"}',
    b'{"type":"l2update","product_id":"SKL-BTC","changes":[["sell","0.00001306","660.5"]],'
    b'"time":"2021-04-17T16:43:37.075687Z"}',
    b'{"type":"match","trade_id":280232,"side":"sell","size":"985","price":"0.00001305",'
    b'"product_id":"SKL-BTC","sequence":177100030,"time":"2021-04-17T16:43:37.089723Z"}',
    b'{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"x"}',
    b'{"type":"subscriptions","channels":[{"name":"level2_batch","product_ids":["BTC-USD"]}]}',
    b'{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":3,"tickSize":null,'
    b'"bids":[{"price":34892.5,"qty":6385.0}],"asks":[{"price":34911.5,"qty":20598.0}]}',
    b'{"feed":"book","product_id":"PI_ETHUSD","side":"sell","seq":4,"price":2004.85,"qty":0.0,'
    b'"timestamp":1626994927744}',
    b'{"feed":"trade","product_id":"PI_LTCUSD","uid":"e2429e31","side":"buy","type":"fill","seq":5956,'
    b'"time":1626994929946,"qty":320.0,"price":119.44}',
    b'{"feed":"ticker","time":1680811086487,"product_id":"PI_XBTUSD","relative_funding_rate":2.18e-7,'
    b'"next_funding_rate_time":1680811200000,"index":28062.14,"markPrice":28064.92}',
    b'{"event":"error","message":"Invalid product id","product_ids":["PF_X"]}',
    b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["1.5","2",'
    b'"0","1"]],"bids":[],"ts":"1652459236119","checksum":-7,"seqId":3,"prevSeqId":-1}]}',
    b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"1",'
    b'"px":"42219.9","sz":"0.12","side":"buy","ts":"1630048897897","count":"3"}]}',
    b'{"id":"1","event":"error","code":"60018","msg":"no such channel","connId":"a4d3ae55"}',
    b'{"code":"0","msg":"","data":[{"asks":[["41006.8","0.6","0","1"]],"bids":[],"ts":"1"}]}',
    b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USDT","bids":[{"price":1.5,"qty":2}],'
    b'"asks":[],"checksum":974947235,"timestamp":"2023-10-06T17:35:55.440295Z"}]}',
    b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USDT","side":"sell","price":4136.4,'
    b'"qty":0.2,"ord_type":"limit","trade_id":4,"timestamp":"2023-09-25T07:48:36.925533Z"}]}',
    b'{"channel":"status","type":"update","data":[{"system":"online"}]}',
    b'{"method":"subscribe","req_id":1,"result":{"channel":"book","symbol":"BTC/USDT","depth":10},'
    b'"success":true}',
    b'{"time":1,"channel":"spot.order_book_update","event":"update","result":{"t":1619093532989,'
    b'"e":"depthUpdate","E":1,"s":"BTC_USDT","U":5,"u":9,"b":[["0.0447","0"]],"a":null}}',
    b'{"time":1,"channel":"spot.trades","event":"update","result":{"id":31,"create_time":1,'
    b'"create_time_ms":"1648725035923.0","side":"sell","currency_pair":"BTC_USDT","amount":"0.01",'
    b'"price":"130.11"}}',
    b'{"id":9,"current":2,"update":1,"asks":[["0.1","5"]],"bids":[["0.09","2"]]}',
    b'{"time":1,"id":1,"channel":"spot.order_book_update","event":"subscribe","error":{"code":2,'
    b'"message":"unknown currency pair"},"result":{"status":"fail"}}',
    b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1733011200691,"data":{"s":"BTCUSDT",'
    b'"b":[["1.9531","6203"]],"a":[["1.9535","1"]],"u":20254869,"seq":9},"cts":1733011200589}',
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"T":1672304486865,'
    b'"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","i":"20f4","BT":false}]}',
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","markPrice":"17217",'
    b'"indexPrice":"17227","nextFundingTime":"1673280000000","fundingRate":"-0.0002"},"ts":2}',
    b'{"success":false,"ret_msg":"error:handler not found","req_id":"1","op":"subscribe"}',
    b'{"retCode":0,"result":{"list":[{"symbol":"BTCUSDT","fundingInterval":480,'
    b'"upperFundingRate":"0.005","lowerFundingRate":""}]}}',
    b'{"retCode":0,"result":{"list":[{"symbol":"BTCUSDT","fundingRate":"0.0001",'
    b'"fundingRateTimestamp":"1672041600000"}]}}',
)
PARSERS = (
    binance_parse.parse_depth,
    binance_parse.parse_trade,
    binance_parse.parse_aggregate,
    binance_parse.parse_ticker,
    binance_parse.parse_rest_book,
    binance_parse.parse_envelope,
    futures_parse.parse_depth,
    futures_parse.parse_mark,
    futures_parse.parse_terms,
    futures_parse.parse_history,
    kraken_parse.parse_book,
    kraken_parse.parse_trades,
    kraken_parse.parse_status,
    kraken_parse.parse_envelope,
    gate_parse.parse_book,
    gate_parse.parse_trades,
    gate_parse.parse_rest_book,
    gate_parse.parse_envelope,
    bybit_parse.parse_book,
    bybit_parse.parse_trades,
    bybit_parse.parse_ticker,
    bybit_parse.parse_terms,
    bybit_parse.parse_history,
    bybit_parse.parse_envelope,
    bitstamp_parse.parse_book,
    bitstamp_parse.parse_trade,
    bitstamp_parse.parse_rest_book,
    bitstamp_parse.parse_envelope,
    kucoin_parse.parse_book,
    kucoin_parse.parse_trade,
    kucoin_parse.parse_quote,
    kucoin_parse.parse_rest_book,
    kucoin_parse.parse_bullet,
    kucoin_parse.parse_envelope,
    coinbase_parse.parse_snapshot,
    coinbase_parse.parse_update,
    coinbase_parse.parse_match,
    coinbase_parse.parse_heartbeat,
    coinbase_parse.parse_subscriptions,
    coinbase_parse.parse_envelope,
    krakenfutures_parse.parse_snapshot,
    krakenfutures_parse.parse_book,
    krakenfutures_parse.parse_trade,
    krakenfutures_parse.parse_trade_snapshot,
    krakenfutures_parse.parse_ticker,
    krakenfutures_parse.parse_envelope,
    okx_parse.parse_book,
    okx_parse.parse_trades,
    okx_parse.parse_envelope,
    okx_parse.parse_rest_book,
)
INSTRUMENTS = {name: load_simulated(name).LISTINGS[0].instrument for name in EVERY}


@st.composite
def damaged(draw) -> bytes:
    """A sample that was cut, spliced, or had bytes replaced or put in."""
    raw = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        kind = draw(st.sampled_from(["cut", "byte", "insert", "splice", "swap"]))
        if kind == "cut":
            raw = raw[:at]
        elif kind == "byte" and at < len(raw):
            raw[at] = draw(st.integers(0, 255))
        elif kind == "insert":
            piece = [
                b"null",
                b"-1",
                b"1e400",
                b'"nan"',
                b"[[[[",
                b"}",
                b"\xff\xfe",
                b'"',
                b"9" * 400,
            ]
            raw[at:at] = draw(st.sampled_from(piece))
        elif kind == "splice":
            raw[at:] = draw(st.sampled_from(SAMPLES))[at:]
        else:
            raw = raw.replace(b'":"', b'":', 1)
    return bytes(raw)


anything = st.one_of(damaged(), st.binary(max_size=200))


@given(raw=anything, parse=st.sampled_from(PARSERS))
@settings(max_examples=500, deadline=None)
def test_parsers_raise_parse_errors_only(raw, parse):
    try:
        parse(raw)
    except ParseError as error:
        assert str(error)


@pytest.mark.parametrize("adapter", EVERY)
@given(frames=st.lists(anything, max_size=5), bodies=st.lists(anything, max_size=2))
@settings(max_examples=150, deadline=None)
def test_sessions_never_raise(adapter, frames, bodies):
    instrument = INSTRUMENTS[adapter]
    feed = load_feed(adapter)
    connections = list(feed.connections(adapter, [instrument]))
    for kind in feed.extras:
        connections += feed.extra_connections(adapter, kind, [instrument])
    for connection in connections:
        session = connection.session
        session.on_open(1)
        for now_ns, raw in enumerate(frames, 2):
            session.on_frame(raw, now_ns)
        for now_ns, body in enumerate(bodies, 10):
            session.on_snapshot(instrument, body, now_ns)
            for topic in (TERMS, HISTORY + instrument):
                session.on_facts(topic, body, now_ns)
        session.on_timer(10**12)
        session.on_close(10**12)


@pytest.mark.parametrize("adapter", EVERY)
@given(raw=anything)
@settings(max_examples=150, deadline=None)
def test_recordings_never_raise(adapter, raw):
    reader = load_recordings(adapter)
    reader.venue_of_frame(raw)
    reader.role_of_frame(raw)
    reader.hint_of_frame(raw)
    reader.learn("https://x/exchangeInfo", raw)
    instrument = reader.instrument_of_frame(raw)
    if instrument is not None:
        reader.session(reader.venues[0], instrument).on_frame(raw, 1)


@given(
    line=st.one_of(st.binary(max_size=80), anything.map(lambda raw: b"1723161253937085768 " + raw))
)
@settings(max_examples=300, deadline=None)
def test_lines_raise_line_errors_only(line):
    try:
        parse_line(line)
    except LineError as error:
        assert str(error)


@pytest.mark.parametrize("parse", PARSERS)
def test_deep_nesting_is_a_parse_error_or_skipped(parse):
    for raw in (b"[" * 100_000, b'{"data":' * 50_000, b'{"x":' + b"[" * 100_000):
        with pytest.raises(ParseError):
            parse(raw)
