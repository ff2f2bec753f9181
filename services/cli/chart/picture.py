"""A chart as a picture, by matplotlib. IO."""

from __future__ import annotations

from datetime import UTC, datetime
from math import nan
from pathlib import Path

from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure

from services.cli.chart.window import Window


def write_picture(path: Path, window: Window, title: str) -> None:
    """Write a PNG of all samples; where a value was not known the line has a hole.

    Raises:
        OSError: It cannot be written.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    times = [datetime.fromtimestamp(ts_ns / 1e9, UTC) for ts_ns, _ in window.samples]
    values = [nan if value is None else value for _, value in window.samples]
    axes.plot(times, values, color="#0072B2", linewidth=1.2)  # type: ignore[arg-type]
    axes.set_title(title)
    axes.set_xlabel("UTC")
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S", tz=UTC))  # type: ignore[no-untyped-call]
    axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)
