"""`arb top` may run for days: what it and Textual keep has bounds that a screen fills at once."""

from __future__ import annotations

import pytest
from rich.color import ColorSystem
from rich.style import Style
from textual.cache import LRUCache
from textual.strip import Strip

from services.cli.top.screens import SCREENS
from services.cli.top.table import STYLES_MAX
from tests.decision_builders import SECOND, make_view
from tests.unit.test_top import Desk, table
from tests.watched_builders import trading_system

REFRESHES = 60
CELLS_MAX, LINES_MAX = 1_000, 100


async def test_a_table_keeps_a_screen_of_cells_and_not_its_history() -> None:
    desk = Desk(trading_system())
    async with desk.app.run_test(size=(120, 40)) as pilot:
        await pilot.press(str([spec.name for spec in SCREENS].index("books") + 1))
        for number in range(REFRESHES):
            desk.now_ns += SECOND
            views = [
                make_view(
                    f"venue-{row}", "BTC/USDT", bids=[(100 + number + row, 1.0)], ts_ns=desk.now_ns
                )
                for row in range(20)
            ]
            desk.app.watched.on_books(views, desk.now_ns)
            desk.app.refresh_rows()
            await pilot.pause()
        caches = [each for each in vars(table(desk.app)).values() if isinstance(each, LRUCache)]
        assert table(desk.app).row_count >= 20
        kept = sorted(len(cache) for cache in caches)
        assert 0 < kept[-1] <= CELLS_MAX, "the cells"
        assert kept[-2] <= LINES_MAX + 1, "rows and lines"


@pytest.mark.parametrize("rows", [STYLES_MAX // 2, 10 * STYLES_MAX])
async def test_what_is_sent_for_styles_is_kept_for_about_a_screen(rows: int) -> None:
    desk = Desk(trading_system())
    async with desk.app.run_test(size=(80, 24)):
        Strip.render_ansi.cache_clear()
        for row in range(rows):  # as a log of which one line more is shown each time
            Strip.render_ansi(Style.from_meta({"row": row}), ColorSystem.TRUECOLOR)
            if row % 50 == 0:
                desk.app.refresh_rows()
            assert Strip.render_ansi.cache_info().currsize <= STYLES_MAX + 51
        assert Strip.render_ansi.cache_info().currsize > 0
