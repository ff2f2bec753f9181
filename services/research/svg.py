"""Charts as inline SVG: lines, bars, a heat map. No script, no font, no network. Pure.

Colours are classes that the report's style defines, so charts follow a light or dark screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 860, 62, 14, 12, 24
POINTS_MAX = 1_500
CROWDED = 5
"""More steps than this leave no room beside their bars."""
CHARACTER = 7
"""Width of one in a text of a chart, rather more than less."""
SHORT_S = 900
"""A shorter chart tells seconds: its ticks would else be the same minute."""
Value = float | None


class Line(NamedTuple):
    """One line of a chart; None interrupts it."""

    name: str
    style: str
    values: Sequence[Value]


class Axis(NamedTuple):
    """Values from low to high, and how they are written."""

    low: float
    high: float
    text: Callable[[float], str]
    log: bool = False

    def place(self, value: float, height: int) -> float:
        """Return the distance from the top of the plot."""
        low, high = (math.log(v) if self.log else v for v in (self.low, self.high))
        at = math.log(max(value, self.low)) if self.log else value
        return TOP + (high - at) / (high - low) * (height - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Return three to six round values within."""
        if self.log:
            steps = [m * 10.0**e for e in range(-8, 9) for m in (1, 2, 5)]
            found = [s for s in steps if self.low <= s <= self.high]
            if len(found) > 7:
                found = [s for s in found if str(f"{s:e}")[0] == "1"]
            if len(found) >= 2:
                return found
        return round_values(self.low, self.high)


def round_values(low: float, high: float) -> list[float]:
    """Return three to six round values between two."""
    size = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(size * m for m in (1, 2, 5, 10) if (high - low) / (size * m) <= 5)
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]


def percent(value: float) -> str:
    """Return a share as a percentage."""
    return f"{value * 100:,.0f}%" if abs(value) >= 0.1 else f"{value * 100:.1f}%"


def multiple(value: float) -> str:
    """Return a multiple of the capital."""
    return f"{value:,.3g}x" if value < 1_000 else f"{value:,.0f}x"


def plain(value: float) -> str:
    """Return a short number."""
    return f"{value:.3g}"


def axis_for(lines: Sequence[Line], text: Callable[[float], str], *, log: bool = False) -> Axis:
    """Return an axis that holds every value."""
    values = [v for line in lines for v in line.values if v is not None and math.isfinite(v)]
    if log:
        values = [v for v in values if v > 0]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if log and low > 0 and high / low > 1.02:
        return Axis(low / 1.03, high * 1.03, text, log=True)
    margin = (high - low) * 0.04 or max(abs(high) * 0.05, 1e-9)
    return Axis(low - margin, high + margin, text)


