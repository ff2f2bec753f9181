"""What a process of the lab is made of, and what it needs of the world around it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from services.lab.kernel import Kernel
from services.scanner.units import Units
from shared.bus.memory_store import MemoryServer
from shared.bus.port import Input
from shared.engine import Action, Engine, Result
from shared.messages.base import Message
from shared.services import ServiceSpec
from shared.streams import BY_NAME, STREAM_OF, Delivery, StreamSpec

if TYPE_CHECKING:
    from services.lab.life import Life

T = TypeVar("T")


class Crashed(Exception):  # noqa: N818 - not an error: the process is meant to die here
    """The process ended at this point."""


class Transport(Protocol):
    """Carries out an engine's actions; results are delivered later, or never."""

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Begin the work."""


class Lab(Protocol):
    """What a host needs of the world around it."""

    @property
    def kernel(self) -> Kernel:
        """Virtual time."""

    @property
    def server(self) -> MemoryServer:
        """The bus's server."""

    def hop_ns(self) -> int:
        """Return how long the next hop over the bus takes."""

    def crash_point(self, service: str) -> None:
        """A point between two effects of a service.

        Raises:
            Crashed: The process ends here.
        """

    def on_action(self, action: Action, *, is_at_once: bool) -> None:
        """An action is carried out now."""

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Messages are on the bus: wake their readers."""

    def on_crash(self, host: Life) -> None:
        """A process ended."""

    def pauses(self, host: Life) -> bool:
        """Tell whether a process was stopped before its next effect."""

    def on_effect(self, host: Life) -> None:
        """A process is about to do something that others see."""

    def is_gone(self, owner: str) -> bool:
        """Tell whether a process has ended where one can see it: on the same machine."""


@dataclass(frozen=True, slots=True)
class Process:
    """One instance of a service, as it is wired.

    Attributes:
        row: Its row in the table of services.
        name: Of the instance; the first has the service's.
        shards: How many there are.
        make: Builds the engine of a new process.
        inputs: What it reads: of which shards, and where to read on in a stream.
        units: What it shares with others of its service beside shards, if it runs strategies.
        names: What its checkpoints are saved under.
        transport: Carries out its actions, if it has any.
        has_begun: Whether its engine takes messages; nothing is read before.
        on_read: Called with every message that it reads, before its engine is.
        lives_without_bus: Whether it goes on when the bus refuses a commit.
        bus_news: Its engine's inputs for a lost bus and for its return, if it wants them.
    """

    row: ServiceSpec
    name: str
    shards: int
    make: Callable[[], Engine]
    inputs: Callable[[Sequence[int], Mapping[str, Mapping[int, str]]], Sequence[Input]]
    units: Units | None = None
    names: tuple[str, ...] = ()
    transport: Transport | None = None
    has_begun: Callable[[Engine], bool] = lambda engine: True
    on_read: Callable[[Message], None] | None = None
    lives_without_bus: bool = False
    bus_news: tuple[Result, Result] | None = None

    @property
    def service(self) -> str:
        """Its name in the table of services."""
        return self.row.name

    @property
    def reads_durable(self) -> bool:
        """Whether any stream that it reads gives every entry to one reader."""
        streams = [BY_NAME[read.stream] for read in self.row.reads]
        return any(each.delivery is Delivery.DURABLE for each in streams)


def streams_of(messages: Sequence[Message]) -> Sequence[StreamSpec]:
    """Return the streams that these messages are written to."""
    kinds = dict.fromkeys(map(type, messages))
    if len(kinds) == 1:
        return (STREAM_OF[type(messages[0])],)
    return tuple(dict.fromkeys(STREAM_OF[kind] for kind in kinds))


def readers_of(streams: Sequence[StreamSpec]) -> Sequence[str]:
    """Return the services that read these streams, in the order of the map."""
    if len(streams) == 1:
        return streams[0].consumers
    return tuple(dict.fromkeys(service for each in streams for service in each.consumers))


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, as those of the bus in memory are, and return its result.

    Raises:
        RuntimeError: It waits for something.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("what runs in the lab must not wait")
