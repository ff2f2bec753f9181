"""The table of `arb top`: Textual's, which keeps little more than what is on the screen.

Textual keeps what it drew under a number that every changed cell raises, so most of what it keeps
is never asked for again: up to 10,000 cells and 1,000 lines, dropped whole, as one cycle, where
another screen is shown. Each cell's style holds its row and column, and what the terminal is sent
for a style is kept for 16,384 of them: a log that grows to 500 rows has 3,000. Tens of thousands
of objects come and go so, and what is allocated among them keeps their memory in use.
"""

from __future__ import annotations

from typing import Final

from textual.cache import LRUCache
from textual.strip import Strip
from textual.widgets import DataTable

from services.cli.top.cells import Cell

KEPT_SHARE: Final = 10
"""One in so many of what Textual would keep: 1,000 cells and 100 lines, more than a screen has."""
STYLES_MAX: Final = 1_000
"""A screen of 50 rows has some 300, and drawing one anew takes microseconds."""


class RowsTable(DataTable[Cell]):
    """A table of rows without a memory of what it showed before."""

    def __init__(self) -> None:
        super().__init__(id="table", cursor_type="row", zebra_stripes=True)
        for cache in vars(self).values():
            if isinstance(cache, LRUCache):
                cache.maxsize = max(1, cache.maxsize // KEPT_SHARE)


def forget_styles() -> None:
    """Forget what was sent for styles once that is of more cells than a screen has."""
    if Strip.render_ansi.cache_info().currsize > STYLES_MAX:
        Strip.render_ansi.cache_clear()
