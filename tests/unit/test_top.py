"""`arb top` as it is operated: its keys, its states, and what it may not do."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence

import pytest
import typer
from textual.widgets import DataTable, Input, Static

from services.cli import commands_top
from services.cli.commands_top import NO_TEXTUAL, doors_to
from services.cli.top.app import READ_ONLY, Doors, TopApp, _order
from services.cli.top.dialogs import CommandDialog, TextDialog
from services.cli.top.screens import ROWS_MAX, SCREENS
from services.cli.top.watched import LOG_MAX, Watched
from shared.config_sections import BusConfig
from shared.errors import BusUnavailable, ConfigError
from shared.messages.base import Side
from shared.messages.control import Alert, CommandKind, Severity
from shared.watch.link import Target
from tests.decision_builders import SECOND, T0, make_beat, make_leg, make_offer, make_view
from tests.watched_builders import trading_system

SIZES = [(80, 24), (120, 40)]


class Desk:
    """Where a screen's questions and commands end in a test."""

    def __init__(self, watched: Watched, *, is_operator: bool = False) -> None:
        self.now_ns = T0
        self.given: list[CommandKind] = []
        self.asked: list[str] = []
        self.is_flat = asyncio.Event()
        self.failure: Exception | None = None
        self._is_operator = is_operator
        self.app = TopApp(watched, self._doors, lambda: self.now_ns)

    def _doors(self, app: TopApp) -> Doors:
        return Doors(self._follow, self._why, self._give if self._is_operator else None)

    async def _follow(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def _why(self, wanted: str) -> Sequence[str]:
        self.asked.append(wanted)
        if wanted == "plan-1":
            raise BusUnavailable("Redis is away")
        return ["It waits for an edge."]

    async def _give(self, kind: CommandKind) -> str:
        if kind is CommandKind.FLATTEN:
            await self.is_flat.wait()
        self.given.append(kind)
        return f"{kind}: done"


def table(app: TopApp) -> DataTable[object]:
    return app.query_one("#table", DataTable)


def line(app: TopApp, name: str) -> str:
    return str(app.query_one(f"#{name}", Static).content)


def dialog(app: TopApp) -> str:
    assert isinstance(app.screen, TextDialog)
    return str(app.screen.query_one("#text", Static).content)


@pytest.mark.parametrize("size", SIZES)
async def test_every_screen_has_its_key_and_fits(size: tuple[int, int]) -> None:
    app = Desk(trading_system()).app
    async with app.run_test(size=size) as pilot:
        for number, spec in enumerate(SCREENS, 1):
            await pilot.press(str(number))
            await pilot.pause()
            assert app.spec is spec
            assert table(app).row_count > 0
            assert len(line(app, "tabs").rstrip()) <= size[0]
            assert "ACTIVE" in line(app, "head")
            assert app.focused is table(app), "the arrow keys move the cursor"


@pytest.mark.parametrize("size", SIZES)
async def test_without_redis_it_says_so_and_goes_on(size: tuple[int, int]) -> None:
    where = Target(BusConfig(url="unix:///nonexistent/redis.sock"))
    app = TopApp(Watched(), lambda app: doors_to(where, app, may_command=False))
    async with app.run_test(size=size) as pilot:
        for _ in range(50):
            await pilot.pause(0.1)
            if app.watched.ts_problem_ns:
                break
        await pilot.press("2")
        await pilot.pause()
        app.refresh_rows()
        assert "NOT CURRENT" in line(app, "head") and "cannot reach Redis" in line(app, "head")
        assert not table(app).display
        assert line(app, "empty").startswith("No book")


async def test_what_is_stale_is_shown_as_such() -> None:
    desk = Desk(trading_system())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        desk.now_ns += 6 * SECOND
        desk.app.refresh_rows()
        assert "unknown: risk silent for 6s" in line(desk.app, "head")
        assert str(table(desk.app).get_row_at(0)[2]) == "SILENT"


async def test_an_empty_system_says_what_is_missing() -> None:
    watched = Watched()
    watched.on_connected("redis://here")
    app = Desk(watched).app
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        assert line(app, "empty") == "No opportunity since the start. w says why."
        assert "trading state unknown" in line(app, "head")


async def test_a_wrong_address_ends_it_with_its_error() -> None:
    desk = Desk(Watched())
    desk.failure = ConfigError("bus.url is wrong")
    async with desk.app.run_test() as pilot:
        await pilot.pause()
    assert desk.app.failure is desk.failure
    assert desk.app.return_code == 2


async def test_rows_are_filtered_while_it_is_typed_and_sorted_by_columns() -> None:
    app = Desk(trading_system()).app
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "slash", "b", "e", "t")
        assert table(app).row_count == 1
        assert "filter 'bet'" in line(app, "foot")
        await pilot.press("enter")
        assert app.focused is table(app)
        await pilot.press("slash", *["backspace"] * 3, "x", "x")
        assert line(app, "empty") == "No row has 'xx'."
        await pilot.press("escape")
        assert table(app).row_count == 3
        await pilot.press("s", "s", "s", "s")
        assert "by bid" in line(app, "foot")
        assert str(table(app).get_row_at(0)[0]) == "beta", "the largest number is the first"
        await pilot.press("s", "s", "s", "s")
        assert " by " not in line(app, "foot")


