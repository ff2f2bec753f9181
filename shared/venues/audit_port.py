"""What a venue folder offers so that books can be compared with its REST book.

``book_audit.py`` of a folder has ``AUDIT``, of this shape. It is asked for apart from the stream,
also where the stream itself starts from a REST book: what a book is checked against must not be
what it was made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared.messages.market import Level

EVERY_LEVEL = 2**31
"""More levels than any answer has: none is cut."""


class RestBook(NamedTuple):
    """The best levels of a book in base units, best first.

    ``seq`` is comparable with the numbers of the stream's messages, ``None`` where none is.
    """

    bids: Sequence[Level]
    asks: Sequence[Level]
    seq: int | None


class BookAuditPort(Protocol):
    """How a REST book is asked for and read."""

    levels: int
    """Of each side asked for; a side with as many was cut there."""
    weight: int
    """What a request costs of the venue's rate budget."""
    is_numbered: bool
    """Whether answers carry a number that the stream's can be compared with."""
    qty_tolerance: float
    """By how much quantities may differ because the answer rounds them; 0 where it does not."""

    def path(self, instrument: str) -> str:
        """Return the path, with its query, of an instrument's book."""

    def read(self, body: bytes) -> RestBook:
        """Read an answer.

        Raises:
            ParseError: Not a book.
        """
