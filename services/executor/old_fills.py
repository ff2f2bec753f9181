"""From when on a venue's executions may be new to the record; older ones are booked. Pure."""

from __future__ import annotations

from typing import Final

from services.executor.state import ExecutorState, LedgerStage

LOOK_BACK_NS: Final = 30_000_000_000
"""Beyond our last record at the start, and beyond a plan's end in a sweep: covers venue clocks."""


def began_ns(state: ExecutorState) -> int:
    """Return from when on orders that are not on record are looked up; a survey looks at all."""
    return 0 if state.stage is LedgerStage.NEW else state.began_ns


def held_ns(state: ExecutorState) -> int:
    """Return from when on executions may be of a plan that matters here.

    Plans that went on when data was lost have orders from before this ledger began, and so may have
    plans that were lost with it: a venue tells some executions only after the survey.
    """
    started_ns = [plan.ts_started_ns for plan in state.plans.values()]
    return min([began_ns(state), *started_ns]) - LOOK_BACK_NS


def old_until_ns(state: ExecutorState) -> int:
    """Return until when executions of orders that are not kept are booked, or of another ledger.

    Venues tell such ones again: where executions are read, and some with each new subscription. One
    whose time is not known, 0, is never old.
    """
    return max(state.forgotten_ns, held_ns(state) - 1)
