"""Runs worlds in several processes; one killed from outside is reported, Ctrl-C ends all."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children

from services.lab.simulate import Outcome
from shared.errors import ArbError

SEEDS_AT_ONCE = 4
"""A process is given so many."""
AHEAD_MAX = 8
"""So many times that for each process are under way, or wait for the seeds before them."""

Run = Callable[[int], Outcome]


def run_all(run: Run, seeds: range, jobs: int) -> Generator[Outcome, None, None]:
    """Run every seed on several processors; yield the results in the order of the seeds.

    Raises:
        ArbError: A process ended before its worlds did.
    """
    if jobs == 1:
        yield from map(run, seeds)
        return
    done = 0
    pool = ProcessPoolExecutor(jobs, initializer=_leave_ctrl_c_to_the_parent)
    try:
        for outcome in _in_order(pool, run, seeds, AHEAD_MAX * jobs):
            done += 1
            yield outcome
    except BrokenProcessPool as error:
        raise ArbError(
            f"a process that ran worlds was ended from outside (no memory left?), {done} of "
            f"{len(seeds)} seeds were done; go on with: --seeds {seeds[done]}..{seeds[-1]}"
        ) from error
    finally:
        if done < len(seeds):  # worlds that nobody waits for any more
            for worker in active_children():
                worker.terminate()
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, run: Run, seeds: range, ahead_max: int
) -> Iterator[Outcome]:
    """Hand seeds out, no more than ``ahead_max`` times before the first is back."""
    waiting: deque[Future[list[Outcome]]] = deque()
    for start in range(0, len(seeds), SEEDS_AT_ONCE):
        if len(waiting) >= ahead_max:
            yield from waiting.popleft().result()
        waiting.append(pool.submit(_run_some, run, seeds[start : start + SEEDS_AT_ONCE]))
    while waiting:
        yield from waiting.popleft().result()


def _run_some(run: Run, seeds: range) -> list[Outcome]:
    return [run(seed) for seed in seeds]


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
