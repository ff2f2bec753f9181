"""Checks dead-man's switches: no order outlives them once the executor is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.lab.positions import is_ours

if TYPE_CHECKING:
    from services.lab.world import World
    from shared.exchange.orders import Order

WAY_NS = 1_600_000_000
"""A request sent before the executor ended may take so long, and then renews the switch, or brings
an order to a venue whose switch has just fired."""
MS, SECOND_NS = 1_000_000, 1_000_000_000


class DeadManChecker:
    """Looks at what rests at the venues while no executor is at work."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._after_ns = world.config.executor.dead_man_s * SECOND_NS
        self._gone_ns = 0
        """Since when no look has found an executor at work; 0: one is."""
        self._lives: tuple[tuple[int, int], ...] = ()
        self.judged = 0
        """Looks at which orders could have rested for too long."""

    def look(self) -> None:
        """Report orders of ours that rest where they should have been canceled."""
        if not self._after_ns:
            return
        world, now_ns = self._world, self._world.kernel.now_ns()
        hosts = [host for host in world.hosts.values() if host.service == "executor"]
        lives = tuple((host.starts, host.went_on_ns) for host in hosts)
        if world.engine("executor") is not None or lives != self._lives:
            self._gone_ns, self._lives = 0, lives
            return
        self._gone_ns = self._gone_ns or now_ns
        if now_ns - self._gone_ns <= self._after_ns + WAY_NS:
            return
        self.judged += 1
        for venue, exchange in world.exchanges.items():
            if not world.switches.has(venue) or venue in world.switches.missed:
                continue
            for order in exchange.open_orders.values():
                is_older = order.ts_ms * MS < self._gone_ns
                if (
                    is_older
                    and is_ours(order.request.client_id)
                    and not self._came_late(venue, order)
                ):
                    text = f"{order.request.client_id} rests at {venue}, and no executor is at work"
                    world.checkers.report("dead_man", text)

    def _came_late(self, venue: str, order: Order) -> bool:
        """Tell whether an order was on its way when the switch fired, which works once."""
        fired_ns = self._world.switches.spent_ns(venue, order.request.listing.instrument)
        return fired_ns <= order.ts_ms * MS <= fired_ns + WAY_NS
