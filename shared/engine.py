"""The one protocol of every service's decisions: inputs and a time in, a step out. Pure.

An engine is hosted by the shell (asyncio, Redis, sockets: ``shared/runtime``) or by the lab (one
thread, virtual time, everything in memory: ``services/lab``). It does no IO, reads no clock, logs
nothing, iterates no set and returns everything, so the same inputs at the same times give the same
steps under either host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import msgspec

from shared.config_sections import Config
from shared.delays import Uniform
from shared.messages.base import Message
from shared.strategies.port import Instance


class Action(msgspec.Struct, frozen=True):
    """A request to the outside: send this order, fetch that snapshot, open this socket.

    Each service defines its own; a host knows them by this base only.
    """


class Result(msgspec.Struct, frozen=True):
    """What came of an action; it goes back into the engine as an input."""


class BusLost(Result, frozen=True):
    """The bus is away; what was published lately may be lost with it."""

    reason: str


class BusBack(Result, frozen=True):
    """The bus takes messages again."""


class InputsOpened(Result, frozen=True):
    """Shards are read from now on, maybe other ones than before.

    What an engine knows of a shard that it gave up and got back was not kept current meanwhile.
    """


class Stopping(Result, frozen=True):
    """The process is about to end: nothing new is to be begun."""


class Step(msgspec.Struct):
    """What an engine decided on one input.

    Attributes:
        messages: To publish, in order.
        actions: To carry out once ``messages`` and the checkpoint that goes with them are confirmed
            by the bus: that is the write-ahead.
        at_once: Actions whose record is on the bus already, in the pending input that they follow
            from (docs/adr/0012), or that need none, like reading. They are carried out first, also
            while the bus is away.
    """

    messages: list[Message] = []
    actions: list[Action] = []
    at_once: list[Action] = []


NOTHING = Step()
"""The step of an input that changes nothing outside; never added to."""


class Engine(Protocol):
    """All decisions of one service. ``now_ns`` is UNIX ns and never falls."""

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin, from what was saved last under each name of ``checkpoints``; empty if nothing was.

        Called once, before any input.

        Raises:
            CodecError: What was saved is not a checkpoint of this service, of any version.
        """

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take one input in; ``redelivered`` ones may have been taken in before a crash."""

    def on_timer(self, now_ns: int) -> Step:
        """Do what is due; called once ``now_ns`` has reached ``next_deadline_ns()``."""

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` must be called next (UNIX ns), ``None`` for not at all.

        After ``on_timer(now_ns)`` the answer must lie after ``now_ns``.
        """

    def checkpoints(self) -> Mapping[str, bytes]:
        """Return what must be saved with all steps since the last call: name -> state.

        Asked once per commit rather than once per step, because a batch of inputs makes one commit.
        A name that is left out stays as it was saved last. The host saves all of it in one
        transaction with the steps' messages, or ends.
        """

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start; values only rise."""

    def gauges(self) -> Mapping[str, float]:
        """Return present values."""


@runtime_checkable
class ShardedEngine(Engine, Protocol):
    """An engine whose state is divided into shards, and these into parts."""

    def own(self, shard: int, checkpoint: bytes | None, now_ns: int) -> str | None:
        """Start to keep a shard, from its checkpoint if there is one.

        Returns:
            The entry after which to read on, ``None`` if that is not known.

        Raises:
            CodecError: The checkpoint does not decode; the shard is kept, with nothing in it yet.
        """

    def drop_shard(self, shard: int) -> None:
        """Forget a shard."""

    def names(self, shard: int) -> list[tuple[str, ...]]:
        """Return the parts of a shard."""

    def save_part(self, name: tuple[str, ...]) -> bytes:
        """Return the state of one part."""

    def join_parts(self, entry_id: str, parts: Sequence[bytes]) -> bytes:
        """Return the checkpoint of a shard, none of whose parts was saved before ``entry_id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an engine is given by its host beside the configuration.

    Attributes:
        source: Names the process: another may carry the same instance's name.
        uniform: Draws jitter.
        owner: Whose ledger it keeps: ``mode``, and accounts where they are known; empty for none.
        strategies: As configured and loaded, for an engine that hosts them.
    """

    source: str
    uniform: Uniform
    owner: Mapping[str, str] = field(default_factory=dict)
    strategies: Sequence[Instance] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """How a host builds and keeps a service's engine; ``services/<name>/engine`` has it as ENGINE.

    Attributes:
        new: Builds the engine of a process that starts.
        checkpoints: Names that its ``checkpoints()`` may save under.
        keeps_ledger: It is given an ``owner``, and takes no message before it is open.
        reports_bus_state: It is told ``BusLost`` and ``BusBack``.
        hosts_strategies: It is given the strategies.
    """

    new: Callable[[Config, Given], Engine]
    checkpoints: tuple[str, ...] = ()
    keeps_ledger: bool = False
    reports_bus_state: bool = False
    hosts_strategies: bool = False
