"""What a venue's refusal means: no, not done, or nobody knows."""

from __future__ import annotations

import pytest

from shared.accounts.venue_capabilities import load_quirks
from shared.errors import Cause, OutcomeUnknown, Rejected, Scope, Unavailable
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
        ("binance", "InvalidOrder", code(-2021), OutcomeUnknown),
        ("binance", "InvalidNonce", code(-1021), Unavailable),
        ("binance", "RateLimitExceeded", code(-1015), Unavailable),
        ("binance", "OperationFailed", code(-1008), Unavailable),
        ("binance", "DDoSProtection", "418 I'm a teapot", Unavailable),
        ("binance", "RequestTimeout", code(-1007), OutcomeUnknown),
        ("binance", "ExchangeError", code(-1006), OutcomeUnknown),
        ("binance", "OperationFailed", code(-1000), OutcomeUnknown),
        ("binance", "OperationFailed", code(-1001), OutcomeUnknown),
        ("binance", "ExchangeNotAvailable", "<html>503</html>", OutcomeUnknown),
        ("binance", "ExchangeError", code(-9999), Rejected),
        ("binance", "ExchangeError", code(-1101, "Duplicate values for a parameter"), Rejected),
        ("binance", "RequestTimeout", "", OutcomeUnknown),
        ("binanceusdm", "InsufficientFunds", code(-2019), Rejected),
        ("binanceusdm", "InvalidOrder", code(-4164), Rejected),
        ("binanceusdm", "InvalidOrder", code(-2021), Rejected),
        ("binanceusdm", "InvalidOrder", code(-4116), OutcomeUnknown),
        ("binanceusdm", "OperationFailed", code(-1008), Unavailable),
        ("binanceusdm", "OperationFailed", code(-1007), OutcomeUnknown),
        ("binanceusdm", "ExchangeError", code(-9999), Rejected),
        ("kraken", "InsufficientFunds", kraken("EOrder:Insufficient funds"), Rejected),
        ("kraken", "ExchangeError", kraken("EGeneral:Invalid arguments:volume"), Rejected),
        ("kraken", "InvalidNonce", kraken("EAPI:Invalid nonce"), Unavailable),
        ("kraken", "DDoSProtection", kraken("EAPI:Rate limit exceeded"), Unavailable),
        ("kraken", "ExchangeError", kraken("EOrder:Domain rate limit exceeded"), Unavailable),
        ("kraken", "ExchangeNotAvailable", kraken("EService:Unavailable"), OutcomeUnknown),
        ("kraken", "ExchangeError", kraken("EService:Timeout"), OutcomeUnknown),
        ("kraken", "ExchangeError", kraken("EService:Deadline elapsed"), OutcomeUnknown),
        ("kraken", "ExchangeError", kraken("EGeneral:Internal error:17"), OutcomeUnknown),
        ("kraken", "ExchangeError", kraken("EOrder:Something new"), Rejected),
        ("kraken", "ExchangeError", kraken("EOrder:Orders limit exceeded"), Rejected),
        ("kraken", "ExchangeError", "kraken " + kraken("EOrder:Something new"), Rejected),
        ("kraken", "ExchangeError", kraken("WGeneral:Something new"), OutcomeUnknown),
        (
            "kraken",
            "ExchangeError",
            kraken("EOrder:Insufficient funds", "EGeneral:Internal error"),
            OutcomeUnknown,
        ),
        ("kraken", "ExchangeNotAvailable", "520", OutcomeUnknown),
    ],
)
def test_a_refusal_is_a_no_unless_the_order_may_exist(venue, kind, text, meaning) -> None:
    assert load_quirks(venue).meaning(kind, text, 0).outcome is meaning


@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "kraken"])
@pytest.mark.parametrize(
    "status, meaning",
    [
        (200, OutcomeUnknown),
        (400, Rejected),
        (401, Rejected),
        (403, Unavailable),
        (404, Rejected),
        (408, OutcomeUnknown),
        (409, OutcomeUnknown),
        (418, Unavailable),
        (429, Unavailable),
        (451, Rejected),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (504, OutcomeUnknown),
        (520, OutcomeUnknown),
    ],
)
def test_an_answer_in_nobodys_words_goes_by_its_status(venue, status, meaning) -> None:
    told = load_quirks(venue).meaning("ExchangeError", "<html>a gateway's page</html>", status)
    assert told.outcome is meaning


