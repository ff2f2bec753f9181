"""What an operator may ask of the executor: halt, resume, flatten. Pure.

Each command counts once. FLATTEN halts, cancels what rests, waits until nothing is in flight, and
then trades the ledger's net exposure of each asset back to zero, one asset after the other.
"""

from __future__ import annotations

from typing import Final

from services.executor.actions import Out
from services.executor.own_plans import OwnPlans
from services.executor.reconcile import Reconciler
from services.executor.standdown import StandDown
from services.executor.state import COMMAND_IDS_MAX, ExecutorState, PlanRecord
from shared.domain.order import ZERO
from shared.messages.control import Command, CommandKind

FLATTEN_PAUSE_NS: Final = 200_000_000


class OperatorDesk:
    """Carries out commands; changes ``state``."""

    def __init__(
        self, state: ExecutorState, own: OwnPlans, reconciler: Reconciler, standing: StandDown
    ) -> None:
        self._state = state
        self._own = own
        self._reconciler = reconciler
        self._standing = standing
        self._flatten_at_ns = 0

    def on_command(self, command: Command, now_ns: int, out: Out) -> None:
        """Obey, once per command id."""
        state = self._state
        if command.command_id in state.command_ids:
            return
        state.command_ids.append(command.command_id)
        del state.command_ids[:-COMMAND_IDS_MAX]
        if command.kind in {CommandKind.HALT, CommandKind.FLATTEN}:
            state.halted = True
        elif command.kind is CommandKind.RESUME:
            state.halted, state.locked = False, ""
            self._standing.resume(self._reconciler.check_again(now_ns), now_ns, out)
        if command.kind is CommandKind.FLATTEN:
            state.flatten, state.flatten_done = command.command_id, []
            self._flatten_at_ns = now_ns
            self._reconciler.cancel_resting(now_ns)

    def next_deadline_ns(self) -> int | None:
        """Return when the next asset may be flattened."""
        return self._flatten_at_ns if self._state.flatten else None

    def flatten_due(self, now_ns: int) -> PlanRecord | None:
        """Return a plan that flattens the next asset, if it is time and nothing is in flight."""
        state = self._state
        if not state.flatten or self._flatten_at_ns > now_ns:
            return None
        self._flatten_at_ns = now_ns + FLATTEN_PAUSE_NS
        if state.open_plans():
            return None
        unpriced = False
        for asset, qty in sorted(state.exposure.items()):
            if qty == ZERO or asset in state.flatten_done:
                continue
            plan = self._own.flatten(state.flatten, asset, qty, now_ns)
            if plan is not None:
                state.flatten_done.append(asset)
                return plan
            unpriced = True  # it waits for a price, the others do not wait for it
        if not unpriced:
            state.flatten = ""
        return None
