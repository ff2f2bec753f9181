"""Draws values as a line of characters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character's dots, by column and row from the top."""
BLANK: Final = 0x2800
COLUMNS_PER_CELL, ROWS_PER_CELL = 2, 4


def bounds_of(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Return the least and the largest; ``None`` without any. A flat line gets some room."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    if low == high:
        room = abs(low) * 1e-4 or 1.0
        return low - room, high + room
    return low, high


def braille(values: Sequence[float | None], rows: int) -> list[str]:
    """Return lines of braille characters: two values a character, a hole where one is unknown.

    Neighbors that are both known are joined by a vertical stroke.
    """
    grid = [[0] * (len(values) // COLUMNS_PER_CELL) for _ in range(rows)]
    for x, ys in enumerate(_strokes(values, rows * ROWS_PER_CELL)):
        for y in ys:
            if x // COLUMNS_PER_CELL < len(grid[0]):
                bit = DOTS[x % COLUMNS_PER_CELL][y % ROWS_PER_CELL]
                grid[y // ROWS_PER_CELL][x // COLUMNS_PER_CELL] |= bit
    return ["".join(chr(BLANK + cell) if cell else " " for cell in row) for row in grid]


def stars(values: Sequence[float | None], rows: int) -> list[str]:
    """Return lines of ASCII: one value a character."""
    columns = [set(ys) for ys in _strokes(values, rows)]
    return ["".join("*" if y in column else " " for column in columns) for y in range(rows)]


def _strokes(values: Sequence[float | None], height: int) -> list[range]:
    """Return for each value the rows that are drawn, 0 at the top."""
    bounds = bounds_of(values)
    strokes: list[range] = []
    before: int | None = None
    for value in values:
        if value is None or bounds is None:
            strokes.append(range(0))
            before = None
            continue
        low, high = bounds
        y = round((high - value) / (high - low) * (height - 1))
        if before is None or before == y:
            strokes.append(range(y, y + 1))
        else:
            strokes.append(range(min(y, before + 1), max(y + 1, before)))
        before = y
    return strokes
