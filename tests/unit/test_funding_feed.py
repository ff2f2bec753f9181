"""Funding of USDT-M as the ingestor tells it: terms and settlements by REST, rates live."""

from __future__ import annotations

import json

import pytest

from shared.messages.market import Funding, FundingSettled
from shared.venues.binanceusdm.feed import DIALECT, FEED
from shared.venues.funding import (
    AGAIN_NS,
    ATTEMPTS_MAX,
    HISTORY,
    HOUR_NS,
    REPEAT_NS,
    SETTLED_AFTER_NS,
    TERMS,
    TERMS_NS,
    TERMS_VALID_NS,
    FundingFeed,
)
from shared.venues.port import Emit, FeedKind, FetchFacts, Malformed

S = 1_000_000_000
NAME = "BTC/USDT:USDT"
T8 = 1_680_652_800_000  # 2023-04-05 00:00 UTC
INTERVAL_MS = 8 * 3_600_000


def row(at_ms: int, rate: str = "0.00002760", symbol: str = "BTCUSDT", **more) -> dict:
    return {"symbol": symbol, "fundingTime": at_ms, "fundingRate": rate, "markPrice": "1.5", **more}


class Feed:
    """What a connection knows of funding, asked and answered."""

    def __init__(self) -> None:
        assert DIALECT.funding is not None
        self.session = FundingFeed("binanceusdm", {"BTCUSDT": NAME}, DIALECT.funding)
        self.session.open()

    def asked(self, now_ns: int) -> list[str]:
        return [e.topic for e in self.session.on_timer(now_ns) if isinstance(e, FetchFacts)]

    def published(self, now_ns: int, kind: type = FundingSettled) -> list:
        effects = self.session.on_timer(now_ns)
        return [e.message for e in effects if isinstance(e, Emit) and type(e.message) is kind]

    def give(self, topic: str, body: object, now_ns: int) -> list:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return list(self.session.on_facts(topic, raw, now_ns))

    def mark(self, now_ns: int, next_ms: int = T8) -> Funding:
        data = {
            "e": "markPriceUpdate",
            "E": T8 - 1000,
            "s": "BTCUSDT",
            "p": "2",
            "P": "2",
            "i": "3",
        }
        data |= {"r": "0.00002754", "T": next_ms}
        frame = {"stream": "btcusdt@markPrice@1s", "data": data}
        raw = json.dumps(frame, separators=(",", ":")).encode()
        return self.session.on_mark(raw, now_ns)[-1].message


@pytest.fixture
def feed() -> Feed:
    return Feed()


def test_terms_and_history_are_asked_for_once(feed: Feed) -> None:
    effects = [e for e in feed.session.on_timer(S) if isinstance(e, FetchFacts)]
    assert [(e.topic, e.path) for e in effects] == [
        (TERMS, "/fapi/v1/fundingInfo"),
        (HISTORY + NAME, "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=30"),
    ]
    assert feed.asked(2 * S) == []


def test_a_connection_of_funding_asks_and_hands_on_what_is_answered() -> None:
    (link,) = FEED.extra_connections("binanceusdm", FeedKind.FUNDING, [NAME])
    link.session.on_open(S)
    asked = [e for e in link.session.on_timer(S) if isinstance(e, FetchFacts)]
    assert [e.topic for e in asked] == [TERMS, HISTORY + NAME]
    assert len(link.session.on_facts(HISTORY + NAME, json.dumps([row(T8)]).encode(), 2 * S)) == 1
    link.session.on_facts_failed(TERMS, 0.0, 2 * S)
    link.session.on_open(3 * S)
    asked = [e for e in link.session.on_timer(3 * S) if isinstance(e, FetchFacts)]
    assert len(asked) == 2, "answers to the connection before came to nobody"


def test_terms_are_unknown_until_they_are_told(feed: Feed) -> None:
    first = feed.mark(S)
    assert first.interval_ns is first.rate_cap is first.rate_floor is None
    terms = {"symbol": "BTCUSDT", "adjustedFundingRateCap": "0.003", "fundingIntervalHours": 4}
    feed.give(TERMS, [{**terms, "adjustedFundingRateFloor": "-0.0025"}], 2 * S)
    told = feed.mark(3 * S)
    assert (told.interval_ns, told.rate_cap, told.rate_floor) == (4 * HOUR_NS, 0.003, -0.0025)


def test_what_is_not_among_those_that_differ_has_eight_hours_and_no_known_cap(feed: Feed) -> None:
    feed.give(TERMS, [{"symbol": "ETHUSDT", "fundingIntervalHours": 1}], S)
    told = feed.mark(2 * S)
    assert (told.interval_ns, told.rate_cap, told.rate_floor) == (8 * HOUR_NS, None, None)


