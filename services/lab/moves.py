"""When the market of a world moves: soon after plans are approved, and seldom while nobody trades.

A move costs the work of every service for every book. It finds something where it meets a plan, so
that is where the moves are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from services.executor.engine import ExecutorEngine
from services.lab.kernel import between
from services.lab.kinds import QUOTED, Kind
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan

if TYPE_CHECKING:
    from services.lab.world import World

_MS = 1_000_000
BUSY_NS, BUSY_MOVE_NS = 600 * _MS, 150 * _MS
"""The market moves so often for so long after a plan was approved, and where quotes rest."""
FIRST_MOVE_NS = (30 * _MS, 300 * _MS)
"""It moves so soon after a plan was approved: often before its orders are known."""
MOVE_NS, ENDING_MOVE_NS = 220 * _MS, 500 * _MS
"""It moves this often while somebody can trade, and while plans only have to end."""
IDLE_MOVE_NS = 1_200 * _MS
"""It moves this often while nothing goes on: less than the age at which a book is too old."""
TRADERS = frozenset(("risk", "executor"))
"""After whose messages somebody may be able to trade who was not before."""


class Moves:
    """Moves the market of a world, and lets the feed and the public trades follow."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._next, self._next_ns = 0, 0
        """The number of the next move, and its time; one that was brought forward has another."""
        self._is_idle = False
        self._approved_ns = 0
        """When a plan was approved last."""

    def start(self) -> None:
        """Move now, and again and again."""
        self._move(self._next)

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Move soon after a plan was approved, and at once when trading begins."""
        world = self._world
        if world.kind is not Kind.QUOTES and any(map(_trades_now, messages)):
            self._approved_ns = world.kernel.time_ns
            self._bring_forward(between(world.random.getrandbits, FIRST_MOVE_NS))
        elif self._is_idle and service in TRADERS and world.is_open():
            self._bring_forward(0)

    def _move(self, number: int) -> None:
        if number != self._next:
            return  # it was brought forward
        world = self._world
        if world.trades is not None:
            world.trades.on_move()
        world.market.move(world.kernel.now_ns(), is_calm=self._is_idle)
        world.feed.on_move()
        delay_ns = self._delay_ns()
        self._is_idle = delay_ns == IDLE_MOVE_NS
        self._plan(delay_ns)

    def _delay_ns(self) -> int:
        """Return how long the market stands still now."""
        world = self._world
        is_open = world.is_open()
        is_quoted = is_open and world.kind in QUOTED
        is_busy = world.kernel.time_ns - self._approved_ns < BUSY_NS
        if is_busy or is_quoted or world.pace.is_restless:
            return BUSY_MOVE_NS
        if is_open:
            return MOVE_NS
        return ENDING_MOVE_NS if self._is_ending() else IDLE_MOVE_NS

    def _is_ending(self) -> bool:
        """Whether a plan or a FLATTEN is under way."""
        executor = self._world.engine("executor")
        is_flattening = isinstance(executor, ExecutorEngine) and bool(executor.state.flatten)
        return is_flattening or self._world.checkers.has_plans_in_flight

    def _bring_forward(self, delay_ns: int) -> None:
        """Move so much later, unless the next move comes before."""
        self._is_idle = False
        if self._world.kernel.time_ns + delay_ns < self._next_ns:
            self._plan(delay_ns)

    def _plan(self, delay_ns: int) -> None:
        """Move so much later, and not when the next move was to be before."""
        kernel = self._world.kernel
        self._next += 1
        self._next_ns = kernel.time_ns + delay_ns
        kernel.after(delay_ns, partial(self._move, self._next))


def _trades_now(message: Message) -> bool:
    """Tell whether a plan was approved whose legs do not wait for others to trade."""
    return type(message) is ApprovedPlan and message.resting is None
