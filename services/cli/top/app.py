"""`arb top` on Textual: one table that shows a screen at a time, and dialogs over it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Input, Static

from services.cli.top.cells import Cell, Row, clock, duration
from services.cli.top.dialogs import CommandDialog, TextDialog
from services.cli.top.screens import ROWS_MAX, SCREENS, ScreenSpec
from services.cli.top.shown import Shown
from services.cli.top.state_rows import trading_text
from services.cli.top.table import RowsTable, forget_styles
from services.cli.top.watched import Watched
from shared.clock import SystemClock
from shared.errors import ArbError, ConfigError
from shared.messages.control import CommandKind

REFRESH_S: Final = 0.25
TIME: Final = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:(\d+)ms)?")
"""An age or a time, as ``cells`` writes it."""
NUMBER: Final = re.compile(r"[+-]?[\d,]*\.?\d+(?= |$)")
READ_ONLY: Final = "read-only: start arb top --operator to give commands"
HELP: Final = """\
1-9     screens        /  filter rows (Esc ends it)    s  sort by the next column
Enter   all of a row   w  why it does not trade, or of the row's opportunity or plan
p       pause          y  copy the row's id            q  quit
H F R   HALT, FLATTEN, RESUME: only with arb top --operator, and typed out

Times are UTC. A dash is not known, never 0. SILENT and red ages are older than 5 s.
Results with certainty ESTIMATED or UNKNOWN miss something; arb status says what."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What the screen reaches: a reader that fills ``watched``, `arb why`, and commands.

    ``command`` is ``None`` where it may give none.
    """

    follow: Callable[[], Awaitable[None]]
    why: Callable[[str], Awaitable[Sequence[str]]]
    command: Callable[[CommandKind], Awaitable[str]] | None = None


class TopApp(App[None]):
    """The application.

    Args:
        watched: What is shown.
        doors: What it reaches; given this application, which says what it shows.
        now_ns: UNIX ns.
    """

    CSS = """
    #head, #tabs, #foot { height: 1; }
    #head { background: $panel; }
    #foot { color: $text-muted; }
    #table { height: 1fr; scrollbar-size-vertical: 1; }
    #empty { height: 1fr; padding: 1 2; color: $text-muted; }
    #filter { height: 1; border: none; display: none; padding: 0 1; }
    """
    TITLE = "arb top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n), f"show({n - 1})", show=False) for n in range(1, len(SCREENS) + 1)),
        Binding("slash", "filter", show=False),
        Binding("escape", "unfilter", show=False),
        Binding("s", "sort", show=False),
        Binding("w", "why", show=False),
        Binding("p", "pause", show=False),
        Binding("y", "copy", show=False),
        Binding("question_mark", "help", show=False),
        Binding("q", "quit", show=False),
        Binding("H", "command('HALT')", show=False),
        Binding("F", "command('FLATTEN')", show=False),
        Binding("R", "command('RESUME')", show=False),
    ]

    def __init__(
        self,
        watched: Watched,
        doors: Callable[[TopApp], Doors],
        now_ns: Callable[[], int] = SystemClock.now_ns,
    ) -> None:
        super().__init__()
        self.watched, self._now_ns = watched, now_ns
        self._doors = doors(self)
        self.spec: ScreenSpec = SCREENS[0]
        self.failure: ArbError | None = None
        self._filter, self._sorted_by, self._is_paused = "", -1, False
        self._rows: dict[str, Row] = {}
        self._found = 0
        self._notice = ""
        self._shown: Shown | None = None
        self._head_line, self._tab_line, self._foot_line, self._empty = (
            Static(id=name, markup=False) for name in ("head", "tabs", "foot", "empty")
        )
        self._table = RowsTable()
        self._filter_box = Input(id="filter", placeholder="show rows with this text")

    def compose(self) -> ComposeResult:
        """Yield the widgets, top down."""
        yield from (self._head_line, self._tab_line, self._empty, self._table)
        yield from (self._filter_box, self._foot_line)

    def on_mount(self) -> None:
        """Begin to read and to draw."""
        self._follow()
        self.action_show(0)
        self.set_interval(REFRESH_S, self.refresh_rows)

    @work(exclusive=True, group="follow")
    async def _follow(self) -> None:
        try:
            await self._doors.follow()
        except ConfigError as error:
            self.failure = error
            self.exit(return_code=2)

    # What is drawn

    def refresh_rows(self) -> None:
        """Draw what has changed."""
        if not self._table.is_attached:  # it ends
            return
        forget_styles()
        now_ns = self._now_ns()
        self._draw_lines(now_ns)
        if self._is_paused or self._shown is None:
            return
        rows = list(self.spec.rows(self.watched, now_ns))
        if self._filter:
            rows = [row for row in rows if self._filter in _text(row)]
        if self._sorted_by >= 0:
            rows.sort(key=lambda row: _order(row.cells[self._sorted_by]))
        self._found = len(rows)
        follows_end = self.spec.follows_end and self._sorted_by < 0
        rows = rows[-ROWS_MAX:] if follows_end else rows[:ROWS_MAX]
        self._rows = {row.key: row for row in rows}
        table, empty = self._table, self._empty
        table.display, empty.display = bool(rows), not rows
        if rows and self.focused is None:
            table.focus()  # it has no focus while it is hidden
        if not rows:
            none = f"No row has {self._filter!r}." if self._filter else ""
            empty.update(none or self.spec.empty(self.watched, now_ns))
        self._shown.show(rows, follows_end=follows_end)

    def _draw_lines(self, now_ns: int) -> None:
        lines = (
            (self._head_line, self._head(now_ns)),
            (self._tab_line, _tabs(self.spec)),
            (self._foot_line, self._foot()),
        )
        for line, text in lines:
            if line.content != text:  # each update draws, and would lay out the whole screen
                line.update(text, layout=False)

    def _head(self, now_ns: int) -> Text:
        watched = self.watched
        head = Text(no_wrap=True, overflow="ellipsis")
        head.append(" arb top ", "bold white on blue")
        head.append(f" {clock(now_ns)} ", "dim")
        if watched.problem:
            since_ns = watched.ts_problem_ns
            since = f" for {duration((now_ns - since_ns) / 1e9)}" if since_ns else ""
            head.append(f" NOT CURRENT{since}: {watched.problem}", "bold red")
            return head
        head.append(" ")
        head.append_text(trading_text(watched, now_ns))
        head.append(f"  {watched.where}", "dim")
        return head

    def _foot(self) -> Text:
        foot = Text(no_wrap=True, overflow="ellipsis")
        if self._is_paused:
            foot.append(" PAUSED ", "black on yellow")
        if self._notice:
            foot.append(f" {self._notice} ", "bold yellow")
        if self._filter:
            foot.append(f" filter {self._filter!r} ", "cyan")
        if self._sorted_by >= 0:
            foot.append(f" by {self.spec.columns[self._sorted_by].removeprefix('>')} ", "cyan")
        shown = len(self._rows)
        foot.append(f" {shown} of {self._found} rows" if shown < self._found else f" {shown} rows")
        foot.append("  / filter  s sort  Enter detail  w why  p pause  ? help  q quit", "dim")
        return foot

    # Keys

    def action_show(self, number: int) -> None:
        """Show a screen."""
        self.spec, self._sorted_by, self._filter, self._notice = SCREENS[number], -1, "", ""
        self._close_filter()
        self._shown = Shown(self._table, self.spec.columns)
        was_paused, self._is_paused = self._is_paused, False
        self.refresh_rows()
        self._is_paused = was_paused
        self._table.focus()

    def action_filter(self) -> None:
        """Ask for a text that rows must have."""
        box = self._filter_box
        box.display, box.value = True, self._filter
        box.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self._filter = self._notice = ""
        self._close_filter()
        self.refresh_rows()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if event.input.id == "filter" and event.input.display:
            self._filter = event.value.lower()
            self.refresh_rows()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and go back to the rows."""
        if event.input.id == "filter":
            self._close_filter()

    def _close_filter(self) -> None:
        self._filter_box.display = False
        self._table.focus()

    def action_sort(self) -> None:
        """Sort by the next column; after the last one as the screen does."""
        self._sorted_by += 1
        if self._sorted_by == len(self.spec.columns):
            self._sorted_by = -1
        self.refresh_rows()

    def action_pause(self) -> None:
        """Stop drawing rows, or go on."""
        self._is_paused = not self._is_paused
        self.refresh_rows()

    def action_copy(self) -> None:
        """Copy what tells the row apart to the terminal's clipboard."""
        row = self._row()
        if row is not None:
            self.copy_to_clipboard(row.id or row.key)
            self._say(f"copied {row.id or row.key}")

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Show all of a row."""
        row = self._rows.get(str(event.row_key.value))
        if row is not None and row.subject is not None:
            self.push_screen(TextDialog(row.key, detail(row.subject)))

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(TextDialog("keys", HELP))

    @work(exclusive=True, group="why")
    async def action_why(self) -> None:
        """Say why it does not trade, or what became of the row's opportunity or plan."""
        row = self._row()
        wanted = "" if row is None else row.id
        self._say("asking why ...")
        try:
            lines = await self._doors.why(wanted)
        except ArbError as error:
            lines = [str(error)]
        self._say("")
        self.push_screen(TextDialog(f"why {wanted}".strip(), "\n".join(lines)))

    @work(group="command")
    async def action_command(self, kind: str) -> None:
        """Give a command once its word is typed."""
        if self._doors.command is None:
            self._say(READ_ONLY)
            return
        if not await self.push_screen_wait(CommandDialog(kind)):
            self._say(f"{kind} was not sent")
            return
        self._say(f"{kind} is sent, waiting for risk ...")
        try:
            answer = await self._doors.command(CommandKind(kind))
        except ArbError as error:
            answer = str(error)
        self._say("")
        self.push_screen(TextDialog(kind, answer))

    def _row(self) -> Row | None:
        table = self._table
        if not table.row_count or not table.display:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return self._rows.get(str(key))

    def _say(self, notice: str) -> None:
        self._notice = notice
        self._draw_lines(self._now_ns())


