"""Checks of venues that no longer accept our key: an operator is told, and no leg goes there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from services.executor import actions as act
from shared.accounts.gateway import OrderRequest
from shared.engine import Action, Result
from shared.errors import Cause
from shared.messages.control import Alert, Command, CommandKind
from shared.messages.execution import ExecutorReady, OrderPurpose

if TYPE_CHECKING:
    from services.lab.world import World

TOLD_NS_MAX = 1_000_000_000
"""An operator is told within this time after a venue has refused our key."""
Lives = tuple[tuple[int, int], ...]
"""Of each executor how often it has started, and when it last resumed after a pause."""
DOWN, UP_AGAIN = "VENUE_STANDS_DOWN", "STANDS_DOWN_NO_MORE"
"""Codes of alerts: a venue gets no new orders, and it gets them again."""


class AccessChecker:
    """Compares what venues answer with what an operator is told, and with what is sent."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._down: dict[str, None] = {}
        """Venues of which an operator was told that they get no new orders."""
        self._unknown_ns: dict[str, tuple[int, Lives]] = {}
        """Venues that refused our key -> since when the executor knows it, and which executor."""
        self.refused = 0
        """Answers that refused our key."""

    def on_bus_lost(self) -> None:
        """Forget what the bus may have lost."""
        self._down.clear()
        self._unknown_ns.clear()

    def on_request(self, action: Action) -> Callable[[Result], None]:
        """Return what is called with the answer: one for an executor that is gone says nothing."""
        return partial(self._on_answer, self.lives())

    def _on_answer(self, asked_by: Lives, answer: Result) -> None:
        """Note that a venue refused our key; a refusal of funding payments alone does not count."""
        if asked_by != self.lives():
            return
        venue = ""
        if isinstance(answer, act.FetchFailed) and answer.cause is Cause.KEY:
            is_account = not isinstance(answer.action, act.FetchFunding)
            venue = answer.action.venue if is_account else ""
        if venue and venue not in self._down:
            self.refused += 1
            self._unknown_ns.setdefault(venue, (self._world.kernel.now_ns(), self.lives()))

    def on_alert(self, alert: Alert) -> None:
        """Note what an operator is told."""
        venue = alert.subject
        if alert.code == DOWN:
            self._down[venue] = None
            self._unknown_ns.pop(venue, None)
        elif alert.code == UP_AGAIN:
            self._down.pop(venue, None)

    def on_ready(self, ready: ExecutorReady) -> None:
        """Note which venues the executor reports as down, every second."""
        for venue in ready.venues_down:
            self._unknown_ns.pop(venue, None)

    def on_command(self, command: Command) -> None:
        """Forget all at a RESUME: every venue gets orders again."""
        if command.kind is CommandKind.RESUME:
            self._down.clear()
            self._unknown_ns.clear()

    def on_submit(self, order: OrderRequest) -> None:
        """Report a leg that goes to a venue which stands down."""
        if order.purpose is OrderPurpose.LEG and order.terms.venue in self._down:
            text = f"{order.client_order_id} goes to {order.terms.venue}, which stands down"
            self._world.checkers.report("stands_down", text)

    def is_down(self, venue: str) -> bool:
        """Tell whether an operator was told that a venue gets no new orders."""
        return venue in self._down

    def look(self) -> None:
        """Report a refused key that an operator was not told of in time."""
        world, now_ns = self._world, self._world.kernel.now_ns()
        for venue, (since_ns, lives) in list(self._unknown_ns.items()):
            is_away = world.engine("executor") is None or not world.server.is_up
            if is_away or lives != self.lives():
                del self._unknown_ns[venue]  # that executor is gone, or could not tell
            elif now_ns - since_ns > TOLD_NS_MAX:
                world.checkers.report("stands_down", f"nobody is told that {venue} refuses our key")

    def lives(self) -> Lives:
        """Return which executors there are, so that one that is gone can be told from the next."""
        hosts = self._world.hosts.values()
        return tuple((x.starts, x.went_on_ns) for x in hosts if x.service == "executor")
