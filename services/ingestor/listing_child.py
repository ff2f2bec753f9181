"""Starts the child process that reads the venues' lists of instruments, and reads its answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence

import msgspec

from services.ingestor.engine.requests import ListingAnswered, ListingJob
from shared.cancel import reap

CHILD = (sys.executable, "-m", "services.ingestor.markets")
CHILD_TIMEOUT_S = 60.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
LAST_OUTPUT_S = 2.0
"""For what a reader wrote before it ended: a child of its own may keep the pipe open."""


async def _has_ended(child: asyncio.subprocess.Process) -> bool:
    """Wait a moment for the end of a child that says no more."""
    try:
        async with asyncio.timeout(LAST_OUTPUT_S):
            await child.wait()
    except TimeoutError:
        return False
    return True


async def _last_output(errors: asyncio.Future[bytes]) -> str:
    """Return the last line that a child which has ended wrote to its standard error."""
    await asyncio.wait([errors], timeout=LAST_OUTPUT_S)
    if not errors.done():
        errors.cancel()
        return ""
    lines = errors.result().decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()}" if lines else ", without a word"


def how_it_ended(returncode: int | None) -> str:
    """Return in words how a process ended; a negative code is the signal that killed it."""
    if returncode is None:
        return "not ended"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


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
    cause = ""
    try:
        # Not communicate(): that would close the child's input, which tells it that we died.
        child.stdin.write(msgspec.json.encode(jobs) + b"\n")
        deadline_s = asyncio.get_running_loop().time() + CHILD_TIMEOUT_S
        while left:
            async with asyncio.timeout_at(deadline_s):
                line = await child.stdout.readline()
            if not line:
                break  # it ended, or has closed its output
            answer = msgspec.json.decode(line, type=ListingAnswered)
            if left.pop(answer.venue, None) is not None:
                yield answer
        if left and await _has_ended(child):
            cause = f"the reader failed, {how_it_ended(child.returncode)}"
    except TimeoutError:
        cause = f"no answer within {CHILD_TIMEOUT_S:.0f} s"
    except (msgspec.DecodeError, ValueError):  # or a line without end
        cause = "the reader failed: it said something that is no answer"
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        await reap(child)
        if not left:
            errors.cancel()
    if left:
        cause = cause or "the reader failed: it closed its output and did not end"
        error = f"{cause}{await _last_output(errors)}"
    for venue in left:
        yield ListingAnswered(venue, error=error)