def _tabs(shown: ScreenSpec) -> Text:
    tabs = Text(no_wrap=True)
    for number, each in enumerate(SCREENS, 1):
        tabs.append(f"{number} {each.name}", "reverse" if each is shown else "")
        tabs.append(" ")
    return tabs


def detail(subject: object) -> str:
    """Return all of a message as lines of names and values."""
    lines: list[str] = []
    _add_lines(lines, msgspec.to_builtins(subject, str_keys=True), "")
    return "\n".join(lines)


def _add_lines(lines: list[str], value: Any, indent: str) -> None:
    pairs = value.items() if isinstance(value, dict) else enumerate(value, 1)
    for name, each in pairs:
        if isinstance(each, dict | list) and each:
            lines.append(f"{indent}{name}:")
            _add_lines(lines, each, indent + "  ")
        else:
            text = "none" if each in ({}, [], None) else each
            lines.append(f"{indent}{name}: {text}")


def _text(row: Row) -> str:
    return " ".join(str(cell) for cell in row.cells).lower()


def _order(cell: Cell) -> tuple[int, float, str]:
    """Return what a column is sorted by: numbers largest first, then texts."""
    text = str(cell).strip()
    if time := TIME.fullmatch(text):
        hours, minutes, seconds, ms = (float(part or 0) for part in time.groups())
        return 0, -(hours * 3_600 + minutes * 60 + seconds + ms / 1e3), text
    if number := NUMBER.match(text):
        return 0, -float(number[0].replace(",", "")), text
    return 1, 0.0, text
