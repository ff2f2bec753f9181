"""Turns: one at a time, in order of arrival, and never lost by who gives up waiting."""

from __future__ import annotations

import asyncio

import pytest

from shared.turns import Turns


async def test_a_free_turn_is_taken_at_once() -> None:
    turns = Turns()
    assert turns.try_take()
    assert not turns.try_take()
    turns.give()
    async with turns:
        assert turns.is_taken
    assert not turns.is_taken


async def test_turns_go_to_those_who_wait_in_their_order() -> None:
    turns, order = Turns(), []

    async def work(name: str) -> None:
        async with turns:
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    assert turns.try_take()
    tasks = [asyncio.create_task(work(name)) for name in "abc"]
    await asyncio.sleep(0)
    turns.give()
    assert not turns.try_take(), "it was handed over, nobody comes between"
    await asyncio.gather(*tasks)
    assert order == list("aabbcc")
    assert not turns.is_taken


async def test_who_is_canceled_while_waiting_is_passed_over() -> None:
    turns = Turns()
    assert turns.try_take()
    first, second = (asyncio.create_task(turns.take()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    turns.give()
    await asyncio.wait_for(second, 30)
    turns.give()
    assert not turns.is_taken


async def test_who_is_canceled_just_after_getting_the_turn_hands_it_on() -> None:
    turns = Turns()
    assert turns.try_take()
    first, second = (asyncio.create_task(turns.take()) for _ in range(2))
    await asyncio.sleep(0)
    turns.give()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 30)
    turns.give()
    assert not turns.is_taken


async def test_an_error_in_a_turn_ends_it() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="in a turn"):
        async with turns:
            raise ValueError("in a turn")
    assert not turns.is_taken
