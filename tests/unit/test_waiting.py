"""Waiting on connections: ended by an answer, a loss or the time, with one timer for many waits."""

from __future__ import annotations

import asyncio

from shared.bus.replies import CLOCK_STEP_S, Waiting, Wire


def owing() -> Wire:
    """A connection that owes an answer."""
    wire = Wire()
    wire.awaited = 1
    return wire


async def test_an_answer_ends_it_long_before_its_time() -> None:
    waiting, wire = Waiting(), owing()
    asyncio.get_running_loop().call_soon(wire.data_received, b"+OK\r\n")
    await asyncio.wait_for(waiting.on([wire], asyncio.get_running_loop().time() + 1_000), 30)
    assert wire.awaited == 0
    waiting.stop()


async def test_what_is_there_already_is_not_waited_for() -> None:
    waiting = Waiting()
    await asyncio.wait_for(waiting.on([owing(), Wire()], float("inf")), 30)
    lost = owing()
    lost.connection_lost(None)
    await asyncio.wait_for(waiting.on([lost], float("inf")), 30)


async def test_a_shorter_wait_ends_in_time_while_the_timer_of_a_longer_one_runs() -> None:
    waiting, wire, loop = Waiting(), owing(), asyncio.get_running_loop()
    loop.call_soon(wire.data_received, b"+OK\r\n")
    await waiting.on([wire], loop.time() + 1_000)
    until_s = loop.time() + 0.02
    await asyncio.wait_for(waiting.on([owing()], until_s), 30)
    assert loop.time() >= until_s - CLOCK_STEP_S


async def test_a_longer_wait_is_not_ended_by_the_timer_of_a_shorter_one() -> None:
    waiting, wire, loop = Waiting(), owing(), asyncio.get_running_loop()
    loop.call_soon(wire.data_received, b"+OK\r\n")
    await waiting.on([wire], loop.time() + 0.01)
    until_s = loop.time() + 0.05
    await asyncio.wait_for(waiting.on([owing()], until_s), 30)
    assert loop.time() >= until_s - CLOCK_STEP_S


async def test_a_canceled_wait_leaves_the_next_one_alone() -> None:
    waiting, wire = Waiting(), owing()
    first = asyncio.create_task(waiting.on([wire], float("inf")))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    asyncio.get_running_loop().call_soon(wire.data_received, b"+OK\r\n")
    await asyncio.wait_for(waiting.on([wire], float("inf")), 30)
    assert wire.awaited == 0
