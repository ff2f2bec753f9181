"""What browsers are shown: rows of JSON that know when they changed. Pure.

A row is encoded once, when it changes, for all who read it. Every change has a number, so what a
reader has not seen is what changed after the number that it has. For a reader nothing more is kept,
unless a frame was too small for all: then which rows it was sent.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

AS_OF_EVERY_MS: Final = 1_000
"""A row that is only confirmed is sent again this often, so that its age stays true."""
GONE_MAX: Final = 200
"""Rows that are gone are remembered up to this many; who is further behind gets all anew."""
ROW_BYTES_MAX: Final = 16_000
"""A longer row is not shown; that it is too long is."""

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Row:
    number: int
    body: bytes  # of the object, without its closing brace and its age
    as_of_ms: int | None
    piece: bytes


@dataclass(slots=True)
class Reader:
    """How far one reader of a topic is.

    It has every change up to number ``since``; where frames were too small for all, ``sent`` has
    what it was sent beyond that, the longest ago first. What is gone it knows up to ``told``.
    """

    since: int = 0
    told: int = 0
    is_new: bool = True
    sent: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Patch:
    """What a reader lacks: ``body`` of the topic's JSON, empty where that is nothing.

    ``is_cut``: there is more.
    """

    body: bytes
    is_cut: bool


class Topic:
    """A table of rows, or a card of cells, which is the same under another name.

    Args:
        name: As it is subscribed to.
        rows_max: More are left out, and how many is said.
        is_card: Its rows are the cells of one card.
    """

    def __init__(self, name: str, rows_max: int, *, is_card: bool = False) -> None:
        self.name, self.rows_max, self._is_card = name, rows_max, is_card
        self._rows: dict[str, _Row] = {}  # by the number of their last change
        self._gone: dict[str, int] = {}
        self._forgotten = 0
        self._left_out = 0
        self._left_out_number = 0
        self.number = 1

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, key: str, value: Any, as_of_ms: int | None = None) -> None:
        """Set a row; one that says the same as before is no change.

        Args:
            key: Its id.
            value: What it says: an object, or of a card anything.
            as_of_ms: When its source said so, UNIX ms; shown as its last field.
        """
        body, known = _encode(value), self._rows.get(key)
        if len(body) > ROW_BYTES_MAX:
            body = b'{"is_too_long":true}'
        if known is not None and known.body == body:
            before_ms, after_ms = known.as_of_ms, as_of_ms
            if before_ms == after_ms or (
                before_ms is not None
                and after_ms is not None
                and 0 <= after_ms - before_ms < AS_OF_EVERY_MS
            ):
                return
        if known is None and len(self._rows) >= self.rows_max:
            self.drop(next(iter(self._rows)))
        text = body if as_of_ms is None else b'%b,"as_of_ms":%d}' % (body[:-1], as_of_ms)
        self.number += 1
        self._rows.pop(key, None)
        self._gone.pop(key, None)
        self._rows[key] = _Row(self.number, body, as_of_ms, _encode(key) + b":" + text)

    def drop(self, key: str) -> None:
        """Take a row away."""
        if self._rows.pop(key, None) is None:
            return
        self.number += 1
        self._gone[key] = self.number
        if len(self._gone) > GONE_MAX:
            self._forgotten = self._gone.pop(next(iter(self._gone)))

    def replace(self, rows: Mapping[str, Any], as_of_ms: Mapping[str, int] | None = None) -> None:
        """Set all rows: the first ``rows_max`` of these, and no others."""
        kept = list(rows)[: self.rows_max]
        for key in self._rows.keys() - set(kept):
            self.drop(key)
        for key in kept:
            self.put(key, rows[key], None if as_of_ms is None else as_of_ms.get(key))
        if (left_out := len(rows) - len(kept)) != self._left_out:
            self.number += 1
            self._left_out, self._left_out_number = left_out, self.number

    def is_lost(self, reader: Reader) -> bool:
        """Tell whether a reader gets all anew: it has nothing, or is too far behind."""
        return reader.is_new or reader.told < self._forgotten

    def patch(self, reader: Reader, only: Container[str] | None, room: int) -> Patch:
        """Return what a reader lacks, as far as there is room, and note that it has it.

        What it has lacked for longest comes first, so however often rows change none is left out
        for ever.

        Args:
            reader: How far it is.
            only: The ids of the rows that it wants; ``None``: all.
            room: Bytes.
        """
        if not reader.is_new and self.is_lost(reader):
            reader.since, reader.is_new = 0, True
            reader.sent.clear()
        if not reader.is_new and reader.since >= self.number:
            return Patch(b"", False)
        gone = [] if reader.is_new else self._gone_since(reader.told, only)
        told_gone = b'"gone":' + _encode(gone) if gone else b""
        room -= len(told_gone)
        rows: list[tuple[str, _Row]] = []
        is_cut = False
        for key, row in self._lacking(reader, only):
            room -= len(row.piece) + 1
            if room < 0:
                is_cut = True
                break
            rows.append((key, row))
        if is_cut and not rows:
            return Patch(b"", True)
        parts = [b'"is_snapshot":%b' % (b"true" if reader.is_new else b"false")]
        pieces = b",".join(row.piece for _, row in rows)
        parts.append(b'"%b":{%b}' % (b"cells" if self._is_card else b"rows", pieces))
        if gone:
            parts.append(told_gone)
        tells_left_out = self._left_out_number > reader.told and (self._left_out or reader.told)
        if tells_left_out:
            parts.append(b'"left_out":%d' % self._left_out)
        is_something = reader.is_new or bool(rows or gone or tells_left_out)
        for key in gone:
            reader.sent.pop(key, None)
        if is_cut:
            for key, row in rows:
                reader.sent.pop(key, None)
                reader.sent[key] = row.number
        else:
            reader.since = self.number
            reader.sent.clear()
        reader.told, reader.is_new = self.number, False
        return Patch(b"{%b}" % b",".join(parts) if is_something else b"", is_cut)

    def _gone_since(self, number: int, only: Container[str] | None) -> list[str]:
        return [
            key for key, at in self._gone.items() if number < at and (only is None or key in only)
        ]

    def _lacking(self, reader: Reader, only: Container[str] | None) -> list[tuple[str, _Row]]:
        """Return the rows that a reader lacks, the one that it was sent longest ago first."""
        lacking = []
        for key, row in reversed(self._rows.items()):
            if row.number <= reader.since:
                break
            if row.number > reader.sent.get(key, 0) and (only is None or key in only):
                lacking.append((key, row))
        lacking.reverse()
        if reader.sent:
            places = {key: place for place, key in enumerate(reader.sent, start=1)}
            lacking.sort(key=lambda each: places.get(each[0], 0))
        return lacking
