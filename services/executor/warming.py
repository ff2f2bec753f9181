"""Keeps the code path from a plan to its orders warm: see ``shared/runtime/warming.py``."""

from __future__ import annotations

from collections import Counter

import msgspec

from services.executor.checkpoint import encode_open
from services.executor.engine import ExecutorEngine
from services.executor.intake import Intake, why_none_starts
from services.executor.plan_entry import PlanEntry
from services.executor.plans import PlanRunner
from services.executor.standdown import StandDown
from services.executor.state import ExecutorState
from services.executor.working_orders import WorkingOrders
from shared import codec, streams
from shared.config_sections import Config
from shared.engine import Step
from shared.messages.base import TradingState
from shared.messages.execution import ApprovedPlan

PLAN_ID = "warming"


class PlanWarming:
    """Runs the checks and the start of the last plan again, on records that are dropped at once.

    Of the engine's it reads rules, books and the last plan; no order of it leaves this class.
    """

    def __init__(self, engine: ExecutorEngine, config: Config) -> None:
        venues = {name: tuple(v.instruments) for name, v in config.venues.items() if v.trade}
        self._engine = engine
        self._intake = Intake(engine.markets, venues, config.risk)
        self._settings = config.executor
        self._plan: ApprovedPlan | None = None
        self._payload = b""

    def __call__(self, now_ns: int) -> None:
        """Read it, check it, make its orders, and write what would be published and saved."""
        plan = self._engine.last_plan
        if plan is None:
            return
        if plan is not self._plan:
            self._plan, self._payload = plan, codec.encode(streams.EXEC_PLAN, [plan])
        (read,) = codec.decode(streams.EXEC_PLAN, self._payload)
        approved = msgspec.structs.replace(
            read,
            plan_id=PLAN_ID,
            ts_ns=now_ns,
            ts_recv_ns=now_ns,
            ts_expire_ns=now_ns + read.ts_expire_ns - read.ts_ns,
        )
        self._take(approved, now_ns)

    def _take(self, plan: ApprovedPlan, now_ns: int) -> None:
        markets, state, out = self._engine.markets, ExecutorState(), Step()
        counts: Counter[str] = Counter()
        orders = WorkingOrders(state, markets, counts, 1)
        why_none = why_none_starts(state, TradingState.ACTIVE, "")
        accounts = state, markets, orders, counts
        plans = PlanRunner(*accounts, 0, why_none_rests=lambda: "", same_books={})
        stand_down = StandDown(state, counts, self._settings)
        entry = PlanEntry(state, self._intake, plans, stand_down, counts)
        entry.take(plan, False, why_none, now_ns, out)
        encode_open(state)
        codec.encode(streams.EXEC_EVENT, out.messages)