def test_terms_are_read_again_and_not_believed_for_ever(feed: Feed) -> None:
    assert TERMS in feed.asked(S)
    feed.give(TERMS, [], S)
    assert TERMS in feed.asked(S + TERMS_NS)
    feed.session.on_facts_failed(TERMS, 60.0, S + TERMS_NS)
    assert TERMS not in feed.asked(S + TERMS_NS + AGAIN_NS)
    assert TERMS in feed.asked(S + TERMS_NS + 60 * S)
    assert feed.mark(S + TERMS_VALID_NS).interval_ns == 8 * HOUR_NS
    assert feed.mark(S + TERMS_VALID_NS + 1).interval_ns is None


@pytest.mark.parametrize("body", [b"", b"{}", b'[{"symbol":1}]', b'{"code":-1003,"msg":"x"}'])
def test_an_answer_that_is_none_is_asked_for_again(feed: Feed, body: bytes) -> None:
    feed.asked(S)
    for topic in (TERMS, HISTORY + NAME):
        (bad,) = feed.give(topic, body, 2 * S)
        assert isinstance(bad, Malformed)
    assert feed.asked(2 * S) == []
    assert feed.asked(2 * S + AGAIN_NS) == [TERMS, HISTORY + NAME]


def test_settlements_are_said_once_with_what_passed_between_them(feed: Feed) -> None:
    rows = [row(T8 + 7), row(T8 - INTERVAL_MS, "-0.0001", markPrice=""), row(T8, symbol="X")]
    first, second = (e.message for e in feed.give(HISTORY + NAME, rows, 5 * S))
    assert (first.rate, first.mark_price, first.interval_ns) == (-0.0001, None, None)
    assert (second.rate, second.mark_price) == (2.76e-5, 1.5)
    assert second.interval_ns == 8 * HOUR_NS, "rounded: stamps jitter"
    assert second.ts_funding_ns == (T8 + 7) * 1_000_000
    again = feed.give(HISTORY + NAME, [row(T8 + 7), row(T8 + INTERVAL_MS)], 6 * S)
    assert [e.message.ts_funding_ns for e in again] == [(T8 + INTERVAL_MS) * 1_000_000]


def test_settlements_are_repeated_for_late_readers(feed: Feed) -> None:
    feed.session.on_timer(S)
    feed.give(HISTORY + NAME, [row(T8)], 2 * S)
    assert len(feed.published(S + REPEAT_NS)) == 1
    assert feed.published(S + REPEAT_NS + 1) == []


def test_a_settlement_is_asked_for_until_the_venue_has_it(feed: Feed) -> None:
    feed.asked(S)
    feed.give(HISTORY + NAME, [row(T8 - INTERVAL_MS)], S)
    feed.mark(10 * S, T8)
    now_ns = 20 * S
    rolled = feed.mark(now_ns, T8 + INTERVAL_MS)
    assert rolled.ts_funding_ns == (T8 + INTERVAL_MS) * 1_000_000
    assert HISTORY + NAME not in feed.asked(now_ns + SETTLED_AFTER_NS - 1)
    now_ns += SETTLED_AFTER_NS
    assert HISTORY + NAME in feed.asked(now_ns)
    assert feed.give(HISTORY + NAME, [row(T8 - INTERVAL_MS)], now_ns) == []
    now_ns += AGAIN_NS
    assert HISTORY + NAME in feed.asked(now_ns)
    assert len(feed.give(HISTORY + NAME, [row(T8 + 12)], now_ns)) == 1
    assert HISTORY + NAME not in feed.asked(now_ns + 10 * AGAIN_NS)


def test_a_settlement_that_never_comes_is_given_up(feed: Feed) -> None:
    feed.asked(S)
    feed.give(HISTORY + NAME, [], S)
    feed.mark(10 * S, T8)
    feed.mark(20 * S, T8 + INTERVAL_MS)
    now_ns, count = 20 * S + SETTLED_AFTER_NS, 0
    while HISTORY + NAME in feed.asked(now_ns):
        count += 1
        feed.give(HISTORY + NAME, [], now_ns)
        now_ns += AGAIN_NS
    assert count == ATTEMPTS_MAX + 1


def test_an_interval_that_changes_while_one_holds_is_what_the_venue_says_next(feed: Feed) -> None:
    feed.give(TERMS, [], S)
    feed.mark(2 * S, T8)
    assert feed.mark(3 * S, T8 + 3_600_000).interval_ns == HOUR_NS
    feed.asked(3 * S + SETTLED_AFTER_NS)
    feed.give(TERMS, [{"symbol": "BTCUSDT", "fundingIntervalHours": 2}], 9 * S)
    assert feed.mark(10 * S, T8 + 3_600_000).interval_ns == 2 * HOUR_NS
