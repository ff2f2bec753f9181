"""What a venue's refusal means: no, not done, or nobody knows."""

from __future__ import annotations

import pytest

from services.executor.accounts import load_quirks
from shared.errors import OutcomeUnknown, Rejected, Unavailable
from shared.ratelimit import TokenBucket


def code(number: int, text: str = "x") -> str:
    return f'{{"code":{number},"msg":"{text}"}}'


def kraken(*errors: str) -> str:
    listed = ",".join(f'"{error}"' for error in errors)
    return f'{{"error":[{listed}]}}'


@pytest.mark.parametrize(
    "venue, kind, text, meaning",
    [
        ("binance", "InsufficientFunds", code(-2010, "insufficient balance"), Rejected),
        ("binance", "InvalidOrder", code(-1013), Rejected),
        ("binance", "AuthenticationError", code(-2015), Rejected),
        ("binance", "InvalidOrder", code(-2010, "Duplicate order sent."), OutcomeUnknown),
        ("binance", "InvalidNonce", code(-1021), Unavailable),
        ("binance", "RateLimitExceeded", code(-1015), Unavailable),
        ("binance", "OperationFailed", code(-1008), Unavailable),
        ("binance", "DDoSProtection", "418 I'm a teapot", Unavailable),
        ("binance", "RequestTimeout", code(-1007), OutcomeUnknown),
        ("binance", "OperationFailed", code(-1000), OutcomeUnknown),
        ("binance", "ExchangeNotAvailable", "<html>503</html>", OutcomeUnknown),
        ("binance", "ExchangeError", code(-9999), OutcomeUnknown),
        ("binance", "RequestTimeout", "", OutcomeUnknown),
        ("binanceusdm", "InsufficientFunds", code(-2019), Rejected),
        ("binanceusdm", "InvalidOrder", code(-4164), Rejected),
        ("binanceusdm", "InvalidOrder", code(-4116), OutcomeUnknown),
        ("binanceusdm", "OperationFailed", code(-1008), Unavailable),
        ("kraken", "InsufficientFunds", kraken("EOrder:Insufficient funds"), Rejected),
        ("kraken", "ExchangeError", kraken("EGeneral:Invalid arguments:volume"), Rejected),
        ("kraken", "InvalidNonce", kraken("EAPI:Invalid nonce"), Unavailable),
        ("kraken", "DDoSProtection", kraken("EAPI:Rate limit exceeded"), Unavailable),
        ("kraken", "ExchangeNotAvailable", kraken("EService:Unavailable"), OutcomeUnknown),
        ("kraken", "ExchangeError", kraken("EOrder:Something new"), OutcomeUnknown),
        (
            "kraken",
            "ExchangeError",
            kraken("EOrder:Insufficient funds", "EGeneral:Internal error"),
            OutcomeUnknown,
        ),
        ("kraken", "ExchangeNotAvailable", "520", OutcomeUnknown),
    ],
)
def test_unlisted_is_unknown_and_listed_is_what_it_says(venue, kind, text, meaning) -> None:
    assert load_quirks(venue).classify(kind, text) is meaning


def test_a_bucket_keeps_its_reserve_for_what_is_urgent() -> None:
    second = 1_000_000_000
    bucket = TokenBucket(per_s=2, burst=10, reserve=4, now_ns=0)
    assert [bucket.wait_s(2, 0) for _ in range(3)] == [0, 0, 0]
    assert bucket.wait_s(2, 0) == 1.0
    assert bucket.wait_s(4, 0, urgent=True) == 0
    assert bucket.wait_s(1, 0, urgent=True) == 0.5
    assert bucket.wait_s(1, second, urgent=True) == 0
    bucket.drain(second)
    assert bucket.wait_s(2, second, urgent=True) == 1.0
    assert bucket.wait_s(100, 60 * second) == 0, "more than the whole passes when it is full"
    assert bucket.wait_s(1, 60 * second, urgent=True) > 40
