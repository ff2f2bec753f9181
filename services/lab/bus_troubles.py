"""Faults of the bus of a world: it is down, repeats entries, or loses data."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from services.lab.lost_records import LostRecords
from shared.messages.execution import ApprovedPlan
from shared.streams import CTL_COMMAND, EXEC_EVENT, EXEC_PLAN

if TYPE_CHECKING:
    from services.lab.chaos import Chaos
    from services.lab.world import World

_MS = 1_000_000
BUS_DOWN_NS = (20 * _MS, 900 * _MS)
LAST_MOMENT_NS = (20 * _MS, 900 * _MS)
"""How much of the bus's newest data is lost: what asynchronous replication may lose."""
LAST_LOOK_CHANCE = 0.5
"""That processes look at the ledger's marks once more before they end."""
REPEATED_MAX = 10
"""So many of the newest entries of a stream may be repeated."""


class BusTroubles:
    """Carries out the faults of the bus.

    Args:
        world: Whose bus it is.
        chaos: Says whether faults are on, and counts them.
        random: Draws what happens.
        on_loss: Called before the bus loses its last moment.
    """

    def __init__(
        self, world: World, chaos: Chaos, random: Random, on_loss: Callable[[], None]
    ) -> None:
        self._world, self._chaos, self._random = world, chaos, random
        self._on_loss = on_loss
        self.records = LostRecords(world, self, chaos)

    def trouble(self) -> None:
        """Repeat entries, take the bus down for a while, or let it lose its newest data."""
        draw, world = self._random, self._world
        kind = draw.randrange(3)
        if kind == 0:
            self._repeat_entry()
        elif kind == 1:
            self._chaos.fault("the bus is away")
            world.server.is_up, away_ns = False, world.kernel.now_ns()

            def back() -> None:
                world.server.is_up = True
                for host in world.hosts.values():
                    if host.went_on_ns >= away_ns:  # it can read what came meanwhile only now
                        host.went_on_ns = world.kernel.now_ns()

            world.kernel.after(draw.randrange(*BUS_DOWN_NS), back)
        else:
            self.lose_last_moment()

    def _repeat_entry(self) -> None:
        """Add entries a second time, as a writer that tries again does."""
        world = self._world
        spec = self._random.choice((EXEC_EVENT, EXEC_EVENT, EXEC_PLAN, CTL_COMMAND))
        if recent := world.server.stream(spec.key()).newest(REPEATED_MAX):
            self._chaos.fault(f"entries of {spec.name} are repeated")
            for payload, signature in self._random.sample(recent, min(3, len(recent))):
                world.server.add(spec.key(), payload, signature)
            world.notify(spec.consumers)

    def lose_last_moment(self) -> None:
        """Restore the bus, a little later, to what it holds now: what came between is lost."""
        world, losses = self._world, self._world.server.losses
        kept, kept_plans = world.server.snapshot(), dict(world.checkers.plans)
        self.records.is_wanted = True

        def lose() -> None:
            if world.server.losses == losses:
                self.lose_since(kept, kept_plans)

        world.kernel.after(self._random.randrange(*LAST_MOMENT_NS), lose)

    def lose_since(self, kept: tuple[Any, ...], kept_plans: dict[str, ApprovedPlan]) -> None:
        """Restore the bus to a copy of its data, which had so many plans."""
        if self._chaos.is_on:
            self._chaos.fault("the bus lost its last moment")
            self._on_loss()
            self._world.server.restore(kept)
            self._world.checkers.on_bus_lost(kept_plans)
            self._world.checkers.ledger.on_lost_moment()
            self.break_off()

    def empty(self) -> None:
        """Lose all data, like a Redis without persistence that is started again."""
        if self._chaos.is_on:
            self._chaos.fault("the bus lost everything")
            self._world.server.lose_everything()
            self._world.checkers.on_bus_lost({})
            self._world.checkers.ledger.on_lost_moment()
            self._world.checkers.on_bus_emptied()
            self.break_off()

    def break_off(self) -> None:
        """Let every process notice that the bus lost data: all but the ingestor end.

        Before that they look at the ledger's marks once more, unless they are killed.
        """
        looks = self._random.random() < LAST_LOOK_CHANCE
        for host in self._world.hosts.values():
            if looks and host.process.bus_news is None:
                self._world.witnesses.look(host)
            host.break_off()
