"""The trading state, from operators' commands, trips and obstacles. Pure.

Four things hold the system back, the strictest wins:

* **trips**: accidents (a failed plan, a plan that never ended, the daily loss). They stay, over
  restarts too, until an operator says RESUME and the cause is gone;
* the **operator's level**: HALT, REDUCE or neither. REDUCE does not loosen a HALT; only RESUME
  does. FLATTEN is a HALT here: selling what is left is the executor's part;
* **obstacles**: the executor is not ready, balances are unknown. They come and go by themselves;
* **soft limits**: what is held above one is REDUCING until it is worked off (``reduce.py``).

RESUME is refused, and the reason says why, while a trip's cause persists. The operator's own HALT
is lifted all the same, so that nothing but the trip is left to deal with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from services.risk.exposure import Ledger, has_open_rounds
from services.risk.halt_causes import HaltCause
from services.risk.loss_trips import LOSSES, LossTrips, losses_beyond
from services.risk.trading_memory import TradingMemory
from shared.config_sections import Config
from shared.messages.base import Message, TradingState
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.execution import ExecutorReady, PlanDone, PlanOutcome, TradingStateChanged

EXECUTOR_SILENCE_NS = 3_000_000_000
"""The executor reports every second that it is ready; after this long it is taken to be gone."""
PLAN_OVERDUE_NS = 60_000_000_000
"""A plan must have ended this long after it expired, or after our own start if that is later: time
for the executor's restart, hedge and queries. Beyond it the system halts, unless the executor says
that the plan waits for a venue which stands down: then only that venue is not traded."""

COMMANDS_NAMED = 8
"""So many of the newest commands are named with the trading state."""


def apply_command(
    memory: TradingMemory, command: Command, persisting: Mapping[HaltCause, str]
) -> None:
    """Carry out an operator's command.

    Args:
        memory: Changed in place.
        command: The operator's command.
        persisting: Trips whose cause is still there, with the numbers: RESUME cannot lift these.
    """
    who = f"{command.operator}: {command.reason}" if command.reason else command.operator
    if command.kind in (CommandKind.HALT, CommandKind.FLATTEN):
        memory.level = TradingState.HALTED
        memory.level_reason = f"{HaltCause.OPERATOR}: {command.kind} by {who}"
    elif command.kind is CommandKind.REDUCE:
        if memory.level is not TradingState.HALTED:
            memory.level = TradingState.REDUCING
            memory.level_reason = f"{HaltCause.OPERATOR}: {command.kind} by {who}"
    else:
        memory.level, memory.level_reason = TradingState.ACTIVE, ""
        kept = {cause.value: text for cause, text in persisting.items()}
        memory.trips = {cause: text for cause, text in memory.trips.items() if cause in kept}
        memory.refused = "; ".join(
            f"RESUME refused, {cause}: {kept[cause]}" for cause in memory.trips
        )


def decide(
    memory: TradingMemory, obstacle: str, *, has_rounds: bool = False, soft: str = ""
) -> tuple[TradingState, str]:
    """Return the state and its reason; ``obstacle`` is empty where nothing is missing.

    A loss alone leaves what is held known, so open rounds may be closed in spite of it: a
    stop must work on the worst of days. ``soft`` is what is above a soft limit.
    """
    if memory.trips:
        tripped = [f"{cause}: {text}" for cause, text in memory.trips.items()]
        reason = "; ".join([*tripped, *filter(None, [memory.refused])])
        is_held_back = memory.level is TradingState.HALTED or bool(obstacle)
        may_close = has_rounds and not is_held_back and memory.trips.keys() <= LOSSES
        return TradingState.REDUCING if may_close else TradingState.HALTED, reason
    if memory.level is TradingState.HALTED:
        return TradingState.HALTED, memory.level_reason
    if obstacle:
        return TradingState.HALTED, obstacle
    if soft:
        reason = f"{HaltCause.SOFT_LIMIT}: {soft}"
        return TradingState.REDUCING, "; ".join(filter(None, [memory.level_reason, reason]))
    return memory.level, memory.level_reason


class TradingStatus(NamedTuple):
    """The trading state at a moment, its reason, and what is missing: of the executor, of all.

    An obstacle is empty where nothing is missing.
    """

    state: TradingState
    reason: str
    executor_obstacle: str
    obstacle: str


_WAITS_FOR_WITNESSES: Final = (
    "the ledger is new or an old copy: waiting for services that may know more"
)


class TradingControl:
    """Owns the trading state: takes its inputs, and returns it.

    Args:
        config: The daily loss limit, ``start_active``, and which venues are traded.
        memory: Survives restarts; changed in place.
        ledger: Plans in flight, balances and results; overdue plans are marked and released here.
        now_ns: When this process began to receive messages (UNIX ns).
        witness_until_ns: Until then another process may still report that data was lost; what it
            reported is known with the first look at the marks after that.
    """

    def __init__(
        self,
        config: Config,
        memory: TradingMemory,
        ledger: Ledger,
        now_ns: int,
        witness_until_ns: int = 0,
    ) -> None:
        self._witness_until_ns, self._looked_ns, self._has_waited = witness_until_ns, 0, False
        self._limits = config.risk
        self._venues = sorted(name for name, venue in config.venues.items() if venue.trade)
        self._venue_set = frozenset(self._venues)
        self._memory, self._ledger = memory, ledger
        self._losses = LossTrips(config.risk)
        self._ts_started_ns = now_ns
        self._executor: ExecutorReady | None = None
        self._has_reconciled = False
        self._was_open = False
        if not config.risk.start_active and memory.level is TradingState.ACTIVE:
            memory.level = TradingState.HALTED
            why = "risk.start_active is false, an operator must resume"
            memory.level_reason = f"{HaltCause.NOT_STARTED}: {why}"

    def use_limits(self, config: Config) -> None:
        """Trip by these limits on losses from now on."""
        self._limits = config.risk
        self._losses.use_limits(config)

    def note_look(self, asked_ns: int) -> None:
        """Note that the marks, asked for at that time, tell of no loss."""
        self._looked_ns = asked_ns

    @property
    def published(self) -> TradingState:
        """The state last published."""
        return self._memory.published

    def now(self, now_ns: int) -> TradingStatus:
        """Return the state at this moment and what it follows from."""
        executor_obstacle = self.executor_obstacle(now_ns)
        missing = executor_obstacle
        if self._waits_for_witnesses(now_ns):
            missing = missing or _WAITS_FOR_WITNESSES
        obstacle = self._obstacle(missing)
        has_rounds = has_open_rounds(self._ledger) if self._memory.trips else False
        soft = "; ".join(self._ledger.above_soft.values())
        decided = decide(self._memory, obstacle, has_rounds=has_rounds, soft=soft)
        return TradingStatus(*decided, executor_obstacle, obstacle)

    def _waits_for_witnesses(self, now_ns: int) -> bool:
        self._has_waited = self._has_waited or now_ns < self._witness_until_ns
        return self._has_waited and self._looked_ns < self._witness_until_ns

    def on_loss(self, loss: str, now_ns: int) -> list[Message]:
        """Trip on lost data; alerted once until an operator resumes."""
        if HaltCause.DATA_LOST in self._memory.trips:
            return []
        self._memory.lost_ns = now_ns
        text = f"{loss}; compare positions, balances and orders with the venues, then resume"
        return [self.trip(HaltCause.DATA_LOST, text, now_ns)]

    def on_executor_ready(self, ready: ExecutorReady) -> None:
        """Take the executor's state; a message older than the last one is ignored."""
        if self._executor is None or ready.ts_ns >= self._executor.ts_ns:
            self._executor = ready
            self._has_reconciled = self._has_reconciled or ready.ready

    def on_plan_done(
        self, done: PlanDone, now_ns: int, subject: str = "", unowned: str = ""
    ) -> list[Message]:
        """Trip on what a plan left over, and on the day's loss.

        ``subject`` is a plan of ours, ``unowned`` a position that no strategy will close.
        """
        out: list[Message] = []
        residual = {asset: qty for asset, qty in done.residual.items() if qty}
        if done.outcome is PlanOutcome.FAILED or residual:
            left = ", ".join(f"{qty} {asset}" for asset, qty in residual.items()) or "unknown"
            text = f"plan {done.plan_id} ended {done.outcome}, left over: {left}; {done.reason}"
            out.append(self.trip(HaltCause.PLAN_FAILED, text, now_ns, subject))
        if unowned:
            out.append(self.trip(HaltCause.POSITION_UNOWNED, unowned, now_ns, subject))
        return out + self.find_losses(now_ns)

    def find_losses(self, now_ns: int) -> list[Message]:
        """Trip on losses beyond a limit; each is alerted once until an operator resumes."""
        due = self._losses.due(self._ledger, now_ns)
        trips = self._memory.trips
        return [self.trip(c, text, now_ns) for c, text in due.items() if c not in trips]

    def on_command(self, command: Command, now_ns: int) -> list[Message]:
        """Carry out a command, once per id: a repeated RESUME must not lift a later HALT.

        FLATTEN ends what rounds hold against each other, at once and as their plans end.

        Alerts where RESUME is refused or releases an overdue plan.
        """
        if not self._memory.takes(command.command_id, command.ts_ns):
            return []
        persisting = self._persisting(now_ns)
        is_before_loss = command.ts_ns < self._memory.lost_ns
        if is_before_loss:  # an older copy of the bus tells it once more
            persisting[HaltCause.DATA_LOST] = "it was published before the loss was noticed"
        is_drawdown = HaltCause.DRAWDOWN in self._memory.trips
        apply_command(self._memory, command, persisting)
        ledger = self._ledger
        if command.kind is CommandKind.FLATTEN and not is_before_loss:  # else it only halts
            ledger.flattens = True
            ledger.rounds.cancel_out(ledger.rounds_in_flight, ledger.prices, now_ns)
        if command.kind is not CommandKind.RESUME:
            return []
        ledger.flattens = False
        self._ledger.rounds.release_halted()
        self._ledger.streaks.resume()
        self._ledger.transfers_accepted = dict(self._ledger.books.transfers)
        if is_drawdown and HaltCause.DRAWDOWN not in self._memory.trips:
            for each in self._ledger.equity.values():
                each.peak = each.now
        out: list[Message] = []
        if self._memory.refused:
            text = self._memory.refused
            out.append(alert(now_ns, Severity.WARNING, "RESUME_REFUSED", text))
        if HaltCause.PLAN_OVERDUE not in persisting:
            out += self._release_overdue(now_ns)
        return out

    def find_overdue(self, now_ns: int) -> list[Message]:
        """Trip on plans that should have ended long ago, and have no known reason to wait."""
        out: list[Message] = []
        waiting = self._waiting(now_ns)
        for held in self._ledger.reservations.values():
            is_told = held.is_overdue and HaltCause.PLAN_OVERDUE in self._memory.trips
            if held.is_overdue and held.plan_id not in waiting and not is_told:
                held.is_overdue, held.ts_expire_ns = False, now_ns
                text = f"plan {held.plan_id} waits no longer; it must end soon"
                out.append(alert(now_ns, Severity.INFO, "PLAN_WAITS_NO_MORE", text))
            since_ns = max(held.ts_due_ns, self._ts_started_ns)
            if not held.is_overdue and now_ns - since_ns > PLAN_OVERDUE_NS:
                held.is_overdue = True
                text = (
                    f"plan {held.plan_id} did not end; {held.notional} {held.quote} stay reserved"
                )
                why = waiting.get(held.plan_id)
                if why is None:
                    out.append(self.trip(HaltCause.PLAN_OVERDUE, text, now_ns, held.plan_id))
                else:
                    text = f"{text}, the other venues are traded: {why}"
                    out.append(alert(now_ns, Severity.CRITICAL, "PLAN_WAITS", text, held.plan_id))
        return out

    def state_if_changed(self, status: TradingStatus, now_ns: int) -> list[Message]:
        """Return the trading state where it, or its reason, is not what was published last."""
        memory, (state, reason, _, obstacle) = self._memory, status
        self._was_open = self._was_open or not obstacle
        if state is memory.published and reason == memory.published_reason and memory.ts_since_ns:
            return []
        if state is not memory.published or not memory.ts_since_ns:
            memory.ts_since_ns = now_ns
        memory.published, memory.published_reason = state, reason
        return [self.state_message(now_ns)]

    def state_message(self, now_ns: int) -> TradingStateChanged:
        """Return the state last published, to be repeated."""
        memory = self._memory
        return TradingStateChanged(
            ts_ns=now_ns,
            state=memory.published,
            reason=memory.published_reason,
            ts_since_ns=memory.ts_since_ns,
            commands=memory.command_ids[-COMMANDS_NAMED:],
        )

    def is_informed(self) -> bool:
        """Tell whether the executor has reconciled and all traded venues' balances are known."""
        return self._has_reconciled and not self._venues_unknown()

    @property
    def venues_down(self) -> Mapping[str, str]:
        """What the executor sends no new orders to, and why."""
        return self._executor.venues_down if self._executor is not None else {}

    def executor_obstacle(self, now_ns: int) -> str:
        """Return why the executor cannot take plans; empty if it can."""
        ready = self._executor
        if ready is None:
            return "the executor has not reported yet"
        if not ready.ready:
            return f"the executor is not ready: {ready.reason}"
        return "the executor is silent" if now_ns - ready.ts_ns > EXECUTOR_SILENCE_NS else ""

    def _obstacle(self, missing: str) -> str:
        # Plans with a venue that stands down are denied; the others need not wait for its balances.
        if not missing and not self._ledger.balances.keys() >= self._venue_set:
            unknown = [venue for venue in self._venues_unknown() if venue not in self.venues_down]
            missing = f"balances unknown: {', '.join(unknown)}" if unknown else ""
        if not missing:
            return ""
        return f"{HaltCause.WAITING if self._was_open else HaltCause.STARTING}: {missing}"

    def _venues_unknown(self) -> list[str]:
        return [venue for venue in self._venues if venue not in self._ledger.balances]

    def _waiting(self, now_ns: int) -> Mapping[str, str]:
        """Plans that, the executor reports, wait for a venue that stands down."""
        known = self._executor is not None and not self.executor_obstacle(now_ns)
        return self._executor.plans_waiting if known and self._executor is not None else {}

    def _overdue(self, now_ns: int) -> list[str]:
        waiting = self._waiting(now_ns)
        return [
            held.plan_id
            for held in self._ledger.reservations.values()
            if held.is_overdue and held.plan_id not in waiting
        ]

    def _persisting(self, now_ns: int) -> dict[HaltCause, str]:
        """Causes of trips that RESUME cannot lift yet."""
        persisting: dict[HaltCause, str] = {}
        for cause, beyond in losses_beyond(self._ledger, self._limits).items():
            if cause is not HaltCause.DRAWDOWN:
                persisting[cause] = beyond.text
        overdue, obstacle = self._overdue(now_ns), self.executor_obstacle(now_ns)
        if overdue and obstacle:
            persisting[HaltCause.PLAN_OVERDUE] = f"{', '.join(overdue)} open, {obstacle}"
        elif overdue and self._executor is not None:
            count = self._executor.open_plans - len(self._executor.plans_waiting)
            if count > 0:
                persisting[HaltCause.PLAN_OVERDUE] = f"the executor has {count} open plans"
        return persisting

    def _release_overdue(self, now_ns: int) -> list[Message]:
        """The executor has no open plan, so what is overdue will never end."""
        out: list[Message] = []
        for plan_id in self._overdue(now_ns):
            self._ledger.release(plan_id)
            text = f"plan {plan_id} never ended, the executor has no open plan: released by RESUME"
            out.append(alert(now_ns, Severity.WARNING, "PLAN_RELEASED", text))
        return out

    def trip(self, cause: HaltCause, text: str, now_ns: int, subject: str = "") -> Alert:
        """Latch an accident; the first text of a cause stands, every one is alerted."""
        self._memory.trips.setdefault(cause.value, text)
        return alert(now_ns, Severity.CRITICAL, cause.value, f"halted: {text}", subject)


def alert(now_ns: int, severity: Severity, code: str, text: str, subject: str = "") -> Alert:
    """Return an alert of this service; subjects are what we know, never what a message names."""
    return Alert(
        ts_ns=now_ns, service="risk", severity=severity, code=code, text=text, subject=subject
    )
