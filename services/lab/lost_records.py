"""A loss at the worst moment: an order is at its venue, but its record on the bus is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.executor.engine import ExecutorEngine
from shared.accounts.gateway import OrderRequest
from shared.messages.execution import ApprovedPlan, OrderPurpose
from shared.streams import EXEC_EVENT

if TYPE_CHECKING:
    from services.lab.bus_troubles import BusTroubles
    from services.lab.chaos import Chaos
    from services.lab.world import World

ARRIVED_NS = 60_000_000
"""Most orders have arrived at their venue by then."""
OLD_NS_MAX = 900_000_000
"""What asynchronous replication may lose."""


class LostRecords:
    """Loses the record of an order that evens out a plan, once each time it is wanted."""

    def __init__(self, world: World, bus: BusTroubles, chaos: Chaos) -> None:
        self._world, self._bus, self._chaos = world, bus, chaos
        self.is_wanted = True
        self._copies: list[tuple[int, int, tuple[Any, ...], dict[str, ApprovedPlan]]] = []
        """The last two states of the bus: events on it, time, data, plans."""

    def copy(self) -> None:
        """Keep a copy of the bus between two effects of the executor, while a plan is uneven."""
        if not self.is_wanted:
            return
        executor = self._world.engine("executor")
        if not isinstance(executor, ExecutorEngine):
            return
        if not any(plan.uneven_since_ns for plan in executor.state.open_plans()):
            self._copies.clear()
            return
        server = self._world.server
        events = len(server.stream(EXEC_EVENT.key()).ids)
        if not self._copies or self._copies[-1][0] != events:
            kept, plans = server.snapshot(), dict(self._world.checkers.plans)
            self._copies.append((events, self._world.kernel.now_ns(), kept, plans))
            del self._copies[:-2]

    def on_submit(self, order: OrderRequest) -> None:
        """Lose what was written last, the order's record, while the venue is slow to tell fills."""
        if order.purpose is OrderPurpose.LEG or len(self._copies) < 2:
            return
        _, at_ns, kept, plans = self._copies[0]
        if self._world.kernel.now_ns() - at_ns > OLD_NS_MAX:
            return  # that would be more than the last moment
        self.is_wanted = False
        self._copies.clear()
        losses = self._world.server.losses

        def lose() -> None:
            if self._world.server.losses == losses:
                self._bus.lose_since(kept, plans)

        self._chaos.set_conditions(order.terms.venue, {"late_fills": 1.0}, ARRIVED_NS)
        self._world.kernel.after(ARRIVED_NS, lose)
