"""`arb chart`: values where they belong, holes where nothing was known, and clear refusals."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.cli import commands_chart
from services.cli.app import app
from services.cli.chart.drawing import digits_for, draw
from services.cli.chart.plot import bounds_of, braille, stars
from services.cli.chart.subject import Reading, Subject
from services.cli.chart.window import Window
from shared.errors import ConfigError
from shared.messages.base import BookState
from tests.decision_builders import PERP, SECOND, SPOT, T0, make_rules, make_view

ALPHA, BETA = ("alpha", SPOT), ("beta", SPOT)


def filled(values: list[float | None], seconds: float = 10) -> Window:
    """One value a second, the last one at ``T0``."""
    window = Window(seconds, 1)
    for number, value in enumerate(values):
        window.add(T0 - (len(values) - 1 - number) * SECOND, value)
    return window


def test_a_window_slides_and_is_bounded() -> None:
    window = filled([float(n) for n in range(100)])
    assert len(window.samples) == 12
    assert window.known(T0)[-1] == 99
    assert window.columns(10, T0) == [90, 91, 92, 93, 94, 95, 96, 97, 98, 99]
    assert window.columns(10, T0 + 5 * SECOND) == [95, 96, 97, 98, 99, *[None] * 5]


def test_what_was_not_known_is_a_hole_however_coarse_the_columns() -> None:
    window = filled([1, 2, None, 4, 5, 6, 7, 8, 9, 10])
    assert window.columns(10, T0)[2] is None
    assert window.columns(5, T0) == [2, None, 6, 8, 10]


def test_columns_finer_than_samples_are_joined_but_for_holes() -> None:
    columns = filled([1, None, 3]).columns(20, T0)
    assert columns[-5:] == [1, 1, None, None, 3] or columns[-6:-1] == [1, 1, None, None, 3]


@pytest.mark.parametrize("values", [[], [None, None]])
def test_without_a_value_nothing_is_drawn(values: list[float | None]) -> None:
    assert bounds_of(values) is None
    assert all(not line.strip() for line in braille([*values, None, None], 2))


def test_the_largest_is_at_the_top_and_a_hole_stays_empty() -> None:
    assert stars([3, 2, None, 1], 3) == ["*   ", " *  ", "   *"]
    top, bottom = braille([1, 1, None, None, 0, 0], 2)
    assert top == "⠉  "
    assert bottom == "  ⣀"


def test_a_jump_is_a_stroke_without_gaps() -> None:
    assert stars([0, 4], 5) == [" *", " *", " *", " *", "* "]


def test_a_flat_line_has_room() -> None:
    assert stars([5, 5], 3) == ["  ", "**", "  "]


def test_a_price_is_the_middle_and_an_edge_is_after_both_fees() -> None:
    views = {
        ALPHA: make_view("alpha", bids=[(9_998.0, 1.0)], asks=[(10_000.0, 1.0)]),
        BETA: make_view("beta", bids=[(10_030.0, 1.0)], asks=[(10_031.0, 1.0)]),
    }
    rules = {place: make_rules(*place) for place in (ALPHA, BETA)}
    assert Subject(ALPHA).read(views, rules, T0) == Reading(9_999.0)
    edge = Subject(ALPHA, BETA).read(views, rules, T0).value
    assert edge == pytest.approx((10_030 * 0.999 / (10_000 * 1.001) - 1) * 1e4)
    assert Subject(ALPHA, BETA).read(views, {}, T0) == Reading(None, "a fee is not known")


def test_a_book_that_is_not_current_is_not_known() -> None:
    view = make_view("alpha")
    assert Subject(ALPHA).read({}, {}, T0).why == "alpha BTC/USDT is silent"
    assert Subject(ALPHA).read({ALPHA: view}, {}, T0 + 6 * SECOND).value is None
    gap = make_view("alpha", state=BookState.GAP)
    assert Subject(ALPHA).read({ALPHA: gap}, {}, T0) == Reading(None, "alpha BTC/USDT is GAP")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_a_chart_fits_its_terminal(size: tuple[int, int], is_ascii: bool) -> None:
    width, height = size
    window = filled([10_000.0, 10_001.5, None, 10_003.0])
    title = Subject(ALPHA, ("gamma", PERP)).title
    newest = Reading(None, "Redis is away")
    lines = draw(window, title, newest, T0, width=width, height=height, is_ascii=is_ascii)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert lines[1].startswith("now unknown (Redis is away)   least 10,000.00   most 10,003.00")
    assert lines[2].lstrip().startswith("10,003.00")
    assert lines[-1].endswith("22:13:20")
    assert all(ord(c) < 128 for c in "".join(lines)) == is_ascii
    lines = draw(Window(10, 1), title, newest, T0, width=width, height=height, is_ascii=is_ascii)
    assert all(ord(c) < 128 for c in "".join(lines)) == is_ascii, "nothing is known yet"


def test_digits_tell_the_values_apart() -> None:
    assert [digits_for(span) for span in (0.0, 3_000.0, 30.0, 0.5, 0.0004)] == [2, 1, 1, 3, 6]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sold", "BTC/USD"], "--sold is what --versus sells"),
        (["--versus", "kraken"], "--versus is the same book"),
        (["--png", "/nonexistent/a.png"], "not a file in a folder that exists"),
    ],
)
def test_what_cannot_be_charted_is_refused_before_anything_is_read(
    options: list[str], expected: str
) -> None:
    done = CliRunner().invoke(app, ["chart", "BTC/USDT", "--venue", "kraken", *options])
    assert isinstance(done.exception, ConfigError)
    assert expected in str(done.exception)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_terminal_without_braille_characters_gets_ascii(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    asked: list[bool] = []

    async def watch(*args: object, is_ascii: bool) -> None:
        asked.append(is_ascii)

    out = Console(file=TextIOWrapper(BytesIO(), encoding=encoding))
    monkeypatch.setattr(commands_chart, "console", out)
    monkeypatch.setattr(commands_chart, "_watch", watch)
    commands_chart.chart("BTC/USDT", "kraken", redis="redis://r:1")
    assert asked == [encoding == "latin-1"]


def test_a_picture_has_a_hole_where_nothing_was_known(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    from services.cli.chart.picture import write_picture

    path = tmp_path / "chart.png"
    write_picture(path, filled([1.0, None, 3.0]), "BTC/USDT")
    assert path.read_bytes().startswith(b"\x89PNG")
    write_picture(path, Window(10, 1), "nothing")
    assert path.stat().st_size > 1_000
