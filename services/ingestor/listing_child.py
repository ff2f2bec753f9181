"""Starts the child process that reads the venues' lists of instruments, and reads its answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

import msgspec

from services.ingestor.engine.requests import ListingAnswered, ListingJob

CHILD = (sys.executable, "-m", "services.ingestor.markets")
CHILD_TIMEOUT_S = 60.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024


async def _reaped(child: asyncio.subprocess.Process) -> None:
    """Wait for a killed child, also when canceled meanwhile: otherwise its pipes stay open."""
    waiting = asyncio.ensure_future(child.wait())
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting
        raise


async def read_in_child(jobs: Sequence[ListingJob]) -> AsyncIterator[ListingAnswered]:
    """Run the child for these jobs and yield its answers as they come, one per job."""
    left = {job.venue: job for job in jobs}
    if not left:
        return
    child = await asyncio.create_subprocess_exec(
        *CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=ANSWER_BYTES_MAX,
    )
    assert child.stdin and child.stdout and child.stderr
    errors = asyncio.ensure_future(child.stderr.read())
    error = ""
    try:
        # Not communicate(): that would close the child's input, which tells it that we died.
        child.stdin.write(msgspec.json.encode(jobs) + b"\n")
        deadline_s = asyncio.get_running_loop().time() + CHILD_TIMEOUT_S
        while left:
            async with asyncio.timeout_at(deadline_s):
                line = await child.stdout.readline()
            answer = msgspec.json.decode(line, type=ListingAnswered)
            if left.pop(answer.venue, None) is not None:
                yield answer
    except TimeoutError:
        error = f"no answer within {CHILD_TIMEOUT_S:.0f} s"
    except (msgspec.DecodeError, ValueError):  # it ended, or said something else
        last = (await errors).decode("utf-8", "replace").strip().splitlines()[-1:]
        error = f"the reader failed: {' '.join(last)}"
    finally:
        if child.returncode is None:
            try:
                child.kill()
            except ProcessLookupError:
                pass
        await _reaped(child)
        errors.cancel()
    for venue in left:
        yield ListingAnswered(venue, error=error)
