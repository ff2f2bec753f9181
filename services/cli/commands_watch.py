"""`arb watch`: a dead man's switch for another machine."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cli.silence import ALERTMANAGER, NOTIFIER
from shared.config import load_config
from shared.config_notifier import NotifierConfig

AFTER_S_MIN, AFTER_S_MAX = 1.0, 86_400.0


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("watch")(watch)


def watch(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where pings arrive.")
    ],
    after: Annotated[
        float,
        typer.Option(
            "--after", metavar="SECONDS", min=AFTER_S_MIN, max=AFTER_S_MAX, help="Of silence."
        ),
    ] = 180.0,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="Whose [notifier] channels it shouts over."),
    ] = None,
    alertmanager: Annotated[
        bool, typer.Option("--alertmanager", help="Miss its ArbWatchdog from the start as well.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Exit 1 after the first shout.")] = False,
) -> None:
    """Shout when arbstream on another machine is dead: nobody pings any more."""
    from services.cli.watch import run_watch  # here, because few commands need a server

    section = NotifierConfig() if config is None else load_config(config).notifier
    expected = (NOTIFIER, ALERTMANAGER) if alertmanager else (NOTIFIER,)
    raise typer.Exit(asyncio.run(run_watch(listen, section, expected, after, once=once)))
