"""Sources that are asked over REST: what an answer is worth, and when they are asked again."""

from __future__ import annotations

import re

import pytest

from shared.errors import ConfigError, NotServed, ParseError
from shared.messages.market import BookSnapshot
from shared.sources.coingecko import CoinGeckoPrice
from shared.sources.polling import HttpAnswer, Polling
from shared.sources.venue_books import PolledBook

NOW_NS = 1_711_356_400_000_000_000
GOOD = b'{"bitcoin":{"usd":67187.3358936566,"last_updated_at":1711356300}}'
LIMITED = (
    b'{"status":{"error_code":429,"error_message":"You\'ve exceeded the Rate Limit. Please visit '
    b"https://www.coingecko.com/en/api/pricing to subscribe to our API plans for higher rate "
    b'limits."}}'
)
"""As CoinGecko documents its answers."""


def longest(low: float, high: float) -> float:
    return high


@pytest.fixture
def polling() -> Polling:
    return Polling(CoinGeckoPrice("BTC/USD"), 5.0, longest)


def test_a_good_answer_is_its_price_and_the_next_comes_at_the_interval(polling) -> None:
    verdict = polling.judge(HttpAnswer(200, GOOD), NOW_NS)
    assert (verdict.problem, verdict.next_s) == ("", 5.0)
    price = verdict.message
    assert (price.venue, price.instrument, price.price) == (
        "coingecko",
        "BTC/USD",
        67187.3358936566,
    )
    assert (price.ts_recv_ns, price.ts_venue_ns) == (NOW_NS, 1_711_356_300_000_000_000)


@pytest.mark.parametrize(
    ("status", "after", "next_s"),
    [
        (429, "37", 37.0),
        (429, None, 10.0),
        (418, None, 120.0),
        (503, "90", 90.0),
        (429, "1", 5.0),  # never sooner than the interval
        (429, "-20", 5.0),
        (429, "99999999", 3 * 24 * 3600.0),
        (429, "soon", 10.0),
    ],
)
def test_who_is_told_to_stay_away_does(polling, status, after, next_s) -> None:
    verdict = polling.judge(HttpAnswer(status, LIMITED, after), NOW_NS)
    assert verdict.message is None
    assert verdict.next_s == next_s
    assert verdict.problem.startswith(f"answered {status}: ")
    assert "exceeded the Rate Limit" in verdict.problem


def test_pauses_grow_while_it_fails_and_start_over_after_a_good_answer(polling) -> None:
    bad = HttpAnswer(502, b"<html>\n Bad\x00 gateway </html>")
    pauses = [polling.judge(bad, NOW_NS).next_s for _ in range(9)]
    assert pauses == [5.0, 5.0, 5.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert polling.judge(bad, NOW_NS).problem == "answered 502: <html> Bad gateway </html>"
    polling.judge(HttpAnswer(200, GOOD), NOW_NS)
    assert polling.judge(HttpAnswer(0, error="no answer within 3 s"), NOW_NS).next_s == 5.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"bitcoin":7}',
        b'{"bitcoin":{"usd":"67187"}}',
        b'{"bitcoin":{"usd":null}}',
        b'{"bitcoin":{"usd":0}}',
        b'{"bitcoin":{"usd":-1.5}}',
        b'{"bitcoin":{"usd":1e300}}',
        b'{"bitcoin":{"usd":5.0,"last_updated_at":-1}}',
        b'{"bitcoin":{"usd":5.0,"last_updated_at":1.5}}',
        b'{"bitcoin":{"usd":5.0' + b"[" * 5_000,
    ],
)
def test_what_is_no_price_is_a_problem_and_no_price(polling, body) -> None:
    with pytest.raises(ParseError):
        CoinGeckoPrice("BTC/USD").read(body, NOW_NS)
    verdict = polling.judge(HttpAnswer(200, body), NOW_NS)
    assert verdict.message is None
    assert verdict.problem.startswith("answered what cannot be read: simple/price")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (HttpAnswer(200, b"{}"), "coingecko has no coin 'bitcoin'"),
        (HttpAnswer(200, b'{"bitcoin":{}}'), "coingecko gives no prices in USD"),
        (
            HttpAnswer(404, b"no such\npair"),
            "does not serve BTC/USD: it answered 404: no such pair",
        ),
    ],
)
def test_what_a_source_does_not_have_is_not_asked_for_again(polling, answer, text) -> None:
    with pytest.raises(NotServed, match=re.escape(text)):
        polling.judge(answer, NOW_NS)


def test_a_coin_is_named_by_its_symbol_or_its_id() -> None:
    by_symbol, by_id = CoinGeckoPrice("BTC/USD"), CoinGeckoPrice("shiba-inu/eur", "http://x/")
    assert by_symbol.url == (
        "https://api.coingecko.com/api/v3/simple/price?ids=bitcoin&vs_currencies=usd"
        "&include_last_updated_at=true&precision=full"
    )
    assert by_id.url.startswith("http://x/api/v3/simple/price?ids=shiba-inu&vs_currencies=eur&")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PEPE/USD", "which coin is PEPE?"),
        ("BTC", "name a coin and a currency, like BTC/USD"),
        ("a&b/usd", "name a coin and a currency"),
        ("/usd", "name a coin and a currency"),
    ],
)
def test_a_coin_that_is_not_known_is_refused(name, text) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        CoinGeckoPrice(name)


def test_a_polled_book_is_whole_and_says_what_is_not_known() -> None:
    polled = PolledBook("kraken", "BTC/USDT")
    body = b'{"error":[],"result":{"XBTUSDT":{"bids":[["9.5","2",1]],"asks":[["10.5","1",1]]}}}'
    first, second = (polled.read(body, NOW_NS + n) for n in range(2))
    assert isinstance(first, BookSnapshot)
    assert (first.bids, first.asks) == ([(9.5, 2.0)], [(10.5, 1.0)])
    assert (first.seq, second.seq) == (1, 2)
    assert second.epoch > first.epoch
    assert "not known" in first.unproved


@pytest.mark.parametrize(
    ("source", "instrument", "url", "text"),
    [
        ("nowhere", "BTC/USDT", "", "no venue adapter 'nowhere'"),
        ("krakenfutures", "BTC/USD:BTC", "", "no REST book of krakenfutures is known here; there"),
        ("kraken", "btc", "", "kraken: instrument 'btc' is not BASE/QUOTE"),
        ("kraken", "BTC/USDT", "kraken.com", "address 'kraken.com' of a source; give http://"),
    ],
)
def test_a_book_that_cannot_be_asked_for_is_refused(source, instrument, url, text) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        PolledBook(source, instrument, url)
