"""Requests to venues: each is counted by venue, kind and result, with the time it took."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import get_args

from services.executor.actions import (
    Cancel,
    Fetch,
    FetchBalances,
    Query,
    SetSwitch,
    Submit,
)
from services.executor.paper import PaperGateway
from services.executor.request_counts import KINDS, RequestCounts
from services.executor.transport import VenueRequests
from shared.accounts.gateway import OrderKey, OrderReport, OrderRequest
from shared.clock import SystemClock
from shared.errors import OutcomeUnknown, Rejected, Unavailable, VenueError
from shared.histogram import Histogram
from shared.observe import Observer
from shared.ratelimit import TokenBucket
from tests.decision_builders import SPOT, make_rules, make_terms

KEY = OrderKey(venue="alpha", instrument=SPOT, client_order_id="o1")
SUBMIT = Submit(
    OrderRequest(
        client_order_id="o1", terms=make_terms(qty=Decimal("0.1"), price_limit=Decimal(1))
    ),
    0,
)
S = 1_000_000_000


async def no_wait(_: float) -> None:
    """Answer at once."""


class Failing(PaperGateway):
    """Answers everything with one error."""

    def __init__(self, error: VenueError) -> None:
        super().__init__("alpha", {("alpha", SPOT): make_rules()}, SystemClock(), wait=no_wait)
        self._error = error

    async def submit(self, order: OrderRequest) -> OrderReport:
        raise self._error

    async def query(self, key: OrderKey) -> OrderReport | None:
        raise self._error

    async def cancel(self, key: OrderKey) -> None:
        raise self._error


def counting(gateway: PaperGateway) -> tuple[VenueRequests, Observer]:
    observer = Observer("executor", "e1")
    counts = RequestCounts(observer)
    clock = SystemClock()
    made = VenueRequests({"alpha": gateway}, clock, Histogram(), timeout_s=5, counts=counts)
    return made, observer


async def test_every_result_of_a_request_is_told_apart() -> None:
    found: Sequence[tuple[VenueError, str]] = (
        (Rejected("no", "X"), "refused"),
        (Unavailable("down"), "not_sent"),
        (OutcomeUnknown("lost"), "lost"),
    )
    for error, result in found:
        requests, observer = counting(Failing(error))
        await requests.carry_out(SUBMIT)
        await requests.carry_out(Query(KEY))
        await requests.carry_out(Cancel(KEY))
        assert observer.counters == {
            f"request/alpha/submit/{result}": 1,
            "request/alpha/query/failed": 1,
            "request/alpha/cancel/failed": 1,
        }


async def test_what_is_answered_is_counted_with_its_time() -> None:
    gateway = PaperGateway("alpha", {("alpha", SPOT): make_rules()}, SystemClock(), wait=no_wait)
    requests, observer = counting(gateway)
    await requests.carry_out(FetchBalances("alpha", (SPOT,)))
    await requests.carry_out(SetSwitch("alpha", (SPOT,), 30, 0))
    assert observer.counters == {
        "request/alpha/balances/answered": 1,
        "request/alpha/switch/answered": 1,
    }
    assert sum(observer.latencies["request/alpha"].buckets.values()) == 2
    assert gateway.budget_used() is None, "nothing is sent to the venue"


def test_every_action_that_is_a_request_has_a_kind() -> None:
    assert set(get_args(Fetch)) | {Submit, Query, Cancel, SetSwitch} == set(KINDS)


def test_the_used_part_of_a_rate_limit_falls_as_it_refills() -> None:
    bucket = TokenBucket(per_s=1, burst=10, reserve=0, now_ns=0)
    assert bucket.used_ratio(0) == 0
    assert bucket.wait_s(5, 0) == 0
    assert bucket.used_ratio(0) == 0.5
    assert bucket.used_ratio(S) == 0.4
    bucket.wait_s(20, 10 * S)
    assert bucket.used_ratio(10 * S) == 1, "in debt it is used up, not more"


def test_gauges_that_are_read_are_those_of_the_moment() -> None:
    observer = Observer("executor", "e1")
    observer.gauge("set", 1.0)
    observer.read_gauges("budget", lambda: {"budget": 0.5})
    observer.read_gauges("budget", lambda: {"budget": 0.25})
    assert observer.heartbeat(1).gauges == {"set": 1.0, "budget": 0.25}
