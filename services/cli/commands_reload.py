"""`arb reload`: put the limits of an edited configuration into force without a restart."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cli import settings
from services.cli.commands_look import EXIT_NOT_WELL, AsJson, RedisUrl
from services.cli.commands_operate import ConfigPath, Reason
from services.cli.output import console, emit_json, note
from shared.watch.link import Target, open_link
from shared.watch.reload import Reload, reload_limits

HOW = {
    "live": "tighter: without a restart",
    "halted": "looser: only while trading is HALTED",
    "restart": "looser, and the executor checks it too: restart executor, risk",
}
OUTCOMES = {
    "same": "nothing to change",
    "restart": "nothing was applied",
    "dry-run": "nothing was sent",
    "applied": "applied: risk has confirmed it",
    "unconfirmed": "sent, but risk has not confirmed it within 5 s: say arb reload again to see",
}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("reload")(reload)


def reload(
    redis: RedisUrl = None,
    config: ConfigPath = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and send nothing.")
    ] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Put the edited limits of [risk] into force while the system runs.

    Looser ones only while trading is HALTED. Exit 1 where something is refused, not confirmed, or
    needs a restart.
    """
    given = settings.check(config)
    bus = settings.target(redis) if redis is not None else Target(given.bus, "bus.url")

    async def ask() -> Reload:
        async with open_link(bus) as link:
            return await reload_limits(link, given, reason, dry_run=dry_run)

    found = asyncio.run(ask())
    if as_json:
        emit_json(found)
    else:
        for line in lines_of(found):
            console.print(line, markup=False, soft_wrap=True)
    if found.audit_problem:
        note(f"arb: the audit trail does not have it: {found.audit_problem}")
    raise typer.Exit(0 if found.is_well else EXIT_NOT_WELL)


def lines_of(found: Reload) -> list[str]:
    """Return what changes, what became of it, and what needs a restart, a line each."""
    lines = [
        f"{each.name} {each.before} -> {each.after} ({HOW[each.how]})" for each in found.limits
    ]
    lines += [
        f"{part} differs: restart {services}"
        for part, services in found.restart.items()
        if not part.startswith("risk.")
    ]
    end = f"refused: {found.refused}" if found.refused else OUTCOMES[found.outcome]
    return [*lines, f"{end}; trading is {found.state}, limits {found.limits_hash} are in force"]
