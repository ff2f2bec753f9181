"""The port of everything that yields market messages, whatever it speaks below (docs/adr/0028)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from shared.messages.base import Message

Take = Callable[[Sequence[Message]], None]
"""Takes messages in order, at once; what must wait, waits there, within a bound of its own."""


class MarketSource(Protocol):
    """Something that yields market messages.

    A source keeps itself going: it connects again, obeys limits, and says in messages what became
    of a book. It has no queue: ``take`` is called from the event loop as soon as there is news.
    """

    async def run(self, take: Take) -> None:
        """Hand over messages until canceled; then everything opened is closed."""
