"""A piece of a stream, with what tells whether anything before it was trimmed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.messages.base import Message


@dataclass(frozen=True, slots=True)
class Page:
    """What follows a position in a stream, and the stream's bounds at that same moment.

    ``added`` is how many entries it ever had, ``length`` how many it still has; ``undecodable``
    counts entries (of DURABLE streams; messages elsewhere) that are in no ``messages``.
    """

    entries: list[tuple[str, list[Message]]]
    added: int
    length: int
    last_id: str
    undecodable: int


def page_of(
    entries: list[tuple[str, list[Message]]], info: Mapping[str, Any], undecodable: int
) -> Page:
    """Return a page from what Redis says of the stream; of none that exists it says nothing."""
    length = int(info.get("length", 0))
    return Page(
        entries=entries,
        added=int(info.get("entries-added", length)),
        length=length,
        last_id=info.get("last-generated-id", b"0-0").decode(),
        undecodable=undecodable,
    )