@pytest.mark.parametrize(
    "cells",
    [
        ["1h02m", "2m05s", "30s", "1.5s", "500ms", "0ms"],
        ["1,200.5", "+3.0 %", "0.5", "-0.25", "12:00:01", "inf", "nan", "—"],
    ],
)
def test_times_are_sorted_as_times_and_names_after_numbers(cells: list[str]) -> None:
    mixed = [*cells[1::2], *cells[::2]]
    assert sorted(mixed, key=_order) == cells


async def test_brackets_are_text_and_no_markup() -> None:
    """Errors of the operating system and lists have them; an unknown tag would end the screen."""
    desk = Desk(trading_system())
    text = "[Errno 111] no [/answer] of ['alpha']"
    beat = make_beat("risk", T0, process="[/p]", reason=text)
    alert = Alert(ts_ns=T0, service="risk", severity=Severity.INFO, code="C", text=text)
    for message in (beat, alert):
        desk.app.watched.on_message(message)
    async with desk.app.run_test(size=(160, 40)) as pilot:
        await pilot.press("9")
        await pilot.pause()
        drawn = [table(desk.app).render_line(y).text for y in range(30)]
        assert any(text in each for each in drawn)
        await pilot.press("8", "slash", *"111", "enter", "enter")
        await pilot.pause()
        assert text in dialog(desk.app)
        await pilot.press("escape", "slash", *["backspace"] * 3, *"[/x]")
        await pilot.pause()
        assert line(desk.app, "empty") == "No row has '[/x]'."


async def test_enter_shows_all_of_a_row_and_w_asks_about_it() -> None:
    desk = Desk(trading_system())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5", "enter")
        await pilot.pause()
        assert "plan_id: plan-1" in dialog(desk.app)
        await pilot.press("escape", "w")
        await pilot.pause()
        assert dialog(desk.app) == "Redis is away"
        await pilot.press("escape", "1", "w")
        await pilot.pause()
        assert dialog(desk.app) == "It waits for an edge."
        assert desk.asked == ["plan-1", ""]
        await pilot.press("q", "question_mark")
        assert "screens" in dialog(desk.app)


async def test_paused_rows_stay_and_the_head_goes_on() -> None:
    desk = Desk(trading_system())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "p")
        desk.now_ns += 6 * SECOND
        desk.app.refresh_rows()
        assert str(table(desk.app).get_row_at(0)[2]) == "LIVE"
        assert "PAUSED" in line(desk.app, "foot")
        assert "silent" in line(desk.app, "head")
        await pilot.press("p")
        assert str(table(desk.app).get_row_at(0)[2]) == "SILENT"


async def test_it_gives_no_command_unless_it_may() -> None:
    desk = Desk(trading_system())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        for key in ("H", "F", "R"):
            await pilot.press(key)
            await pilot.pause()
            assert READ_ONLY in line(desk.app, "foot")
            assert not isinstance(desk.app.screen, CommandDialog)


