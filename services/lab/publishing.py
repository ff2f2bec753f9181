"""Publishes messages on the bus of a world in the lab: commands, trades, funding. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.lab.keys import keys_for
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.messages.base import Message
from shared.messages.control import Command


class WithBus(Protocol):
    """A world with a bus."""

    @property
    def server(self) -> MemoryServer:
        """The bus's server."""

    def on_published(self, source: str, messages: Sequence[Message]) -> None:
        """Take note of what was published."""


def publish_command(world: WithBus, command: Command) -> None:
    """Publish a command.

    Raises:
        BusUnavailable: The bus does not take it.
    """
    publish(world, "operator", [command])


def publish(world: WithBus, source: str, messages: Sequence[Message]) -> None:
    """Publish messages from outside the five processes.

    Raises:
        BusUnavailable: The bus does not take them.
    """
    MemoryBus(world.server, service=source, keys=keys_for(source)).apply(None, messages)
    world.on_published(source, messages)
