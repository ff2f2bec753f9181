"""Measures how long strategies take, in the process that runs them; the engine has no clock.

A call that uses more of the processor than the budget is a strike, and so is one that only waits
and holds the scanner up for much longer. After so many strikes within a minute the engine gets
``OverBudget``, an input, so what it decides is still a function of its inputs. Time that other
processes took is no strike: on a loaded machine every call takes long now and then. A call that
does not return at all is interrupted by an error in it once it has used a second of the processor,
however long that took: a machine that stands still is no fault of a strategy.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from types import FrameType

from services.scanner.engine import OverBudget
from shared.clock import Clock, thread_cpu_ns
from shared.engine import Result
from shared.strategy_guard import DoesNotReturn

BUDGET_NS = 20_000_000
"""Processor time that one call of a strategy may use; a usual one takes some microseconds."""
WAIT_NS = 500_000_000
"""Time that one call may take in all: more is a strategy that sleeps or waits for something."""
STRIKES_MAX = 10
STRIKES_WITHIN_NS = 60_000_000_000
TICK_CPU_S = 0.25
TICKS_MAX = 4
"""Ticks of the process's own processor time that one call may see."""

_SLOW = f"used more than {BUDGET_NS // 1_000_000} ms of the processor each, {{:.0f}} ms"
_WAITS = f"took more than {WAIT_NS // 1_000_000} ms each, {{:.0f}} ms"


class Watchdog:
    """Called by the engine around each call of a strategy, see ``services.scanner.engine``.

    Args:
        clock: Tells how long a call took in all.
        cpu_ns: Tells the processor time used. Reading it costs more than many a call, so it is read
            only for strategies of which a call once took longer than the budget.
    """

    def __init__(self, clock: Clock, cpu_ns: Callable[[], int] = thread_cpu_ns) -> None:
        self._monotonic_ns, self._cpu_ns = clock.monotonic_ns, cpu_ns
        self._deliver: Callable[[Result], None] = lambda result: None
        self._working = ""
        self._began_ns = 0
        self._cpu_began_ns = 0
        self._ticks = 0
        self._suspects: set[str] = set()
        self._strikes: dict[str, deque[int]] = {}

    def start(self) -> None:
        """Start watching; only in the main thread of a process, which gets the signal."""
        signal.signal(signal.SIGVTALRM, self._on_tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, TICK_CPU_S, TICK_CPU_S)

    def deliver_to(self, deliver: Callable[[Result], None]) -> None:
        """Set where results are delivered, once the engine takes them."""
        self._deliver = deliver

    def stop(self) -> None:
        """Stop watching; left on, the signal would end a process that is about to end by itself."""
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def begin(self, strategy_id: str) -> None:
        """A call begins."""
        self._working, self._ticks = strategy_id, 0
        self._began_ns = self._monotonic_ns()
        if strategy_id in self._suspects:
            self._cpu_began_ns = self._cpu_ns()

    def end(self) -> None:
        """It is over."""
        strategy_id, self._working = self._working, ""
        now_ns = self._monotonic_ns()
        took_ns = now_ns - self._began_ns
        if took_ns <= BUDGET_NS:
            return
        used_ns = self._cpu_ns() - self._cpu_began_ns if strategy_id in self._suspects else 0
        self._suspects.add(strategy_id)
        if used_ns > BUDGET_NS:
            self._strike(strategy_id, now_ns, _SLOW.format(used_ns / 1e6))
        elif took_ns > WAIT_NS:
            self._strike(strategy_id, now_ns, _WAITS.format(took_ns / 1e6))

    def report(self, strategy_id: str, reason: str) -> None:
        """Let the engine disable a strategy."""
        self._deliver(OverBudget(strategy_id, reason))

    def _strike(self, strategy_id: str, now_ns: int, why: str) -> None:
        strikes = self._strikes.setdefault(strategy_id, deque(maxlen=STRIKES_MAX))
        strikes.append(now_ns)
        if len(strikes) == STRIKES_MAX and now_ns - strikes[0] < STRIKES_WITHIN_NS:
            strikes.clear()
            within_s = STRIKES_WITHIN_NS // 1_000_000_000
            self.report(strategy_id, f"{STRIKES_MAX} calls within {within_s} s {why} the last time")

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        """Some time of the processor has passed; it may be within one and the same call."""
        if not self._working:
            return
        self._ticks += 1
        if self._ticks > TICKS_MAX:
            self._ticks = 0
            raise DoesNotReturn(f"a call did not return within {TICK_CPU_S * TICKS_MAX:g} s")
