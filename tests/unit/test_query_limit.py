"""A venue that never answers a question about an order: given up in time, and not too early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.executor import transport
from services.executor.actions import Query, QueryAnswered, QueryFailed
from services.executor.paper import PaperGateway
from services.executor.transport import VenueRequests
from shared.accounts.gateway import OrderKey, OrderReport
from shared.clock import SystemClock
from shared.histogram import Histogram
from tests.decision_builders import SPOT, make_rules

if TYPE_CHECKING:
    import pytest

QUESTION = Query(OrderKey(venue="alpha", instrument=SPOT, client_order_id="order-1"))


async def no_wait() -> None:
    return None


class Slow(PaperGateway):
    """A venue that answers a question when it is let to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.was_given_up = False
        rules = {("alpha", SPOT): make_rules()}
        super().__init__("alpha", rules, SystemClock(), wait=no_wait)

    async def query(self, key: OrderKey) -> OrderReport | None:
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.was_given_up = True
            raise
        return await super().query(key)


def requests_to(venue: Slow) -> VenueRequests:
    return VenueRequests({"alpha": venue}, SystemClock(), Histogram(), timeout_s=0.02)


async def test_a_question_without_an_answer_is_given_up_and_leaves_the_order_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "QUERY_TIMEOUT_S", 0.1)
    venue = Slow()
    reply = await requests_to(venue).carry_out(QUESTION)
    assert reply == QueryFailed(QUESTION.key, "no answer in time")
    assert venue.was_given_up, "it would go on using up the venue's limit"


async def test_a_question_may_take_longer_than_a_request() -> None:
    """It waits for the rate limit: given up while it waits, it would have been for nothing."""
    venue = Slow()
    asking = asyncio.ensure_future(requests_to(venue).carry_out(QUESTION))
    done, _ = await asyncio.wait({asking}, timeout=0.1)
    assert not done, "five times the limit of other requests"
    venue.may_answer.set()
    assert await asking == QueryAnswered(QUESTION.key, None)
