"""`arb man`: manual pages of the commands."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from services.cli.completion import PROGRAM
from services.cli.man_pages import pages_of
from services.cli.output import note
from shared.errors import ConfigError
from shared.wording import counted


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    def man(
        command: Annotated[
            list[str] | None, typer.Argument(metavar="[COMMAND]...", help="Like: config check.")
        ] = None,
        directory: Annotated[
            Path | None,
            typer.Option("--dir", metavar="DIR", help="Write all pages there, as arb*.1 files."),
        ] = None,
    ) -> None:
        """Print a command's manual page, or write all of them; docs/terminal.md says where to."""
        pages = list(pages_of(typer.main.get_command(app), version("arbstream")))
        if directory is None:
            name = "-".join((PROGRAM, *(command or ())))
            text = next((page.text for page in pages if page.name == name), None)
            if text is None:
                asked = " ".join(command or ())
                raise ConfigError(f"there is no command {asked!r}; arb --help lists them")
            print(text, end="")
            return
        if command:
            raise ConfigError("--dir writes the pages of all commands; leave out the command")
        directory.mkdir(parents=True, exist_ok=True)
        for page in pages:
            (directory / page.file).write_text(page.text, encoding="utf-8")
        note(f"arb: {counted(len(pages), 'page')} in {directory}")

    app.command("man")(man)
