"""`arb chart`: a price or a net edge in a sliding window, on the terminal or as a picture."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from services.cli import look
from services.cli.chart.drawing import draw
from services.cli.chart.subject import Reading, Subject
from services.cli.chart.window import Window
from services.cli.commands_look import RedisUrl
from services.cli.output import console
from services.cli.settings import target
from services.cli.top.watched import Place
from shared.clock import SystemClock
from shared.errors import BusUnavailable, ConfigError
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.rules import InstrumentRules
from shared.streams import MD_DEPTH, MD_INSTRUMENT
from shared.watch.link import Link, Target, open_link

EVERY_S = 0.25
WINDOW_MS = 750
"""Every book is told again after ``orderbook.refresh_ms``, 250 as shipped."""
RULES_BACK = 1_000
RULES_EVERY_S = 30.0
SECONDS_MIN, SECONDS_MAX = 5, 86_400
PICTURE_S = 60.0
NO_MATPLOTLIB = (
    "--png needs matplotlib; install the extra: pip install -c constraints.txt -e '.[plot]'"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("chart")(chart)


def chart(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Like BTC/USDT.")],
    venue: Annotated[str, typer.Option("--venue", metavar="V", help="Whose book; bought there.")],
    *,
    versus: Annotated[
        str | None,
        typer.Option("--versus", metavar="V", help="The net edge of selling at this venue."),
    ] = None,
    sold: Annotated[
        str | None, typer.Option("--sold", metavar="I", help="What is sold there, if another.")
    ] = None,
    window: Annotated[
        int, typer.Option("--window", min=SECONDS_MIN, max=SECONDS_MAX, help="Seconds shown.")
    ] = 300,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, max=SECONDS_MAX, help="Else until Ctrl-C.")
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="Write a picture at the end, after 60 s."),
    ] = None,
    ascii_only: Annotated[
        bool, typer.Option("--ascii", help="For terminals without braille characters.")
    ] = False,
    redis: RedisUrl = None,
) -> None:
    """A book's price, or the net edge between two, as it moves; unknown is a hole."""
    if sold is not None and versus is None:
        raise ConfigError("--sold is what --versus sells; give both, or neither")
    if png is not None:
        _check_picture(png)
        seconds = PICTURE_S if seconds is None else seconds
    there = None if versus is None else (versus, sold or instrument)
    if there == (venue, instrument):
        raise ConfigError("--versus is the same book; name another venue, or --sold another")
    subject = Subject((venue, instrument), there)
    is_ascii = ascii_only or not console.encoding.startswith("utf")
    shown = Window(window, EVERY_S)
    try:
        asyncio.run(_watch(target(redis), subject, shown, seconds, is_ascii=is_ascii))
    except KeyboardInterrupt:
        if not shown.samples:
            raise
    if png is not None:
        from services.cli.chart.picture import write_picture

        write_picture(png, shown, subject.title)
        console.print(f"written: {png}", markup=False)


def _check_picture(path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(NO_MATPLOTLIB)
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"--png {path}: not a file in a folder that exists")


async def _watch(
    where: Target, subject: Subject, window: Window, seconds: float | None, *, is_ascii: bool
) -> None:
    async with open_link(where) as link:
        known = await look.known_instruments(link)
        for place in (subject.place, subject.versus):
            if place is not None:
                look.check_instrument(known, *place)
        reader = _Reader(link)
        end_ns = None if seconds is None else SystemClock.monotonic_ns() + int(seconds * 1e9)
        newest = Reading(None, "not read yet")
        with Live(console=console, auto_refresh=False) as live:
            while end_ns is None or SystemClock.monotonic_ns() < end_ns:
                newest = await reader.read(subject)
                now_ns = SystemClock.now_ns()
                window.add(now_ns, newest.value)
                if console.is_terminal:
                    live.update(_text(window, subject, newest, is_ascii), refresh=True)
                await asyncio.sleep(EVERY_S)
        if not console.is_terminal:
            console.print(_text(window, subject, newest, is_ascii))


def _text(window: Window, subject: Subject, newest: Reading, is_ascii: bool) -> Text:
    width, height = console.size
    lines = draw(
        window,
        subject.title,
        newest,
        SystemClock.now_ns(),
        width=width,
        height=min(height, 40),
        is_ascii=is_ascii,
    )
    return Text("\n".join(lines), no_wrap=True, overflow="crop")


class _Reader:
    """Reads books and fees; while Redis is away nothing is known."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._rules: dict[Place, InstrumentRules] = {}
        self._rules_due_ns = 0

    async def read(self, subject: Subject) -> Reading:
        """Return what the subject is now."""
        try:
            if subject.versus is not None and SystemClock.monotonic_ns() >= self._rules_due_ns:
                await self._read_rules()
            items = await self._link.recent(MD_DEPTH, WINDOW_MS)
        except BusUnavailable:
            return Reading(None, "Redis is away")
        views = {
            (view.venue, view.instrument): view
            for view in (item.message for item in items)
            if isinstance(view, DepthView)
        }
        return subject.read(views, self._rules, SystemClock.now_ns())

    async def _read_rules(self) -> None:
        for item in await self._link.newest(MD_INSTRUMENT, count=RULES_BACK):
            if isinstance(item.message, InstrumentInfo):
                rules = item.message.rules
                self._rules[rules.venue, rules.instrument] = rules
        wait_s = RULES_EVERY_S if self._rules else EVERY_S
        self._rules_due_ns = SystemClock.monotonic_ns() + int(wait_s * 1e9)
