"""Keeps a table equal to rows with the fewest changes: cells that differ, rows that are new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from services.cli.top.cells import Cell, Row

if TYPE_CHECKING:
    from textual.widgets import DataTable


class Shown:
    """What a table shows.

    Args:
        table: It is emptied.
        columns: Their names; those that begin with ``>`` are numbers.
    """

    def __init__(self, table: DataTable[Cell], columns: Sequence[str]) -> None:
        self.table = table
        self._cells: dict[str, tuple[Cell, ...]] = {}
        table.clear(columns=True)
        table.show_header = any(columns)
        self._columns: list[Any] = []
        for number, name in enumerate(columns):
            justify: Any = "right" if name.startswith(">") else "left"
            label = Text(name.removeprefix(">"), justify=justify)
            self._columns.append(table.add_column(label, key=str(number)))
        self.cells_changed = 0

    def show(self, rows: Sequence[Row], *, follows_end: bool) -> None:
        """Make the table show these rows, in this order."""
        table = self.table
        at_end = table.cursor_row >= table.row_count - 1
        wanted = {row.key: row.cells for row in rows}
        if not self._can_go_on(wanted):
            self._begin_again(rows)
        else:
            for key in [key for key in self._cells if key not in wanted]:
                table.remove_row(key)
                del self._cells[key]
            for key, cells in wanted.items():
                self._update(key, cells)
        if follows_end and at_end and rows:
            table.move_cursor(row=len(rows) - 1)

    def _can_go_on(self, wanted: dict[str, tuple[Cell, ...]]) -> bool:
        """Tell whether what stays is in the same order, and what is new comes after it."""
        stays = [key for key in self._cells if key in wanted]
        if list(wanted)[: len(stays)] != stays:
            return False
        return len(stays) > 0 or not self._cells

    def _update(self, key: str, cells: tuple[Cell, ...]) -> None:
        before = self._cells.get(key)
        if before is None:
            self.table.add_row(*map(_plain, cells), key=key)
        else:
            for column, old, new in zip(self._columns, before, cells, strict=True):
                if old != new:
                    self.cells_changed += 1
                    self.table.update_cell(key, column, _plain(new), update_width=True)
        self._cells[key] = cells

    def _begin_again(self, rows: Sequence[Row]) -> None:
        """Fill the table anew; the cursor stays on its row, or at the top."""
        table = self.table
        key, row, scroll_y = "", table.cursor_row, table.scroll_y
        if table.row_count:
            key = str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)
        table.clear()
        self._cells = {}
        for each in rows:
            self._update(each.key, each.cells)
        if row > 0 and key in self._cells:  # at the top it stays with what is newest
            row = table.get_row_index(key)
        table.move_cursor(row=min(row, max(0, len(rows) - 1)), scroll=False)
        table.scroll_to(y=scroll_y, animate=False)


def _plain(cell: Cell) -> Text:
    """Return a cell as it is: a table takes brackets of a ``str`` for markup."""
    return cell if isinstance(cell, Text) else Text(cell)
