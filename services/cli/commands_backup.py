"""`arb backup`, `arb restore`: one file with what must survive, and a drill that it would."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from services.cli.backup import archive
from services.cli.backup.drill import Trial, try_out
from services.cli.backup.restoring import restore as restore_into
from services.cli.backup.saving import save
from services.cli.commands_look import EXIT_NOT_WELL, AsJson, RedisUrl
from services.cli.commands_operate import ConfigPath
from services.cli.output import console, emit_json, note
from services.cli.settings import target
from shared.config import DEFAULT_CONFIG
from shared.errors import ConfigError

SCHEMA = 1
STDOUT = "-"
EXIT_BY_SIGNAL = 128
BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="As `arb backup` wrote it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    place: Annotated[
        str, typer.Argument(metavar="FILE", help="A new file, or - for standard output.")
    ],
    config: ConfigPath = None,
    redis: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """Save plans, orders, fills, checkpoints, the ledger and the configuration into one file.

    While everything runs. Secrets of variables and files are not in it; those in URLs of the
    configuration are, and a line says so. It is not encrypted: `arb backup - | age -r ...`.
    """
    is_piped = place == STDOUT
    if is_piped and as_json:
        raise ConfigError("--json and - both write to standard output; give one of them")
    if is_piped and sys.stdout.isatty():
        raise ConfigError("a terminal cannot take a backup; name a file, or pipe it on")
    if not is_piped and Path(place).exists():
        raise ConfigError(f"{place} is there already; a backup never replaces another one")
    _tidy_up_when_ended()
    with tempfile.TemporaryDirectory(prefix="arb-backup-") as folder:
        saving = save(target(redis), Path(folder), _config(config), note)
        manifest, parts = asyncio.run(saving)
        if is_piped:
            archive.write_to(sys.stdout.buffer, manifest, parts)
            sys.stdout.buffer.flush()
            return
        archive.write(Path(place), manifest, parts)
    size = Path(place).stat().st_size
    if as_json:
        emit_json({"schema": SCHEMA, "file": place, "bytes": size, **_summary(manifest)})
    else:
        console.print(f"{place}: {size} bytes, {_text(manifest)}", markup=False, soft_wrap=True)


def _tidy_up_when_ended() -> None:
    """Let SIGTERM and SIGHUP leave as little behind as Ctrl-C: no copy of the data, no server."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    sys.exit(EXIT_BY_SIGNAL + number)


def _config(given: str | None) -> Path | None:
    named = given or os.environ.get("ARB_CONFIG")
    place = Path(named or DEFAULT_CONFIG)
    if place.is_file():
        return place
    if named:
        raise ConfigError(f"{place}: there is no such configuration")
    return None


def restore(
    place: BackupFile,
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Data directory of a Redis that does not run."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="NEW", help="Write the configuration here.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", metavar="NEW", help="Write the ledger's file here.")
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Try it in a scratch folder, and leave nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup back, or try whether it could be; nothing that exists is replaced.

    The services start HALTED on it, because of DATA_LOST, until `arb resume`. Exit 1 where a drill
    finds that something is not as it was.
    """
    if drill == (directory is not None):
        raise ConfigError("say either --dir DIR, to restore, or --drill, to try it")
    if drill and (config or ledger):
        raise ConfigError("--config and --ledger go with --dir: a drill leaves nothing")
    _tidy_up_when_ended()
    with archive.opened(place) as (manifest, parts):
        if directory is None:
            trial = asyncio.run(try_out(manifest, parts))
            _show(trial, manifest, as_json)
            raise typer.Exit(0 if trial.is_well else EXIT_NOT_WELL)
        written = restore_into(manifest, parts, directory, config=config, ledger=ledger)
    if as_json:
        names = [str(path) for path in written]
        emit_json({"schema": SCHEMA, "written": names, **_summary(manifest)})
        return
    for path in written:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    console.print(
        f"{_text(manifest)}. Give Redis its files (chown), start it, then the services: they are "
        "HALTED because of DATA_LOST. Compare with the venues, then arb resume.",
        markup=False,
        soft_wrap=True,
    )


def _show(trial: Trial, manifest: archive.Manifest, as_json: bool) -> None:
    if as_json:
        lines = [{"ok": ok, "text": text} for ok, text in trial.lines]
        told = {"well": trial.is_well, "took_s": round(trial.took_s, 1), "lines": lines}
        emit_json({"schema": SCHEMA, **told, **_summary(manifest)})
        return
    console.print(_text(manifest), markup=False, soft_wrap=True)
    for ok, text in trial.lines:
        console.print(f"{'ok ' if ok else 'BAD'}  {text}", markup=False, soft_wrap=True)
    verdict = "it can be restored" if trial.is_well else "it CANNOT be restored as it was"
    console.print(f"{verdict}; the drill took {trial.took_s:.1f} s")


def _summary(manifest: archive.Manifest) -> dict[str, Any]:
    return {
        "saved": _when(manifest),
        "ledger_id": manifest.ledger_id,
        "redis": manifest.server,
        "keys": len(manifest.keys),
        "entries": sum(each.entries for each in manifest.keys),
        "parts": msgspec.to_builtins(manifest.parts),
        "left_out": manifest.left_out,
    }


def _text(manifest: archive.Manifest) -> str:
    entries = sum(each.entries for each in manifest.keys)
    parts = ", ".join(manifest.parts)
    return (
        f"saved {_when(manifest)}: {len(manifest.keys)} keys of {manifest.server} with {entries} "
        f"entries; {parts}"
    )


def _when(manifest: archive.Manifest) -> str:
    return datetime.fromtimestamp(manifest.ts_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
