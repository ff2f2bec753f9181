"""A bounded memory of ids, in memory that it takes when it is made. Pure."""

from __future__ import annotations

from array import array
from typing import Final

_EMPTY: Final = 0
_SLOTS_PER_ID: Final = 3
"""How much of a table is empty at least, two thirds, so that a look at it is short."""


class SeenIds:
    """Tells whether an id was seen, of at least the last ``ids_max``, by its hash of 64 bits.

    Two tables of numbers, of 8 bytes a slot: the newest ids fill one, and once ``ids_max`` are in
    it the other is emptied and filled. A dictionary would take 100 bytes an id, and grow for as
    long as it takes until so many were seen, often hours.
    """

    def __init__(self, ids_max: int) -> None:
        self._ids_max = ids_max
        self._slots = 1 << (ids_max * _SLOTS_PER_ID - 1).bit_length()
        self._nothing = array("q", [_EMPTY])
        self._newer, self._older = (self._nothing * self._slots for _ in range(2))
        self._count = 0

    def add(self, key: object) -> bool:
        """Note an id; return whether it was new."""
        number = hash(key) or -1  # which no hash is
        if self._slot_of(self._older, number) is None:
            return False
        slot = self._slot_of(self._newer, number)
        if slot is None:
            return False
        if self._count == self._ids_max:
            self._newer, self._older = self._nothing * self._slots, self._newer
            self._count, slot = 0, number % self._slots
        self._newer[slot] = number
        self._count += 1
        return True

    def _slot_of(self, table: array[int], number: int) -> int | None:
        """Return the free slot that a number goes to; ``None`` if the table has it."""
        slot = number % self._slots
        while (found := table[slot]) != _EMPTY:
            if found == number:
                return None
            slot = (slot + 1) % self._slots
        return slot
