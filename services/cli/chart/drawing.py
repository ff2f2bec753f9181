"""The chart as lines of a terminal. Pure."""

from __future__ import annotations

from math import floor, log10

from services.cli.chart.plot import COLUMNS_PER_CELL, bounds_of, braille, stars
from services.cli.chart.subject import Reading
from services.cli.chart.window import Window
from services.cli.top.cells import UNKNOWN, clock, duration

LABEL = 12
COLUMNS_MIN, ROWS_MIN = 10, 3
LINES_AROUND = 4
"""Title, figures, axis, and the line that the terminal's cursor is on."""


def draw(
    window: Window,
    title: str,
    newest: Reading,
    now_ns: int,
    *,
    width: int,
    height: int,
    is_ascii: bool,
) -> list[str]:
    """Return the chart in at most ``width`` columns and ``height`` lines, of 7 and more."""
    columns = max(COLUMNS_MIN, width - LABEL - 1)
    rows = max(ROWS_MIN, height - LINES_AROUND)
    values = window.columns(columns * (1 if is_ascii else COLUMNS_PER_CELL), now_ns)
    lines = stars(values, rows) if is_ascii else braille(values, rows)
    bounds, labels = bounds_of(values), [""] * rows
    if bounds is not None:
        low, high = bounds
        digits = digits_for(high - low)
        labels[0], labels[-1] = f"{high:,.{digits}f}", f"{low:,.{digits}f}"
        labels[rows // 2] = f"{high - (high - low) * (rows // 2) / (rows - 1):,.{digits}f}"
    bar = "|" if is_ascii else "│"
    drawn = [f"{label:>{LABEL}}{bar}{line}" for label, line in zip(labels, lines, strict=True)]
    start = clock(now_ns - int(window.seconds * 1e9))
    axis = f"{start}{'now, ' + clock(now_ns):>{max(1, columns - len(start))}}"
    figures = _figures(window, newest, now_ns, "-" if is_ascii else UNKNOWN)
    found = [title, figures, *drawn, f"{'':>{LABEL}} {axis}"]
    return [line[:width].rstrip() for line in found]


def _figures(window: Window, newest: Reading, now_ns: int, none: str) -> str:
    known = window.known(now_ns)
    now = f"unknown ({newest.why})" if newest.value is None else _text(newest.value, known)
    least, most = (_text(f(known), known) if known else none for f in (min, max))
    return f"now {now}   least {least}   most {most}   last {duration(window.seconds)}"


def _text(value: float, known: list[float]) -> str:
    return f"{value:,.{digits_for(max(known) - min(known) if known else 0.0)}f}"


def digits_for(span: float) -> int:
    """Return how many digits behind the point tell values of such a span apart."""
    return 2 if span <= 0 else min(8, max(1, 2 - floor(log10(span))))
