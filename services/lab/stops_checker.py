"""Checks of stops: they stay with their round, and one that is due is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.lab.rounds_checker import went_on_lately
from shared.domain.rounding import exact
from shared.messages.arb import Signal
from shared.messages.base import BookState, TradingState
from shared.messages.control import Alert
from shared.messages.execution import ApprovedPlan
from shared.messages.market import DepthView
from shared.messages.rounds import Intent, RoundState, StrategyPosition, round_key

if TYPE_CHECKING:
    from services.lab.world import World

LATE_NS_MAX = 900_000_000
"""A stop whose price is there for so long has been sent, unless something was in its way."""


class StopsChecker:
    """Watches stops from outside: by the signals, the views and what risk tells of rounds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._signalled: dict[str, Signal] = {}
        self._told: dict[str, StrategyPosition] = {}
        self._views: dict[tuple[str, str], DepthView] = {}
        self._due_ns: dict[str, int] = {}
        """Round -> since when its stop is due, and nothing has come of it."""
        self._denied: dict[str, None] = {}
        """Rounds of which an operator was told that they cannot be closed now."""

    def on_bus_lost(self) -> None:
        """Forget what the bus may have lost."""
        self._told.clear()
        self._signalled.clear()
        self._due_ns.clear()
        self._denied.clear()

    def on_signal(self, signal: Signal) -> None:
        """A strategy wants a round with a stop."""
        if signal.stop_bps > 0:
            self._signalled[round_key(signal.strategy_id, signal.round_id)] = signal

    def on_view(self, view: DepthView) -> None:
        """Note what a book shows."""
        self._views[view.venue, view.instrument] = view

    def on_position(self, told: StrategyPosition) -> None:
        """Check that a round opened by a signal has its stop, and that one handed over says why."""
        key, report = round_key(told.strategy_id, told.round_id), self._world.checkers.report
        self._told[key] = told
        if told.state is RoundState.HALTED and not told.reason:
            report("handed_over", f"round {key} is HALTED and nobody says why")
        holds = told.state is RoundState.OPEN and any(leg.qty for leg in told.legs)
        if holds and told.stop is None and key in self._signalled:
            report("stop_kept", f"round {key} was opened with a stop and has none")

    def on_plan(self, plan: ApprovedPlan) -> None:
        """What closes a round is sent."""
        key = round_key(plan.strategy, plan.round_id)
        if plan.intent is Intent.CLOSE:
            self._due_ns.pop(key, None)
            self._denied.pop(key, None)

    def on_alert(self, alert: Alert) -> None:
        """An operator is told why a round cannot be closed."""
        if alert.code == "STOP_DENIED":
            self._denied[alert.subject] = None

    def look(self) -> None:
        """Report stops that have been due for too long."""
        now_ns = self._world.kernel.now_ns()
        is_stopped = (
            self._world.checkers.state is TradingState.HALTED
            or self._world.engine("risk") is None
            or not self._world.server.is_up
            or went_on_lately(self._world, "risk")
        )
        for key, told in self._told.items():
            if is_stopped or key in self._denied or not self._is_due(told, now_ns):
                self._due_ns.pop(key, None)
            elif now_ns - self._due_ns.setdefault(key, now_ns) > LATE_NS_MAX:
                self._world.checkers.report("stop_sent", f"the stop of round {key} is not sent")

    def _is_due(self, told: StrategyPosition, now_ns: int) -> bool:
        if told.state is not RoundState.OPEN or told.stop is None:
            return False
        age_ns_max = self._world.config.risk.book_age_ms_max * 1_000_000
        held = [leg for leg in told.legs if leg.qty]
        for leg in held:
            view = self._views.get((leg.venue, leg.instrument))
            if view is None or view.state is not BookState.LIVE:
                return False
            if now_ns - view.ts_ns > age_ns_max:
                return False  # an orderbook is away: so old a view prices nothing
            side = view.bids if leg.qty > 0 else view.asks
            if not (view.bids and view.asks):
                return False
            beyond = exact(side[0][0]) - told.stop
            if (beyond if leg.qty > 0 else -beyond) > 0:
                return False
        return bool(held)
