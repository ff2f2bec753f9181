"""The table of injected faults."""

from __future__ import annotations

import pytest

from shared.simulated.faults import FaultError, FaultTable


def table() -> FaultTable:
    return FaultTable({"binance": ("BTC/USDT", "ETH/USDT"), "kraken": ("BTC/USDT",)})


def test_fault_happens_as_often_as_asked_and_only_where_asked() -> None:
    faults = table()
    faults.inject({"kind": "drop", "venue": "binance", "instrument": "BTC/USDT", "count": 2}, 0)
    assert faults.take(("drop",), "binance", "ETH/USDT") is None
    assert faults.take(("drop",), "kraken", "BTC/USDT") is None
    assert faults.take(("reorder",), "binance", "BTC/USDT") is None
    assert faults.take(("drop",), "binance", "BTC/USDT") is not None
    assert faults.take(("drop",), "binance", "BTC/USDT") is not None
    assert faults.take(("drop",), "binance", "BTC/USDT") is None
    assert faults.happened == {"drop": 2}


def test_fault_of_answers_may_name_a_path() -> None:
    faults = table()
    faults.inject({"kind": "http_429", "venue": "binance", "path": "/depth"}, 0)
    assert faults.take(("http_429",), "binance", path="/api/v3/time") is None
    assert faults.take(("http_429",), "binance", path="/api/v3/depth") is not None


def test_stall_ends_by_itself_and_skew_stays() -> None:
    faults = table()
    faults.inject({"kind": "stall", "venue": "binance", "ms": 100}, 1_000)
    assert faults.is_stalled("binance", "BTC/USDT", 1_099)
    assert not faults.is_stalled("kraken", "BTC/USDT", 1_099)
    assert not faults.is_stalled("binance", "BTC/USDT", 1_100)
    faults.inject({"kind": "clock_skew", "venue": "kraken", "ms": -3000}, 0)
    assert faults.skew_ms == {"kraken": -3000}
    faults.clear()
    assert faults.skew_ms == {}


def test_faults_of_one_venue_are_cleared_and_the_others_stay() -> None:
    faults = table()
    for venue in ("binance", "kraken"):
        faults.inject({"kind": "drop", "venue": venue}, 0)
        faults.inject({"kind": "stall", "venue": venue}, 0)
        faults.inject({"kind": "clock_skew", "venue": venue, "ms": 9}, 0)
    faults.clear("kraken")
    assert [fault.venue for fault in faults.waiting] == ["binance"]
    assert faults.skew_ms == {"binance": 9}
    assert faults.is_stalled("binance", "BTC/USDT", 1)
    assert not faults.is_stalled("kraken", "BTC/USDT", 1)


def test_faults_are_counted_by_venue_too() -> None:
    faults = table()
    for venue in ("binance", "kraken", "kraken"):
        faults.inject({"kind": "drop", "venue": venue}, 0)
        assert faults.take(("drop",), venue, "BTC/USDT") is not None
    assert faults.happened == {"drop": 3}
    assert faults.happened_at == {("drop", "binance"): 1, ("drop", "kraken"): 2}


def test_stall_of_one_instrument_leaves_the_others() -> None:
    faults = table()
    faults.inject({"kind": "stall", "venue": "binance", "instrument": "BTC/USDT", "ms": 9}, 0)
    assert faults.is_stalled("binance", "BTC/USDT", 1)
    assert not faults.is_stalled("binance", "ETH/USDT", 1)
    assert not faults.is_stalled("binance", "", 1)


@pytest.mark.parametrize(
    ("request_", "right"),
    [
        ([], "JSON object"),
        ({"kind": "explode", "venue": "binance"}, "one of drop"),
        ({"kind": "close", "venue": "kraken", "code": 200}, "1000 to 4999"),
        ({"kind": "drop", "venue": "mtgox"}, "one of binance, kraken"),
        ({"kind": "drop", "venue": "kraken", "instrument": "ETH/USDT"}, "one of BTC/USDT"),
        ({"kind": "drop", "venue": "kraken", "count": 0}, "from 1"),
        ({"kind": "drop", "venue": "kraken", "ms": 5}, "takes: none"),
        ({"kind": "delay", "venue": "kraken", "ms": "5"}, "a number"),
        ({"kind": "partial_fill", "venue": "kraken", "fraction": 1}, "below 1"),
        ({"kind": "lose_answer", "venue": "kraken", "how": "rudely"}, "close or timeout"),
        ({"kind": "http_5xx", "venue": "kraken", "status": 404}, "500 to 599"),
        ({"kind": "http_5xx", "venue": "kraken", "executed": 1}, "true or false"),
    ],
)
def test_bad_request_is_told_what_would_be_right(request_: object, right: str) -> None:
    with pytest.raises(FaultError, match=right):
        table().inject(request_, 0)
