"""Five hundred books that all move: a page names what is in view, and pays for that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import OpenScreen, Screen
from tests.browser.many_books import ManyBooks, Meter
from tests.support import eventually_sync

pytestmark = pytest.mark.browser

BYTES_PER_S_MAX = 40_000
AGES = """() => [...document.querySelectorAll('tbody tr[data-id]')]
  .filter((row) => row.getBoundingClientRect().bottom > 0)
  .filter((row) => row.getBoundingClientRect().top < innerHeight)
  .map((row) => row.classList.contains('aged'))"""
"""Of the rows on the screen: whether they are shown as old."""


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManyBooks]:
    monkeypatch.setenv("ARB_DASHBOARD_DIR", str(tmp_path))
    running = ManyBooks(tmp_path, 500)
    yield running
    running.close()


@pytest.fixture
def screen(open_screen: OpenScreen, books: ManyBooks) -> Screen:
    return open_screen(books.url)


def test_five_hundred_books_cost_what_is_in_view(books: ManyBooks, screen: Screen) -> None:
    meter = Meter(screen.page)
    screen.go(f"{books.url}/#token={books.token}")
    screen.page.wait_for_selector("main h1")
    for name in ("books", "spreads"):
        screen.open(name)
        eventually_sync(
            lambda: meter.bytes_per_s(2_000) < BYTES_PER_S_MAX, timeout_s=60, what="all came once"
        )
        assert meter.bytes_per_s(5_000) < BYTES_PER_S_MAX, name
    screen.open("books")
    screen.see("500 of 500 live")
    for top in (4_000, 0, 2_000):
        screen.page.evaluate(f"scrollTo(0, {top})")
        eventually_sync(
            lambda: (ages := screen.page.evaluate(AGES)) and not any(ages),
            timeout_s=30,
            what="what is scrolled to is current",
        )
    assert not screen.crashes