@pytest.mark.parametrize(
    "venue, text",
    [
        ("binance", code(-2010)),
        ("binanceusdm", code(-4164)),
        ("kraken", kraken("EOrder:Invalid price")),
    ],
)
def test_a_no_with_a_server_error_is_unknown(venue, text) -> None:
    quirks = load_quirks(venue)
    assert quirks.meaning("ExchangeError", text, 503).outcome is OutcomeUnknown
    assert quirks.meaning("ExchangeError", text, 400).outcome is Rejected


def test_an_overload_documented_as_not_executed_is_so_with_any_status() -> None:
    for venue in ("binance", "binanceusdm"):
        told = load_quirks(venue).meaning("OperationFailed", code(-1008), 503)
        assert told.outcome is Unavailable
    assert load_quirks("binanceusdm").meaning("X", code(-1001), 503).outcome is Unavailable
    assert load_quirks("binance").meaning("X", code(-1001), 503).outcome is OutcomeUnknown


@pytest.mark.parametrize(
    "venue, text, cause, scope",
    [
        ("binance", code(-1013, "Filter failure: NOTIONAL"), Cause.ORDER, Scope.ORDER),
        (
            "binance",
            code(-2010, "Account has insufficient balance for requested action."),
            Cause.FUNDS,
            Scope.ORDER,
        ),
        ("binance", code(-2010, "Market is closed."), Cause.INSTRUMENT, Scope.INSTRUMENT),
        (
            "binance",
            code(-2010, "Order would immediately match and take."),
            Cause.WOULD_TAKE,
            Scope.ORDER,
        ),
        ("binanceusdm", code(-5022), Cause.WOULD_TAKE, Scope.ORDER),
        ("kraken", kraken("EOrder:Post only order"), Cause.WOULD_TAKE, Scope.ORDER),
        ("gateio", '{"label":"POC_FILL_IMMEDIATELY"}', Cause.WOULD_TAKE, Scope.ORDER),
        (
            "binance",
            code(-2010, "This account may not place or cancel orders."),
            Cause.ACCOUNT,
            Scope.VENUE,
        ),
        ("binance", code(-2015), Cause.KEY, Scope.VENUE),
        ("binance", code(-1022), Cause.KEY, Scope.VENUE),
        ("binance", code(-1021), Cause.CLOCK, Scope.VENUE),
        ("binance", code(-1015), Cause.RATE, Scope.VENUE),
        ("binanceusdm", code(-1008), Cause.SERVICE, Scope.VENUE),
        ("binanceusdm", code(-4061), Cause.ACCOUNT, Scope.VENUE),
        ("binanceusdm", code(-4400), Cause.ACCOUNT, Scope.VENUE),
        ("binanceusdm", code(-2019), Cause.FUNDS, Scope.ORDER),
        ("binanceusdm", code(-4014), Cause.ORDER, Scope.ORDER),
        ("kraken", kraken("EOrder:Insufficient funds"), Cause.FUNDS, Scope.ORDER),
        ("kraken", kraken("EOrder:Cost minimum not met"), Cause.ORDER, Scope.ORDER),
        (
            "kraken",
            kraken("EAccount:Invalid permissions:SOL trading restricted for XX."),
            Cause.INSTRUMENT,
            Scope.INSTRUMENT,
        ),
        ("kraken", kraken("EAccount:Invalid permissions"), Cause.ACCOUNT, Scope.VENUE),
        ("kraken", kraken("EGeneral:Permission denied"), Cause.KEY, Scope.VENUE),
        ("kraken", kraken("EAPI:Invalid nonce"), Cause.CLOCK, Scope.VENUE),
        ("kraken", kraken("EGeneral:Temporary lockout"), Cause.RATE, Scope.VENUE),
        (
            "kraken",
            kraken("EOrder:Invalid price", "EGeneral:Permission denied"),
            Cause.KEY,
            Scope.VENUE,
        ),
    ],
)
def test_a_refusal_says_whether_the_account_is_meant_or_one_order(
    venue, text, cause, scope
) -> None:
    told = load_quirks(venue).meaning("ExchangeError", text, 200)
    assert (told.cause, told.outcome("x", "", told.cause).scope) == (cause, scope)


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
