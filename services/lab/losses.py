"""Loses the bus's data while an operator's HALT is in force; tracks which processes had seen it.

Every process reads the ledger's marks once a second, with its heartbeat, and reports marks that
are missing. It reads them once more when it ends, unless it is killed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from shared.ledger import LossDetector, lost_marks
from shared.messages.control import CommandKind
from shared.messages.execution import ApprovedPlan

if TYPE_CHECKING:
    from services.lab.chaos import Chaos
    from services.lab.life import Life
    from services.lab.world import World

_MS = 1_000_000
LOOK_NS = 1_000 * _MS
"""Every process looks once in this time."""
HALTED_CHANCE = 0.2
"""That an operator halts and then, once in a world, the bus is another one."""
HALT_NS = (1_000 * _MS, 3_500 * _MS)
SEEN_NS = (3_100 * _MS, 3_500 * _MS)
"""After this long every process has seen the command's time, unless risk or it stood still."""
OLDER_NS = 300 * _MS
"""The older copy is of this long before the HALT."""
SURVIVORS_PAUSE_NS = (600 * _MS, 1_200 * _MS)
"""Who lives through it stands still first: with its next look it must speak in time even so."""
RESUME_NS = (4_000 * _MS, 6_000 * _MS)
EMPTY, OLDER, FOREIGN = "empty", "older", "foreign"
KINDS = (EMPTY, OLDER, OLDER, OLDER, FOREIGN)


@dataclass(slots=True)
class _Seen:
    """The marks one process has read since its ``start``-th start; the newest command's time."""

    start: int
    detector: LossDetector = field(default_factory=LossDetector)
    command_ns: int = 0


class Witnesses:
    """The marks that each living process has read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[str, _Seen] = {}
        self._turn = 0
        self._knowing: set[tuple[str, int]] = set()
        """Processes, by name and start, that have seen what the last loss took."""

    def start(self) -> None:
        """Let the processes read the marks, one after another."""
        hosts = list(self._world.hosts.values())
        self.look(hosts[self._turn % len(hosts)])
        self._turn += 1
        self._world.kernel.after(LOOK_NS // len(hosts), self.start)

    def on_loss(self, halted_ns: int) -> None:
        """Note which processes had read the mark of a command that is lost (or of a later one)."""
        self._knowing = {
            (name, seen.start) for name, seen in self._seen.items() if seen.command_ns >= halted_ns
        }

    def look(self, host: Life) -> None:
        """Let one process read the marks, if it is running, and report those that are lost."""
        world = self._world
        if host.engine is None or host.is_paused or not world.server.is_up:
            return
        seen = self._seen.get(host.name)
        if seen is None or seen.start != host.starts:
            seen = self._seen[host.name] = _Seen(host.starts)
        loss = seen.detector.look(world.server.marks)
        seen.command_ns = int(world.server.marks.get("command_ns", 0))
        if loss:
            world.note(f"{host.name} notices: {loss}")
            world.server.marks = lost_marks(loss) | world.server.marks
        if (host.name, host.starts) in self._knowing:
            world.checkers.ledger.on_look()


class HaltedLoss:
    """A HALT; a few seconds later the bus's data is gone, an older copy, or another system's."""

    def __init__(self, world: World, chaos: Chaos, draw: Random) -> None:
        self._world, self._chaos, self._draw = world, chaos, draw
        self._copy: tuple[tuple[Any, ...], dict[str, ApprovedPlan]] | None = None
        self.is_under_way = False
        self._halted_ns = 0

    def start(self) -> None:
        """Begin, in some worlds."""
        if self._draw.random() < HALTED_CHANCE:
            halt_ns = self._draw.randrange(*HALT_NS)
            self._world.kernel.after(halt_ns - OLDER_NS, self._keep_copy)
            self._world.kernel.after(halt_ns, self._halt)

    def _keep_copy(self) -> None:
        server = self._world.server
        self._copy = server.snapshot(), dict(self._world.checkers.plans)

    def _halt(self) -> None:
        self.is_under_way = True
        self._halted_ns = self._world.kernel.now_ns()
        self._world.note("an operator says HALT, for longer")
        self._world.send_command(CommandKind.HALT)
        self._world.kernel.after(self._draw.randrange(*SEEN_NS), self._lose)

    def _lose(self) -> None:
        if not self._chaos.is_on:
            return
        world, kind = self._world, self._draw.choice(KINDS)
        self._chaos.fault(f"the bus is another one: {kind}")
        world.checkers.ledger.on_loss(kind)
        world.witnesses.on_loss(self._halted_ns if kind == OLDER else 0)
        if kind == OLDER:
            assert self._copy is not None
            kept, plans = self._copy
            world.server.restore(kept)
            world.checkers.on_bus_lost(plans)
        else:
            world.server.lose_everything()
            world.checkers.on_bus_lost({})
            if kind == EMPTY:
                world.checkers.on_bus_emptied()
            else:
                world.server.marks |= {"id": "another", "mode": "live"}
        self._chaos.bus.break_off()
        for host in world.hosts.values():
            if host.process.bus_news is not None and host.lives and not host.is_paused:
                host.pause(self._draw.randrange(*SURVIVORS_PAUSE_NS))
        world.kernel.after(self._draw.randrange(*RESUME_NS), self._resume)

    def _resume(self) -> None:
        self.is_under_way = False
        if self._chaos.is_on:  # else the HALT at the end of the world would be lifted
            self._world.send_command(CommandKind.RESUME)
