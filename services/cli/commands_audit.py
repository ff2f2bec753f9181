"""`arb audit`: who did what at the dashboard and on terminals, and whether that is all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.audit_reading import OnRecord, read_record
from services.cli.commands_ledger import Ledgers, Limit, Since, Until
from services.cli.commands_look import EXIT_NOT_WELL, AsJson, RedisUrl
from services.cli.export import iso
from services.cli.ledger.file import LIMIT, parse_times
from services.cli.output import console, emit_json, note
from shared.audit import compare
from shared.audit_files import FILE_NAME, directory, hashes_aside, read_whole, trail_name
from shared.errors import BusUnavailable, ConfigError
from shared.messages.control import Audited
from shared.wording import counted

SCHEMA = 1
REFUSED = "refused: "
NAMED_MAX = 20
audit_app = typer.Typer(help="Who did what at the dashboard and on terminals.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(audit_app, name="audit")


@audit_app.callback(invoke_without_command=True)
def audit(
    context: typer.Context,
    *,
    since: Since = None,
    until: Until = None,
    who: Annotated[
        str | None, typer.Option("--who", metavar="W", help="By this session or user.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="A", help="Like login, halt or resume.")
    ] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    limit: Limit = None,
    redis: RedisUrl = None,
    ledger: Ledgers = None,
    as_json: AsJson = False,
) -> None:
    """List who did what, or tried to, from the stream and the ledger; the newest last."""
    if context.invoked_subcommand is not None:
        return
    since_ns, until_ns = parse_times(since, until)
    record = read_record(redis, ledger)
    if not record.counts:
        raise BusUnavailable(f"nothing can be read: {'; '.join(record.not_read.values())}")
    found = [
        each
        for each in record.in_order()
        if (since_ns is None or each.ts_ns >= since_ns)
        and (until_ns is None or each.ts_ns < until_ns)
        and (who is None or each.who == who)
        and (action is None or each.action == action)
        and (not refused or each.outcome.startswith(REFUSED))
    ][-(limit or LIMIT) :]
    if not found:
        _check_known(record, who=who, action=action)
    if as_json:
        emit_json({"schema": SCHEMA, "audit": [_record(each) for each in found]})
        return
    for each in found:
        print(_line(each))
    if not found:
        print("nothing is on record")


def _check_known(record: OnRecord, **asked: str | None) -> None:
    """Check the values by which nothing was found.

    Raises:
        ConfigError: There is nothing at all of one, and something of others.
    """
    for name, value in asked.items():
        known = sorted({getattr(each, name) for each in record.entries.values()})
        if value is not None and known and value not in known:
            more = f" and {len(known) - NAMED_MAX} more" if len(known) > NAMED_MAX else ""
            raise ConfigError(
                f"--{name} {value!r}: not on record; there are {', '.join(known[:NAMED_MAX])}{more}"
            )


def _record(entry: Audited) -> dict[str, Any]:
    return {
        "time": iso(entry.ts_ns),
        "ts_ns": entry.ts_ns,
        "who": entry.who,
        "address": entry.address,
        "action": entry.action,
        "outcome": entry.outcome,
        "arguments": entry.arguments,
        "command_id": entry.command_id,
        "trail": entry.trail,
        "seq": entry.seq,
        "hash": entry.hash,
    }


def _line(entry: Audited) -> str:
    told = " ".join(f"{name}={value}" for name, value in entry.arguments.items())
    parts = (iso(entry.ts_ns), entry.who, entry.address, entry.action, told)
    return f"{'  '.join(part for part in parts if part)}  {entry.outcome}"


@audit_app.command("verify")
def audit_verify(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help=f"{FILE_NAME} beside the dashboard's tokens; else this user's."
        ),
    ] = None,
    redis: RedisUrl = None,
    ledger: Ledgers = None,
    as_json: AsJson = False,
) -> None:
    """Check a trail: exit 1 where a line was changed, dropped, added or cut off.

    Its chain of hashes is followed through its older files, and what the stream and the ledger
    hold of it must be in it.
    """
    path = file or directory() / FILE_NAME
    # First what is on record: the file is written before.
    record = read_record(redis, ledger)
    whole = read_whole(path)
    flaw, told = compare(
        whole.entries, record.entries.values(), trail_name(path), hashes_aside(path)
    )
    flaw = whole.flaw or flaw
    last = whole.entries[-1].hash if whole.entries else ""
    if as_json:
        emit_json(
            {
                "schema": SCHEMA,
                "well": not flaw,
                "entries": len(whole.entries),
                "first_seq": whole.entries[0].seq if whole.entries else 0,
                "last_hash": last,
                "files": whole.files,
                "on_record": told,
                "compared_with": sorted(record.counts),
                "not_compared_with": record.not_read,
                "flaw": flaw,
            }
        )
    else:
        entries = counted(len(whole.entries), "entry", "entries")
        if flaw:
            console.print(f"{path}: {flaw}; {entries} hold", markup=False, soft_wrap=True)
        else:
            held = f"{told} of it on record" if record.counts else "compared with nothing"
            console.print(
                f"{path}: {entries} in {counted(whole.files, 'file')}, {held}, the last is {last}",
                markup=False,
                soft_wrap=True,
            )
        for source, why in record.not_read.items():
            note(f"arb: not compared with the {source}: {why}")
    raise typer.Exit(EXIT_NOT_WELL if flaw else 0)