async def test_a_command_is_typed_out_before_it_is_sent() -> None:
    desk = Desk(trading_system(), is_operator=True)
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("F")
        await pilot.pause()
        assert isinstance(desk.app.screen, CommandDialog)
        await pilot.press(*"HALT", "enter")
        assert isinstance(desk.app.screen, CommandDialog), "not its word"
        assert not desk.app.screen.query_one(Input).value
        await pilot.press("escape")
        await pilot.pause()
        assert "FLATTEN was not sent" in line(desk.app, "foot")
        assert not desk.given
        await pilot.press("H")
        await pilot.pause()
        await pilot.press(*"HALT", "enter")
        await pilot.pause()
        assert desk.given == [CommandKind.HALT]
        assert dialog(desk.app) == "HALT: done"


async def test_a_command_that_waits_for_its_answer_goes_on_beside_another() -> None:
    desk = Desk(trading_system(), is_operator=True)
    async with desk.app.run_test(size=(80, 24)) as pilot:
        for key, word in (("F", "FLATTEN"), ("H", "HALT")):
            await pilot.press(key)
            await pilot.pause()
            await pilot.press(*word, "enter")
            await pilot.pause()
        assert dialog(desk.app) == "HALT: done"
        desk.is_flat.set()
        await pilot.pause()
        assert desk.given == [CommandKind.HALT, CommandKind.FLATTEN]
        assert dialog(desk.app) == "FLATTEN: done"


async def test_only_cells_that_changed_are_drawn_anew() -> None:
    desk = Desk(trading_system())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        shown = desk.app._shown
        assert shown is not None
        desk.app.refresh_rows()
        assert shown.cells_changed == 0
        moved = make_view("alpha", bids=[(9_998.0, 1.0)], asks=[(10_000.0, 1.0)], ts_ns=T0)
        desk.app.watched.on_books([moved], T0)
        desk.app.refresh_rows()
        assert shown.cells_changed == 2, "the bid and the spread"


async def test_rows_are_bounded_and_the_newest_stays_in_view() -> None:
    desk = Desk(trading_system())
    legs = [make_leg("alpha", Side.BUY, "1", "10000"), make_leg("beta", Side.SELL, "1", "10030")]
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        for number in range(ROWS_MAX + 50):
            desk.app.watched.on_message(make_offer(legs, opportunity_id=f"o{number}"))
        desk.app.refresh_rows()
        assert table(desk.app).row_count == ROWS_MAX
        key = table(desk.app).coordinate_to_cell_key(table(desk.app).cursor_coordinate).row_key
        assert key.value == f"o{ROWS_MAX + 49}"
        await pilot.press("y")
        assert f"copied o{ROWS_MAX + 49}" in line(desk.app, "foot")


async def test_the_log_shows_its_newest_lines_and_the_filter_looks_through_all() -> None:
    """A row of a table takes ten times the memory of its line."""
    desk = Desk(Watched())
    for number in range(LOG_MAX):
        text = f"line {number} of the log"
        desk.app.watched.on_message(
            Alert(ts_ns=T0, service="risk", severity=Severity.INFO, code="C", text=text)
        )
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await pilot.press("9")
        shown = table(desk.app)
        assert shown.row_count == ROWS_MAX
        assert f"line {LOG_MAX - 1} of" in str(shown.get_row_at(ROWS_MAX - 1)[3])
        desk.app.refresh_rows()  # the line below is drawn before the rows are counted
        assert f"{ROWS_MAX} of {LOG_MAX} rows" in line(desk.app, "foot")
        await pilot.press("slash", *"line 7 of")
        await pilot.pause()
        assert shown.row_count == 1


def test_without_textual_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as raised:
        commands_top.top()
    assert str(raised.value) == NO_TEXTUAL


def test_a_failure_of_its_own_is_not_an_end_in_order() -> None:
    desk = Desk(trading_system())
    desk.failure = RuntimeError("a mistake")
    desk.app.run(headless=True)
    with pytest.raises(typer.Exit) as ended:
        commands_top.end(desk.app)
    assert ended.value.exit_code == 1
