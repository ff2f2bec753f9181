"""What a service's wiring configures in the shell: inputs, lease, what is saved and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.bus.port import Input
from shared.config import position_interval_ms
from shared.engine import Action, Result
from shared.lease import Lease, ShardOwner
from shared.messages.base import Message

Deliver = Callable[[Result], None]


class Transport(Protocol):
    """Carries out an engine's actions: the IO that only its service needs."""

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action and return at once; ``deliver`` takes any number of results, later."""

    async def close(self) -> None:
        """Close what is open; called when the tasks that it spawned have ended."""


class Saving(Protocol):
    """Restores and saves what an instance owns, between two batches."""

    async def own(self, owned: Sequence[int]) -> None:
        """Give up what is not in ``owned`` and restore what is new in it."""

    def note_read(self, last_ids: Mapping[str, str]) -> None:
        """Note how far a batch went that has been decided and sent."""

    async def advance(self) -> None:
        """Save what is due; called between two batches."""

    async def save_all(self) -> None:
        """Save all of it now."""


class NoTransport:
    """For an engine without actions."""

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Refuse: there is nothing to carry it out with."""
        raise AssertionError(f"there is no transport for {type(action).__name__}")

    async def close(self) -> None:
        """Nothing was started."""


@dataclass(frozen=True, kw_only=True)
class Hosting:
    """How an engine is hosted.

    Attributes:
        inputs: The streams to read; the argument are the shards that this instance owns, empty
            where shards are not divided among instances.
        exclusive: Consumers that left entries pending are dead: this instance holds the lease.
        lease: Wait until this is held, and end when it is lost.
        shards: Divides the shards of the service among its instances.
        saved_shards: Saves the state of what is owned, part by part between batches.
        checkpoints: Names that ``engine.checkpoints()`` may save under.
        has_begun: Whether the engine takes messages; nothing is read from the bus before.
        transport: Carries out actions.
        measures: Type -> measure. Of a message that was published because of an input: the time
            since its ``ts_recv_ns``. Of a result that was taken in: the same, for the first of a
            batch.
        reports_bus_state: The engine is given ``BusLost`` and ``BusBack``; for services that may
            lose what they publish.
        watch: Sees every message before the engine does.
        warm: Takes the way of a decision and keeps nothing of it; see ``warming.py``.
        warming_ms: How often; 0: never.
        warms_after_steps: Only right after a step, where messages come all the time.
        obstacle: Why the service is not ready; empty when it is.
        notes: What an operator should know all the same, by what it is about.
        open_work: What must end before the process may; named for the log.
        positions: How far the service is in what it reads from elsewhere than the bus.
        position_interval_s: Positions are written at most this often.
    """

    inputs: Callable[[tuple[int, ...]], Sequence[Input]]
    exclusive: bool = False
    lease: Lease | None = None
    shards: ShardOwner | None = None
    saved_shards: Saving | None = None
    checkpoints: Sequence[str] = ()
    has_begun: Callable[[], bool] = lambda: True
    transport: Transport = field(default_factory=NoTransport)
    measures: Mapping[type[Message | Result], str] = field(default_factory=dict)
    reports_bus_state: bool = False
    watch: Callable[[Message], None] | None = None
    warm: Callable[[int], None] | None = None
    warming_ms: int = 0
    warms_after_steps: bool = False
    obstacle: Callable[[], str] = lambda: ""
    notes: Callable[[], Mapping[str, str]] = dict
    open_work: Callable[[], Sequence[str]] = lambda: ()
    positions: Callable[[], Mapping[str, str]] = dict
    position_interval_s: float = field(default_factory=lambda: position_interval_ms() / 1_000)
