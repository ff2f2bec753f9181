"""`arb top`: the running system on a terminal, screen by screen."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import why_reading
from services.cli.commands_look import RedisUrl
from services.cli.commands_operate import answer_text
from services.cli.settings import target
from services.cli.why_text import lines_of
from services.cli.why_trail import record_of
from services.cli.why_trail_text import trail_lines
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.freed_memory import set_aside
from shared.messages.control import CommandKind
from shared.watch.by_hand import command_by_hand
from shared.watch.link import Target, open_link
from shared.watch.why.answer import answer

if TYPE_CHECKING:
    from services.cli.top.app import Doors, TopApp

WHY_NS = 600_000_000_000
"""How far back `w` looks, as `arb why` does."""
REASON = "arb top"
NO_TEXTUAL = "arb top needs Textual; install the extra: pip install -c constraints.txt -e '.[tui]'"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("top")(top)


def top(
    redis: RedisUrl = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Allow HALT, FLATTEN and RESUME, each typed out.")
    ] = False,
) -> None:
    """Screens of the running system: books, spreads, plans, positions, health; read-only."""
    if importlib.util.find_spec("textual") is None:
        raise ConfigError(NO_TEXTUAL)
    from services.cli.top.app import TopApp
    from services.cli.top.watched import Watched

    where = target(redis)
    app = TopApp(Watched(), lambda app: doors_to(where, app, may_command=operator))
    set_aside()
    app.run()
    end(app)


def end(app: TopApp) -> None:
    """Raise what ended the application, if that was not its operator.

    Raises:
        ArbError: What it reads cannot be read.
        typer.Exit: Something in it failed, which Textual has written out.
    """
    if app.failure is not None:
        raise app.failure
    if app.return_code:
        raise typer.Exit(app.return_code)


def doors_to(where: Target, app: TopApp, *, may_command: bool) -> Doors:
    """Return what the application reaches of a Redis."""
    from services.cli.top.app import Doors
    from services.cli.top.feed import Feed

    feed = Feed(where, app.watched, lambda: app.spec.reads_books, lambda: app.spec.reads_funding)

    async def why(wanted: str) -> Sequence[str]:
        if wanted:
            return trail_lines(record_of(await why_reading.read_trail(where, wanted, None)))
        now_ns = SystemClock.now_ns()
        facts, beats = await why_reading.read(where, now_ns - WHY_NS, now_ns)
        why_reading.take_config(facts)
        return lines_of(answer(facts, beats))

    async def give(kind: CommandKind) -> str:
        async with open_link(where) as link:
            return answer_text(await command_by_hand(link, kind, REASON), kind)

    return Doors(follow=feed.run, why=why, command=give if may_command else None)
