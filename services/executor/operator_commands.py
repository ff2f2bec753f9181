"""What an operator may ask of the executor: halt, resume, flatten. Pure.

Each command counts once. FLATTEN halts, cancels what rests, waits until nothing is in flight, and
then closes one holding after the other: each position in a derivative at its own venue, and what
spot trades have left over (a net base of zero may still be two open positions). If no book prices
a holding, the holdings that hedge it stay open for some seconds, then are closed all the same, with
an alert. RESUME lifts the halt, but no plan starts before the FLATTEN is over: half of it would
leave a naked leg. RESUME gives up closing what has no price. A FLATTEN from before a loss of data
halts and cancels only: what it would close is of a record that lacks what came later.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from services.executor.closing_plans import ClosingPlans
from services.executor.journal import alert
from services.executor.opening import FLATTEN_BEFORE_LOSS
from services.executor.reconcile import Reconciler
from services.executor.standdown import StandDown
from services.executor.state import ExecutorState, FlattenProgress, PlanRecord
from shared.domain.accounting import holding_place
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.engine import Step
from shared.messages.control import COMMAND_IDS_MAX, Command, CommandKind, Severity

FLATTEN_PAUSE_NS: Final = 200_000_000
HEDGE_WAIT_NS: Final = 5_000_000_000
"""How long FLATTEN keeps a holding while no book prices the one that it hedges."""
FLATTEN_TRIES_MAX: Final = 4
"""Plans that may be opened to close one holding: a late fill may change it after it was closed."""


class OperatorCommands:
    """Carries out commands; changes ``state``."""

    def __init__(
        self, state: ExecutorState, own: ClosingPlans, reconciler: Reconciler, stand_down: StandDown
    ) -> None:
        self._state = state
        self._own = own
        self._reconciler = reconciler
        self._stand_down = stand_down
        self._flatten_at_ns = 0
        self._waits_for_prices = False
        self._unpriced_ns: dict[str, int] = {}
        """Since when nothing prices a holding that FLATTEN is to close."""
        self._told: set[str] = set()
        """Those of them that an alert told of."""

    def on_command(self, command: Command, now_ns: int, out: Step) -> None:
        """Carry out a command, once per command id."""
        state = self._state
        if command.command_id in state.command_ids:
            return
        state.command_ids.append(command.command_id)
        del state.command_ids[:-COMMAND_IDS_MAX]
        if command.kind in {CommandKind.HALT, CommandKind.FLATTEN}:
            state.halted = True
        # An earlier one knew nothing of the loss: an older copy of the bus tells it once more.
        is_before_loss = command.ts_ns < state.lost_ns
        if command.kind is CommandKind.RESUME and not is_before_loss:
            state.halted, state.locked = False, ""
            self._stand_down.resume(self._reconciler.check_again(now_ns), now_ns, out)
            if self._waits_for_prices:
                self._end_flatten(now_ns, out)
        if command.kind is CommandKind.FLATTEN and is_before_loss:
            self._reconciler.cancel_resting(now_ns)
            alert(out, Severity.WARNING, "FLATTEN_ENDED", FLATTEN_BEFORE_LOSS, now_ns)
        elif command.kind is CommandKind.FLATTEN:
            state.flatten, state.closings = command.command_id, {}
            self._told.clear()
            self._unpriced_ns.clear()
            self._flatten_at_ns = now_ns
            self._reconciler.cancel_resting(now_ns)

    def _end_flatten(self, now_ns: int, out: Step) -> None:
        """End a FLATTEN that waits for prices, and say what it leaves open."""
        self._state.flatten = ""
        opened = self._state.books.opened()
        if opened:
            left = "".join(f"{qty} {_market_text(key)}, " for key, qty in opened.items())
            text = f"RESUME ends a FLATTEN that waits for prices; {left}are left open"
            alert(out, Severity.WARNING, "FLATTEN_ENDED", text, now_ns)

    def next_deadline_ns(self) -> int | None:
        """Return when the next holding may be closed."""
        return self._flatten_at_ns if self._state.flatten else None

    def flatten_due(self, now_ns: int, out: Step) -> PlanRecord | None:
        """Return a plan that closes the next holding, if it is time and nothing is in flight.

        A plan that waits for a venue which stands down holds up its own base asset only.
        """
        state = self._state
        if not state.flatten or self._flatten_at_ns > now_ns:
            return None
        self._flatten_at_ns = now_ns + FLATTEN_PAUSE_NS
        stuck = self._stuck()
        if len(stuck) < len(state.open_plans()):
            return None
        unknown = {plan.base for plan in stuck}
        self._waits_for_prices = False
        opened = state.books.opened()
        kept = self._kept(opened, now_ns, out)
        for key, qty in opened.items():
            if _base_of(key) in unknown:
                continue  # how much it is shows when the plan has ended
            if key in kept:
                self._waits_for_prices = True
                continue
            before = state.closings.get(key, FlattenProgress(qty=ZERO, tries=0))
            if before.qty == qty or before.tries >= FLATTEN_TRIES_MAX:
                continue  # nothing has changed since the last try, or it never ends
            plan = self._own.flatten(state.flatten, key, qty, now_ns)
            if plan is not None:
                state.closings[key] = FlattenProgress(qty=qty, tries=before.tries + 1)
                return plan
            self._waits_for_prices = True  # the others do not wait for it
        if not self._waits_for_prices and not stuck:
            state.flatten = ""
        return None

    def _kept(self, opened: Mapping[str, Decimal], now_ns: int, out: Step) -> set[str]:
        """Return the holdings that are not closed yet, because what they hedge has no price.

        After a time limit they are closed alone, with an alert.
        """
        kept: set[str] = set()
        for key, qty in opened.items():
            if self._own.price_of(key, now_ns) is not None:
                self._unpriced_ns.pop(key, None)
                continue
            since_ns = self._unpriced_ns.setdefault(key, now_ns)
            base = _base_of(key)
            hedges = [k for k, held in opened.items() if _base_of(k) == base and held * qty < 0]
            if now_ns - since_ns < HEDGE_WAIT_NS:
                kept.update(hedges)
            elif key not in self._told:
                self._told.add(key)
                text = f"no book prices {qty} {_market_text(key)}: FLATTEN closes it once one does"
                if hedges:
                    named = ", ".join(f"{opened[each]} {_market_text(each)}" for each in hedges)
                    text += f"; what hedges it, {named}, waits no longer and leaves it open alone"
                alert(out, Severity.CRITICAL, "FLATTEN_WAITS", text, now_ns, key)
        return kept

    def _stuck(self) -> list[PlanRecord]:
        """Return the open plans that wait for a venue which stands down, maybe for long."""
        state = self._state
        return [
            plan
            for plan in state.open_plans()
            if any(o.venue in state.down and not o.life.is_settled for o in state.orders_of(plan))
        ]


def _base_of(key: str) -> str:
    return split_instrument(holding_place(key)[1]).base


def _market_text(key: str) -> str:
    venue, instrument = holding_place(key)
    return f"{instrument} at {venue}" if venue else instrument
