"""What proves a venue's books, as its feed states it; ``shared/books_doc.py`` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.venues.port import Feed


@dataclass(frozen=True, slots=True)
class BookProof:
    """In words for ``docs/books.md``.

    Attributes:
        rule: How it is known with each message that nothing is missing.
        zero: What a quantity of zero means, and other odd levels.
        depth: Which levels are known.
        resync: What a new snapshot takes.
        unproved: What the venue gives no means to check.
        is_sequenced: Whether it is known at all; else books are UNPROVED.
        numbers_of_book: ``BookSnapshot.seq`` and ``BookDelta.seq`` are the venue's own numbers of
            the book, the same on every connection: a REST book carries them too.
    """

    rule: str
    zero: str
    depth: str
    resync: str
    unproved: str
    is_sequenced: bool = True
    numbers_of_book: bool = False


ZERO_REMOVES = "removes the level; one that is not there is no fault"
"""The usual meaning of zero."""
NO_CHECKSUM = "quantities and prices: there is no checksum"


class ProvedFeed(Feed, Protocol):
    """A venue's feed, which says what proves its books."""

    proof: BookProof
