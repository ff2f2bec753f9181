"""Turns pages of streams into rows, positions and gaps. Pure.

A position holds the last entry taken in and how many entries the stream had ever had up to it. The
stream's own count then tells how many were trimmed away before they were read: that is a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from shared.messages.base import Message
from shared.sql_ledger.rows import Row, entry_text, rows_of


class Position(msgspec.Struct, frozen=True):
    """How far a stream was read: its last entry, and how many had ever been added up to it."""

    entry_id: str = "0-0"
    entries: int = 0


class Gap(msgspec.Struct, frozen=True):
    """Entries of a stream that the ledger never saw; how many, where that is known."""

    stream: str
    after_id: str
    before_id: str
    entries: int | None
    reason: str
    ts_ns: int


_TRIMMED = "trimmed before they were read"
_LOST = "Redis lost its data"


class PageLike(Protocol):
    """What was read of a stream, and its bounds at that moment."""

    @property
    def entries(self) -> list[tuple[str, list[Message]]]: ...

    @property
    def added(self) -> int: ...

    @property
    def length(self) -> int: ...

    @property
    def last_id(self) -> str: ...

    @property
    def undecodable(self) -> int: ...


class Taken(msgspec.Struct):
    """What is written in one transaction."""

    rows: list[Row] = []
    positions: dict[str, Position] = {}
    gaps: list[Gap] = []
    entries: int = 0


def id_order(entry_id: str) -> tuple[int, int]:
    """Return what entry ids are ordered by."""
    head, _, tail = entry_id.partition("-")
    return int(head), int(tail or 0)


def take_in(pages: Mapping[str, PageLike], positions: Mapping[str, Position], now_ns: int) -> Taken:
    """Return what the pages, read behind these positions, add to the ledger.

    Where a stream is younger than the position Redis lost its data: it is read again from its
    oldest entry.
    """
    taken = Taken()
    for stream, page in pages.items():
        _take_stream(taken, stream, page, positions.get(stream, Position()), now_ns)
    return taken


def _take_stream(taken: Taken, stream: str, page: PageLike, before: Position, now_ns: int) -> None:
    def miss(entries: int | None, before_id: str, reason: str) -> None:
        taken.gaps.append(Gap(stream, before.entry_id, before_id, entries, reason, now_ns))

    if id_order(page.last_id) < id_order(before.entry_id) or page.added < before.entries:
        miss(None, page.last_id, _LOST)
        taken.positions[stream] = Position()
        return
    trimmed = page.added - page.length
    read = before.entries
    if page.entries:
        first_id, last_id = page.entries[0][0], page.entries[-1][0]
    else:
        first_id = last_id = before.entry_id
    if trimmed > read:
        miss(trimmed - read, first_id if page.entries else page.last_id, _TRIMMED)
        read = trimmed
    read += len(page.entries)
    is_end = id_order(last_id) == id_order(page.last_id) or not page.entries
    if is_end and page.added > read:  # entries within it were deleted
        miss(page.added - read, page.last_id, "deleted before they were read")
        read = page.added
    elif is_end and page.added < read:  # it began again and has grown beyond our position since
        miss(None, page.last_id, _LOST)
        read = page.added
    if page.undecodable:
        miss(page.undecodable, last_id, "undecodable")
    for entry_id, messages in page.entries:
        for index, message in enumerate(messages):
            taken.rows += rows_of(message, entry_text(entry_id, index))
    taken.entries += len(page.entries)
    after = Position(last_id if page.entries else page.last_id, read)
    if after != before:
        taken.positions[stream] = after
