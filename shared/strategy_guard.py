"""Interrupts code of a strategy that does not return: at import, in ``set_up()``, when it is tried.

It is the process's own processor time that counts, so a machine that stands still is not mistaken
for a loop. While strategies run, the scanner's watchdog does this for every call.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.25
"""After the first interruption, in case that the code caught it."""


class DoesNotReturn(BaseException):
    """Raised inside a strategy that would go on for ever; it is not to be caught there."""


@contextmanager
def returns_within(cpu_s: float) -> Iterator[Callable[[], None]]:
    """Let code run for at most so long; what it yields begins the time again.

    Only the main thread of a process can be interrupted; in another the code is not limited.

    Raises:
        DoesNotReturn: In the code, which took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def on_tick(number: int, frame: FrameType | None) -> None:
        raise DoesNotReturn(f"does not return: more than {cpu_s:g} s of the processor")

    def begin() -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s, AGAIN_S)

    handler = signal.signal(signal.SIGVTALRM, on_tick)
    left_s, every_s = signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s, AGAIN_S)
    try:
        yield begin
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        signal.setitimer(signal.ITIMER_VIRTUAL, left_s, every_s)
