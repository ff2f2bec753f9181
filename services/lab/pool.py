"""Runs worlds or backtests in several processes; Ctrl-C ends all, a killed one is reported."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import TypeVar

from shared.errors import ArbError

EXIT_INTERRUPTED = 130
SEEDS_AT_ONCE = 4
"""Seeds that a process is given at once."""
AHEAD_MAX = 8
"""Such batches per process that run, or wait for the results of batches before them."""

T = TypeVar("T")


def run_all(
    run: Callable[[int], T],
    seeds: range,
    jobs: int,
    *,
    at_once: int = SEEDS_AT_ONCE,
    again: str | None = "--seeds",
) -> Generator[T, None, None]:
    """Run every seed on several processors; yield the results in the order of the seeds.

    Args:
        run: Runs one; it must be known to another process by its name.
        seeds: The numbers that it is called with.
        jobs: How many processes.
        at_once: How many seeds a process is given.
        again: The option by which a broken-off run is continued, if there is one.

    Raises:
        ArbError: A process ended before its worlds did.
    """
    if jobs == 1:
        yield from map(run, seeds)
        return
    done = 0
    pool = ProcessPoolExecutor(jobs, initializer=_follow_the_parent)
    try:
        for outcome in _in_order(pool, run, seeds, at_once, AHEAD_MAX * jobs):
            done += 1
            yield outcome
    except BrokenProcessPool as error:
        go_on = f"; go on with: {again} {seeds[done]}..{seeds[-1]}" if again else ""
        raise ArbError(
            f"a process was ended from outside (no memory left?), {done} of {len(seeds)} runs were "
            f"done{go_on}"
        ) from error
    finally:
        if done < len(seeds):  # worlds that nobody waits for any more
            for worker in active_children():
                worker.terminate()
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor,
    run: Callable[[int], T],
    seeds: range,
    at_once: int,
    ahead_max: int,
) -> Iterator[T]:
    """Hand seeds out, no more than ``ahead_max`` times before the first is back."""
    waiting: deque[Future[list[T]]] = deque()
    for start in range(0, len(seeds), at_once):
        if len(waiting) >= ahead_max:
            yield from waiting.popleft().result()
        waiting.append(pool.submit(_run_some, run, seeds[start : start + at_once]))
    while waiting:
        yield from waiting.popleft().result()


def _run_some(run: Callable[[int], T], seeds: range) -> list[T]:
    return [run(seed) for seed in seeds]


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the process that runs this one, and end when that one has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None, "runs in a process of a pool"
    Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(EXIT_INTERRUPTED)
