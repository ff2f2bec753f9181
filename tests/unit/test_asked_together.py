"""Requests that wait for a venue's rate limit and leave as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from shared.errors import Cause, Rejected
from shared.venues.together import AskedTogether


class Venue:
    """Knows the ids that begin with an "o", and answers once it is let."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_send = asyncio.Event()
        self.error: Rejected | None = None

    async def read(self, what: str, request: Awaitable[Any]) -> Any:
        assert what == "query"
        try:
            await self.may_send.wait()
        except asyncio.CancelledError:
            request.close()
            raise
        return await request

    async def ask(self, ids: Sequence[str]) -> dict[str, str]:
        self.asked.append(list(ids))
        if self.error is not None:
            raise self.error
        if not all(name.startswith("o") for name in ids):
            raise Rejected("no such order", cause=Cause.ORDER)
        return {name: f"row of {name}" for name in ids}


async def begun(*requests: Awaitable[Any]) -> list[asyncio.Future[Any]]:
    tasks = [asyncio.ensure_future(request) for request in requests]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_waits_is_asked_for_in_one_request() -> None:
    venue = Venue()
    together = AskedTogether("query", venue.ask, 3)
    tasks = await begun(*(together.answer_for(venue.read, [f"o{n}"]) for n in range(5)))
    venue.may_send.set()
    answers = await asyncio.gather(*tasks)
    assert venue.asked == [["o0", "o1", "o2"], ["o3", "o4"]]
    assert [answer[f"o{n}"] for n, answer in enumerate(answers)] == [
        f"row of o{n}" for n in range(5)
    ]
    await together.answer_for(venue.read, ["o0"])
    assert venue.asked[2:] == [["o0"]], "an answer is never used again"


async def test_an_id_that_is_refused_hides_no_other() -> None:
    venue = Venue()
    together = AskedTogether("query", venue.ask, 50)
    good, bad = await begun(*(together.answer_for(venue.read, [name]) for name in ("o1", "x2")))
    venue.may_send.set()
    assert await good == {"o1": "row of o1"}
    with pytest.raises(Rejected, match="no such order"):
        await bad
    assert venue.asked == [["o1", "x2"], ["o1"], ["x2"]]


async def test_a_refused_account_is_not_asked_once_more_for_each() -> None:
    venue = Venue()
    venue.error = Rejected("invalid key", cause=Cause.KEY)
    together = AskedTogether("query", venue.ask, 50)
    tasks = await begun(*(together.answer_for(venue.read, [name]) for name in ("o1", "o2")))
    venue.may_send.set()
    for task in tasks:
        with pytest.raises(Rejected, match="invalid key"):
            await task
    assert venue.asked == [["o1", "o2"]]


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    venue = Venue()
    together = AskedTogether("query", venue.ask, 50)
    first, second = await begun(*(together.answer_for(venue.read, [n]) for n in ("o1", "o2")))
    first.cancel()
    await asyncio.wait({first})
    venue.may_send.set()
    assert (await second)["o2"] == "row of o2"


async def test_when_all_give_up_nothing_is_sent_and_the_next_begins_anew() -> None:
    venue = Venue()
    together = AskedTogether("query", venue.ask, 50)
    tasks = await begun(*(together.answer_for(venue.read, [name]) for name in ("o1", "o2")))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    venue.may_send.set()
    assert await together.answer_for(venue.read, ["o3"]) == {"o3": "row of o3"}
    assert venue.asked == [["o3"]]
