"""The watchdog of strategies: what is slow again and again, and what never returns."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.scanner.engine import OverBudget, StrategyHost
from services.scanner.watchdog import (
    BUDGET_NS,
    STRIKES_MAX,
    STRIKES_WITHIN_NS,
    TICKS_MAX,
    WAIT_NS,
    Watchdog,
)
from shared.clock import ManualClock, SystemClock
from shared.config import load_config
from shared.engine import Result
from shared.strategy_files import load_strategies
from shared.strategy_guard import DoesNotReturn
from tests.decision_builders import T0, make_view
from tests.strategy_files import write_config, write_strategy


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def told() -> list[Result]:
    return []


@pytest.fixture
def watchdog(clock: ManualClock, told: list[Result]) -> Iterator[Watchdog]:
    before = signal.getsignal(signal.SIGVTALRM)
    watchdog = Watchdog(clock, clock.monotonic_ns)
    watchdog.deliver_to(told.append)
    watchdog.start()
    yield watchdog
    watchdog.stop()
    signal.signal(signal.SIGVTALRM, before)


def call(watchdog: Watchdog, clock: ManualClock, took_ns: int, name: str = "mine") -> None:
    watchdog.begin(name)
    clock.advance(took_ns)
    watchdog.end()


def test_slow_again_and_again_is_told_once(
    watchdog: Watchdog, clock: ManualClock, told: list[Result]
) -> None:
    for _ in range(STRIKES_MAX - 1):
        call(watchdog, clock, BUDGET_NS + 1)
        call(watchdog, clock, BUDGET_NS)
        call(watchdog, clock, BUDGET_NS + 1, "other")
    assert not told
    call(watchdog, clock, BUDGET_NS + 1)  # the first of all only made it be measured
    call(watchdog, clock, 31_000_000)
    (over,) = told
    assert isinstance(over, OverBudget)
    assert over.strategy_id == "mine"
    assert over.reason == (
        "10 calls within 60 s used more than 20 ms of the processor each, 31 ms the last time"
    )
    call(watchdog, clock, BUDGET_NS + 1)
    assert len(told) == 1


def test_slow_now_and_then_is_not(
    watchdog: Watchdog, clock: ManualClock, told: list[Result]
) -> None:
    for _ in range(5 * STRIKES_MAX):
        call(watchdog, clock, BUDGET_NS + 1)
        clock.advance(STRIKES_WITHIN_NS // (STRIKES_MAX - 1))
    assert not told


def test_time_that_other_processes_took_is_not(clock: ManualClock, told: list[Result]) -> None:
    watchdog = Watchdog(clock, lambda: 7)
    watchdog.deliver_to(told.append)
    for _ in range(5 * STRIKES_MAX):
        call(watchdog, clock, WAIT_NS)
    assert not told


def test_waiting_again_and_again_is_told(clock: ManualClock, told: list[Result]) -> None:
    """A strategy that sleeps uses no processor and holds everybody up."""
    watchdog = Watchdog(clock, lambda: 7)
    watchdog.deliver_to(told.append)
    for _ in range(STRIKES_MAX):
        call(watchdog, clock, WAIT_NS + 1)
    (over,) = told
    assert isinstance(over, OverBudget)
    assert over.reason == "10 calls within 60 s took more than 500 ms each, 500 ms the last time"


def test_many_calls_are_not_taken_for_one(watchdog: Watchdog, clock: ManualClock) -> None:
    for _ in range(TICKS_MAX + 2):
        watchdog.begin("mine")
        signal.raise_signal(signal.SIGVTALRM)
        watchdog.end()
        signal.raise_signal(signal.SIGVTALRM)


def test_one_call_that_goes_on_is_interrupted(watchdog: Watchdog) -> None:
    watchdog.begin("mine")
    with pytest.raises(DoesNotReturn, match="did not return within 1 s"):
        for _ in range(TICKS_MAX + 1):
            signal.raise_signal(signal.SIGVTALRM)


def test_a_strategy_without_end_is_disabled(tmp_path: Path) -> None:
    """With the real signal: the processor's own time runs out."""
    write_strategy(tmp_path, "    def on_depth(self, view, now_ns):\n        while True: pass\n")
    config = load_config(write_config(tmp_path, 'id = "mine"\nclass = "mine.py"'), {})
    before = signal.getsignal(signal.SIGVTALRM)
    watchdog = Watchdog(SystemClock())
    host = StrategyHost(load_strategies(config), watchdog)
    watchdog.start()
    try:
        out = host.on_message(make_view(), T0).messages
    finally:
        watchdog.stop()
        signal.signal(signal.SIGVTALRM, before)
    assert len(out) == 1
    assert host.disabled["mine"].startswith("DoesNotReturn: a call did not return within 1 s (mine")
