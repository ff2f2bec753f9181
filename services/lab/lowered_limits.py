"""Limits that an operator lowers while rounds are open, and the check that they are worked off.

Risk is started again with a soft limit on what is held of each derivative. What the rounds of a
world hold above it must fall from then on, and nothing may be opened until it has.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from services.lab.rounds_checker import went_on_lately
from services.risk.engine import ENGINE as RISK
from services.risk.reasons import DenyReason
from shared.config_sections import Config
from shared.domain.instrument import is_spot
from shared.domain.quantities import worth_of
from shared.domain.rounding import exact
from shared.engine import Engine, Given
from shared.messages.base import BookState, TradingState
from shared.messages.control import Alert
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.market import DepthView
from shared.messages.rounds import Intent, RoundState

if TYPE_CHECKING:
    from services.lab.world import World

ZERO: Final = Decimal(0)
MS: Final = 1_000_000
LOWERED_CHANCE = 0.25
"""That the limits of a world with derivatives are lowered, once."""
LOWERED_NS = (2_000 * MS, 7_000 * MS)
WAIT_NS, LOOK_NS = 50 * MS, 500 * MS
MOST = Decimal(400)
"""The limit on one derivative then, in quote units: a fifth of what one round may hold."""
SHARE = 0.5
LATE_NS_MAX: Final = 3_000 * MS
"""What is above its soft limit is less after so long, unless something was in the way."""
SLACK: Final = Decimal("1.02")
"""Risk counts at its own prices."""

_NO_EXCUSE: Final = frozenset((DenyReason.REDUCING, DenyReason.UNHEDGED))


class LoweredLimits:
    """Lowers the limits of a world, and watches what follows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._draw = Random(f"{world.seed}/lowered limits")
        self.is_lowered = self._is_wanted = False
        self._views: dict[tuple[str, str], DepthView] = {}
        self._above: dict[tuple[str, str], tuple[int, Decimal]] = {}
        """Since when so much is held of a derivative, unsigned, which is too much."""
        self._is_said_to_stand = False

    def start(self) -> None:
        """Draw whether and from when on the limits are lowered; once in a world."""
        if self._is_wanted:
            return
        books = [name for of in self._world.config.venues.values() for name in of.instruments]
        is_drawn = self._draw.random() < LOWERED_CHANCE
        self._is_wanted = is_drawn and not all(map(is_spot, books))
        if self._is_wanted:
            self._world.kernel.after(self._draw.randrange(*LOWERED_NS), self._lower)

    def new_risk(self, config: Config, given: Given) -> Engine:
        """Return risk's engine with the limits that are in force now."""
        if self.is_lowered:
            changed = {"instrument_notional_max": MOST, "soft_limit_share": SHARE}
            risk = msgspec.structs.replace(config.risk, **changed)
            config = msgspec.structs.replace(config, risk=risk)
        return RISK.new(config, given)

    def _lower(self) -> None:
        """Lower the limits once a round holds enough to be above them, if one ever does."""
        kernel = self._world.kernel
        if not self._world.chaos.is_on:
            return
        held = self._held(kernel.now_ns()).values()
        if not any(worth > MOST * exact(SHARE) for _, worth in held):
            kernel.after(WAIT_NS, self._lower)
            return
        self.is_lowered = True
        self._world.note(f"the limit on a derivative is lowered to {MOST}, soft at {SHARE} of it")
        for host in self._world.hosts.values():
            if host.service == "risk" and host.lives:
                host.crash()
        self._look()

    def on_view(self, view: DepthView) -> None:
        """Note what a book shows."""
        if self._is_wanted and not is_spot(view.instrument):
            self._views[view.venue, view.instrument] = view

    def on_alert(self, alert: Alert) -> None:
        """Risk says that it can close nothing now, or that it is over."""
        if alert.code in {"SOFT_LIMIT_STANDS", "SOFT_LIMIT_KEPT"}:
            self._is_said_to_stand = alert.code == "SOFT_LIMIT_STANDS"

    def on_denied(self, denied: Denied) -> None:
        """Risk cannot close something now: all else is denied for the state, which it is first.

        A part that would leave a round less hedged is no excuse: another one would not.
        """
        if self.is_lowered and denied.reason not in _NO_EXCUSE:
            self._above.clear()

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Nothing is opened while the state, told last, lets plans only reduce."""
        if plan.intent is Intent.CLOSE:
            self._is_said_to_stand = False
            self._above.clear()
        elif self.is_lowered and self._world.checkers.state is TradingState.REDUCING:
            text = f"plan {plan.plan_id} is no close, and the state is REDUCING"
            self._world.checkers.report("reducing", text)

    def _look(self) -> None:
        """Report what is held above a soft limit and has not become less."""
        self._world.kernel.after(LOOK_NS, self._look)
        if self._is_stopped():
            self._above.clear()
            return
        now_ns, before, self._above = self._world.kernel.now_ns(), self._above, {}
        for market, (qty, worth) in self._held(now_ns).items():
            if worth <= MOST * exact(SHARE) * SLACK:
                continue
            since_ns, least = before.get(market, (now_ns, qty))
            self._above[market] = (now_ns if qty < least else since_ns), qty
            if now_ns - self._above[market][0] > LATE_NS_MAX:
                text = f"{qty} of {' '.join(market)} are held and not worked off"
                self._world.checkers.report("soft_limit", text)

    def _is_stopped(self) -> bool:
        """Whether something is in the way of closing."""
        world = self._world
        return (
            self._is_said_to_stand
            or world.checkers.state is TradingState.HALTED
            or world.engine("risk") is None
            or world.engine("executor") is None
            or not world.server.is_up
            or went_on_lately(world, "risk")
        )

    def _held(self, now_ns: int) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
        """Return what open rounds hold of each derivative, as told, and its worth at the bid."""
        held: dict[tuple[str, str], Decimal] = {}
        for told in self._world.checkers.rounds.told.values():
            if told.state is RoundState.OPEN and not told.ending:
                for leg in told.legs:
                    if leg.qty and not is_spot(leg.instrument):
                        market = leg.venue, leg.instrument
                        held[market] = held.get(market, ZERO) + leg.qty
        age_ns_max = self._world.config.risk.book_age_ms_max * MS
        found: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        for market, qty in held.items():
            view = self._views.get(market)
            if view is None or view.state is not BookState.LIVE or not view.bids:
                continue
            if now_ns - view.ts_ns <= age_ns_max:
                found[market] = abs(qty), worth_of(market[1], abs(qty), exact(view.bids[0][0]))
        return found
