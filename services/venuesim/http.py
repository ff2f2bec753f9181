"""REST plumbing common to the simulated venues: faults of answers, and what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from services.venuesim.faults import Fault, FaultTable

ANSWER_FAULTS = ("http_429", "http_5xx", "ban")


@dataclass(frozen=True, slots=True)
class FaultAnswers:
    """How a venue answers when it is overloaded, has failed, or does not know what happened."""

    too_many: Callable[[int, int], web.Response]  # status, Retry-After in s
    failed: Callable[[int], web.Response]
    timeout: Callable[[], web.Response]


async def answer_with_faults(
    request: web.Request,
    faults: FaultTable,
    venue: str,
    answers: FaultAnswers,
    answer: Callable[[], Awaitable[web.Response]],
    *,
    is_order: bool,
) -> web.Response:
    """Answer a REST request unless a fault prevents or destroys the answer."""
    fault = faults.take(ANSWER_FAULTS, venue, path=request.path)
    if fault is not None:
        return await _faulty(fault, answers, answer)
    if not is_order:
        return await answer()
    response = await answer()
    lost = faults.take(("lose_answer",), venue) if response.status == 200 else None
    if lost is None:
        return response
    if lost.parameters["how"] == "timeout":
        return answers.timeout()
    assert request.transport is not None
    request.transport.abort()
    await asyncio.sleep(0)  # let the server notice before it tries to write
    return response


async def _faulty(
    fault: Fault, answers: FaultAnswers, answer: Callable[[], Awaitable[web.Response]]
) -> web.Response:
    if fault.kind == "http_5xx":
        if fault.parameters["executed"]:
            await answer()
        return answers.failed(int(fault.number("status")))
    status = 429 if fault.kind == "http_429" else 418
    return answers.too_many(status, int(fault.number("retry_after_s")))