def line_chart(
    times_s: Sequence[int], lines: Sequence[Line], axis: Axis, *, height: int = 240, area: str = ""
) -> str:
    """Return lines over time; ``area`` fills below the first line with a style."""
    first, last = times_s[0], max(times_s[-1], times_s[0] + 1)
    step = max(1, -(-len(times_s) // POINTS_MAX))
    chosen = sorted({*range(0, len(times_s), step), len(times_s) - 1})
    xs = {n: LEFT + (times_s[n] - first) / (last - first) * (WIDTH - LEFT - RIGHT) for n in chosen}
    parts = [*_frame(axis, height), *_time_ticks(first, last, height)]
    for line in lines:
        points: list[list[str]] = [[]]
        for n in chosen:
            value = line.values[n] if n < len(line.values) else None
            if value is None or not math.isfinite(value) or (axis.log and value <= 0):
                points.append([])
            else:
                points[-1].append(f"{xs[n]:.1f},{axis.place(value, height):.1f}")
        for run in (p for p in points if len(p) > 1):
            if area and line is lines[0]:
                base = axis.place(min(max(0.0, axis.low), axis.high), height)
                begin, end = run[0].split(",")[0], run[-1].split(",")[0]
                parts.append(
                    f'<polygon class="{area}" points="{begin},{base:.1f} {" ".join(run)} '
                    f'{end},{base:.1f}"/>'
                )
            parts.append(f'<polyline class="{line.style}" points="{" ".join(run)}"/>')
    return _svg(parts, height) + legend(lines)


def bar_chart(
    names: Sequence[str], groups: Sequence[Line], axis: Axis, *, height: int = 220
) -> str:
    """Return groups of bars side by side, from zero."""
    parts = _frame(axis, height)
    zero = axis.place(min(max(0.0, axis.low), axis.high), height)
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(names))
    thick = min(54.0, slot * 0.8 / len(groups))
    every = max(1, -(-len(names) * 58 // (WIDTH - LEFT - RIGHT)))
    for n, name in enumerate(names):
        middle = LEFT + slot * (n + 0.5)
        for place, group in enumerate(groups):
            value = group.values[n]
            if value is None:
                continue
            top, x = axis.place(value, height), middle + (place - len(groups) / 2) * thick
            style = group.style or ("good" if value >= 0 else "bad")
            parts.append(
                f'<rect class="{style}" x="{x:.1f}" y="{min(top, zero):.1f}" width="{thick:.1f}" '
                f'height="{max(abs(top - zero), 0.5):.1f}"><title>{escape(name)} '
                f"{escape(group.name)}: {axis.text(value)}</title></rect>"
            )
        if n % every == 0:
            parts.append(
                f'<text class="tick" x="{middle:.1f}" y="{height - 7}" text-anchor="middle">'
                f"{escape(name)}</text>"
            )
    return _svg(parts, height) + (legend(groups) if len(groups) > 1 else "")


def signed_percent(value: float) -> str:
    """Return a share as a percentage with its sign."""
    return f"{value * 100:+,.2f}%"


def waterfall(
    steps: Sequence[tuple[str, Value]],
    texts: tuple[Callable[[float], str], Callable[[float], str]] = (percent, signed_percent),
    *,
    height: int = 220,
) -> str:
    """Return steps that add up; the last one is the sum and stands on zero.

    Args:
        steps: Their names and values; one that is not known has no bar and changes nothing.
        texts: Of the axis, and of the values.
        height: Of the picture.
    """
    tops, total = [0.0], 0.0
    for _, value in steps[:-1]:
        total += value or 0.0
        tops.append(total)
    axis = axis_for([Line("", "", [*tops, steps[-1][1]])], texts[0])
    is_crowded = len(steps) > CROWDED
    if is_crowded:  # values stand above their bars
        axis = axis._replace(high=axis.high + (axis.high - axis.low) * 0.08)
    parts = _frame(axis, height)
    slot = (WIDTH - LEFT - RIGHT) / len(steps)
    for n, (name, value) in enumerate(steps):
        is_last = n == len(steps) - 1
        begin = 0.0 if is_last else tops[n]
        known = value or 0.0
        above, below = sorted((axis.place(begin, height), axis.place(begin + known, height)))
        style = "total" if is_last else "good" if known > 0 else "bad" if known else "three"
        x, thick = LEFT + slot * n + slot * 0.25, slot * 0.5
        # beside its bar, but above it where there is no room
        label = (x + thick + 8, (above + below) / 2 + 4, "")
        if is_last or is_crowded:
            label = (x + thick / 2, above - 5, ' text-anchor="middle"')
        if value is not None:
            parts.append(
                f'<rect class="{style}" x="{x:.1f}" y="{above:.1f}" width="{thick:.1f}" '
                f'height="{max(below - above, 0.5):.1f}"/>'
            )
        told = "not known" if value is None else texts[1](value)
        parts += [
            f'<text class="value" x="{label[0]:.1f}" y="{label[1]:.1f}"{label[2]}>'
            f"{escape(told)}</text>",
            f'<text class="tick" x="{x + thick / 2:.1f}" y="{height - 7}" text-anchor="middle">'
            f"{escape(name)}</text>",
        ]
    return _svg(parts, height)


def heat_map(
    columns: tuple[str, Sequence[float]],
    rows: tuple[str, Sequence[float]],
    cells: Sequence[Sequence[Value]],
) -> str:
    """Return values by two parameters, green above zero and red below; None is an empty cell."""
    (across, xs), (down, ys) = columns, rows
    size_x = (WIDTH - LEFT - RIGHT - 40) / len(xs)
    size_y = max(22.0, min(40.0, 360 / len(ys)))
    largest = max((abs(v) for row in cells for v in row if v is not None), default=0.0) or 1.0
    names = f"rows: {down}, columns: {across}"  # in a line of their own, however long they are
    parts = [f'<text class="tick" x="4" y="12">{escape(names)}</text>']
    widest = max(len(f"{x:g}") for x in xs) + 1
    for n in range(0, len(xs), max(1, math.ceil(widest * CHARACTER / size_x))):
        at = LEFT + 40 + size_x * (n + 0.5)
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="26" text-anchor="middle">{xs[n]:g}</text>'
        )
    for m, y in enumerate(ys):
        top = 32 + size_y * m
        parts.append(
            f'<text class="tick" x="{LEFT + 34}" y="{top + size_y / 2 + 4:.1f}" '
            f'text-anchor="end">{y:g}</text>'
        )
        for n, x in enumerate(xs):
            value = cells[m][n]
            left = LEFT + 40 + size_x * n
            if value is None:
                parts.append(_cell((left, top, size_x, size_y), "empty", 1.0, "left out"))
                continue
            told = f"{across} {x:g}, {down} {y:g}: {value:.3f}"
            style = "good" if value >= 0 else "bad"
            parts.append(
                _cell((left, top, size_x, size_y), style, 0.12 + 0.78 * abs(value) / largest, told)
            )
            text = f"{value:.2f}"
            if size_x >= len(text) * CHARACTER:
                parts.append(
                    f'<text class="value" x="{left + size_x / 2:.1f}" '
                    f'y="{top + size_y / 2 + 4:.1f}" text-anchor="middle">{text}</text>'
                )
    return _svg(parts, round(38 + size_y * len(ys)))


def _cell(box: tuple[float, float, float, float], style: str, opacity: float, told: str) -> str:
    x, y, width, height = box
    return (
        f'<rect class="{style}" fill-opacity="{opacity:.2f}" x="{x + 1:.1f}" y="{y + 1:.1f}" '
        f'width="{width - 2:.1f}" height="{height - 2:.1f}" rx="3">'
        f"<title>{escape(told)}</title></rect>"
    )


def legend(lines: Sequence[Line]) -> str:
    """Return what each colour means."""
    items = "".join(
        f'<span><i class="{line.style}"></i>{escape(line.name)}</span>' for line in lines
    )
    return f'<div class="legend">{items}</div>'


def _frame(axis: Axis, height: int) -> list[str]:
    parts = []
    for tick in axis.ticks():
        y = axis.place(tick, height)
        style = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(
            f'<line class="{style}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(axis.text(tick))}</text>"
        )
    return parts


def _time_ticks(first: int, last: int, height: int) -> list[str]:
    parts = []
    for n in range(6):
        time_s = first + (last - first) * n / 5
        x = LEFT + (WIDTH - LEFT - RIGHT) * n / 5
        anchor = "start" if n == 0 else "end" if n == 5 else "middle"
        when = datetime.fromtimestamp(time_s, UTC)
        length_s = last - first
        form = "%Y-%m-%d" if length_s > 5 * 86_400 else "%m-%d %H:%M"
        text = f"{when:{form if length_s > SHORT_S else '%H:%M:%S'}}"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{height - 7}" text-anchor="{anchor}">{text}</text>'
        )
    return parts


def _svg(parts: Sequence[str], height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg>'
