"""`arb completion`: scripts that complete commands and options in a shell."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.completion import SHELLS, places_of
from shared.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    def completion(
        shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    ) -> None:
        """Print a shell's completion script; docs/terminal.md says where it goes."""
        script = SHELLS.get(shell)
        if script is None:
            raise ConfigError(f"no completion for {shell!r}; there is for: {', '.join(SHELLS)}")
        print(script(list(places_of(typer.main.get_command(app)))), end="")

    app.command("completion")(completion)
