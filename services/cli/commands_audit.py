"""`arb audit verify`: whether an audit trail is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands_look import EXIT_NOT_WELL, AsJson
from services.cli.output import console, emit_json
from shared.audit import verify
from shared.wording import counted

audit_app = typer.Typer(help="Look at the audit trail of the dashboard.")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.add_typer(audit_app, name="audit")


@audit_app.callback()
def _group() -> None:
    """Keep ``verify`` a command of its own, though it is the only one."""


@audit_app.command("verify")
def audit_verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="audit.jsonl beside the dashboard's tokens.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check the chain of hashes: exit 1 where a line was changed, dropped or added."""
    entries, flaw = verify(file.read_bytes().splitlines(keepends=True))
    last = entries[-1].hash if entries else ""
    if as_json:
        emit_json({"well": not flaw, "entries": len(entries), "last_hash": last, "flaw": flaw})
    elif flaw:
        console.print(f"{file}: {flaw}; {counted(len(entries), 'entry', 'entries')} before it hold")
    else:
        console.print(f"{file}: {counted(len(entries), 'entry', 'entries')}, the last is {last}")
    raise typer.Exit(EXIT_NOT_WELL if flaw else 0)
