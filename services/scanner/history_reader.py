"""Reads a warm-up's trades from the store, in a program of its own: the scanner must not wait."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from services.scanner.history import (
    READ_NS_MAX,
    HistoryFound,
    HistoryPart,
    ReadHistory,
    ReadOn,
)
from services.scanner.read_history import ANSWER, LENGTH, PART, Request
from shared.cancel import cancel_and_wait, reap
from shared.engine import Action, Result

log = logging.getLogger(__name__)

Deliver = Callable[[Result], None]
SETTLE_S = 2.0
"""Wait before reading, so that the recorder has written what was received up to the opening."""
PAUSE_S = 0.005
"""Between two parts: other strategies go on meanwhile."""
ERROR_LENGTH_MAX = 300
ENDED = "the program that reads it was ended"


class _Reading:
    """One reading: no more than one part of it is decoded and not taken in yet."""

    def __init__(self, asked: ReadHistory) -> None:
        self.asked = asked
        self.is_wanted = asyncio.Event()
        """The next part is asked for."""
        self.task: asyncio.Task[None] | None = None


class HistoryReader:
    """The scanner's IO beside the bus: reads the store.

    Args:
        root: Of the store.
        adapters: Configured venue -> adapter.
        spawn: Starts a task that the host supervises.
    """

    def __init__(
        self,
        root: Path,
        adapters: Mapping[str, str],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._root, self._adapters, self._spawn = root, dict(adapters), spawn
        self._readings: dict[str, _Reading] = {}
        """Strategy -> its newest; each ends its program."""

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start a reading, or go on with one; what it finds is delivered from the event loop."""
        assert isinstance(action, ReadHistory | ReadOn), action
        reading = self._readings.get(action.strategy_id)
        if isinstance(action, ReadOn):
            if reading is not None and reading.asked.opened_ns == action.opened_ns:
                reading.is_wanted.set()
            return
        if reading is not None and reading.task is not None:
            reading.task.cancel()  # nobody waits for what it finds: the inputs were opened anew
        reading = self._readings[action.strategy_id] = _Reading(action)
        reading.task = self._spawn(self._read(reading, deliver))

    async def close(self) -> None:
        """End what runs."""
        await cancel_and_wait(each.task for each in self._readings.values() if each.task)

    async def _read(self, reading: _Reading, deliver: Deliver) -> None:
        asked = reading.asked
        await asyncio.sleep(SETTLE_S)
        request = Request(str(self._root), self._adapters, asked.markets, asked.from_ns)
        try:
            async with _program() as program:
                problem = await _take(program, request, reading, deliver)
        except TimeoutError:
            problem = f"it did not go on within {READ_NS_MAX / 1e9:g} s"
        except (OSError, msgspec.MsgspecError) as error:
            problem = f"the program that reads it: {error}"
        if problem:
            log.warning("history_not_read", extra={"strategy": asked.strategy_id, "why": problem})
            deliver(HistoryFound(asked.strategy_id, asked.opened_ns, problem=problem))


async def _take(program: Process, request: Request, reading: _Reading, deliver: Deliver) -> str:
    """Deliver what a program finds; return why it could not.

    Raises:
        TimeoutError: It, or whoever takes the parts in, did not go on for ``READ_NS_MAX``.
    """
    assert program.stdin and program.stdout and program.stderr
    asked, count = reading.asked, 0
    program.stdin.write(msgspec.json.encode(request))
    program.stdin.write_eof()
    async with asyncio.timeout(READ_NS_MAX / 1e9):
        head = await _next(program.stdout)
        if head is None:
            told = (await program.stderr.read()).decode("utf-8", "replace").strip()
            return told[-ERROR_LENGTH_MAX:] or ENDED
    answer = ANSWER.decode(head)
    spans = {(venue, name): (since, until) for venue, name, since, until in answer.spans}
    deliver(
        HistoryFound(
            asked.strategy_id,
            asked.opened_ns,
            since={market: since for market, (since, _) in spans.items()},
            until={market: until for market, (_, until) in spans.items()},
            parts=answer.parts,
        )
    )
    for _ in range(answer.parts):
        async with asyncio.timeout(READ_NS_MAX / 1e9):
            await reading.is_wanted.wait()
            reading.is_wanted.clear()
            part = await _next(program.stdout)
        if part is None:
            return ENDED
        trades = PART.decode(part)
        deliver(HistoryPart(asked.strategy_id, asked.opened_ns, trades))
        count += len(trades)
        await asyncio.sleep(PAUSE_S)
    log.info("history_read", extra={"strategy": asked.strategy_id, "trades": count})
    return ""


@asynccontextmanager
async def _program() -> AsyncIterator[Process]:
    """Start the program that reads; it has ended when this ends, whatever ends this."""
    program = await asyncio.create_subprocess_exec(
        *("nice", "-n", "10", sys.executable, "-m", "services.scanner.read_history"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            with suppress(ProcessLookupError):
                program.kill()
        await reap(program)


async def _next(stream: asyncio.StreamReader) -> bytes | None:
    """Return what the program says next; ``None`` if it has ended."""
    try:
        size = int.from_bytes(await stream.readexactly(LENGTH), "little")
        return await stream.readexactly(size)
    except asyncio.IncompleteReadError:
        return None
