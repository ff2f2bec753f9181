"""Tasks end for certain, also where a cancellation is lost."""

from __future__ import annotations

import asyncio
import sys

import pytest

from shared import cancel
from shared.cancel import cancel_and_wait, reap


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "AGAIN_S", 0.02)


async def waiting_for(answers: list[asyncio.Future[None]]) -> None:
    """Ask without end, as whoever follows a stream does; each answer is waited for with a limit."""
    while True:
        answers.append(asyncio.get_running_loop().create_future())
        await asyncio.wait_for(answers[-1], 60)


async def test_an_answer_that_comes_with_the_cancellation_does_not_keep_a_task_alive() -> None:
    answers: list[asyncio.Future[None]] = []
    task = asyncio.create_task(waiting_for(answers))
    await asyncio.sleep(0.01)
    answers[-1].set_result(None)
    async with asyncio.timeout(10):
        await cancel_and_wait([task])  # in the same turn: Python 3.11 loses it
    assert task.cancelled()


async def test_a_task_that_survives_its_first_cancellation_is_canceled_again() -> None:
    survived: list[int] = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if len(survived) == 2:
                    raise
                survived.append(1)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        await cancel_and_wait([task])
    assert (len(survived), task.cancelled()) == (2, True)


async def test_what_a_task_raised_stays_with_it_and_one_that_ended_is_left_alone() -> None:
    async def fails() -> None:
        raise ValueError("why")

    ended = asyncio.create_task(fails())
    await asyncio.wait([ended])
    await cancel_and_wait([ended])
    with pytest.raises(ValueError, match="why"):
        ended.result()


async def test_a_killed_child_is_waited_for_however_often_that_is_canceled() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read()", stdin=asyncio.subprocess.PIPE
    )
    waiting = asyncio.create_task(reap(child))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    child.kill()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert child.returncode is not None
