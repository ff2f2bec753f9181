"""Keeps risk's code path from opportunity to plan warm: see ``shared/runtime/warming.py``."""

from __future__ import annotations

import msgspec

from services.risk.decider import Decider
from shared import codec, streams
from shared.messages.arb import Opportunity
from shared.messages.execution import ApprovedPlan

OPPORTUNITY_ID = "warming"
"""Never approved, so that no rule on repetition ends the way early."""


class DecisionWarming:
    """Decides on the last opportunity once more, as a new one, and drops the result."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._found: Opportunity | None = None
        self._payload = b""

    def __call__(self, now_ns: int) -> None:
        """Read it, decide, and write what would be published."""
        found = self._decider.last()
        if found is None:
            return
        if found is not self._found:
            self._found, self._payload = found, codec.encode(streams.ARB_OPPORTUNITY, [found])
        (read,) = codec.decode(streams.ARB_OPPORTUNITY, self._payload)
        offered = msgspec.structs.replace(
            read,
            opportunity_id=OPPORTUNITY_ID,
            ts_ns=now_ns,
            ts_recv_ns=now_ns,
            ts_depth_ns=now_ns,
            ts_expire_ns=now_ns + read.ts_expire_ns - read.ts_ns,
        )
        decided = self._decider.decide_idly(offered, now_ns)
        if isinstance(decided, ApprovedPlan):
            codec.encode(streams.EXEC_PLAN, [decided])
