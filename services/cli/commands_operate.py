"""`arb halt | resume | flatten | kill` and `arb config`: say commands, check what is configured."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import typer

from services.cli import settings
from services.cli.commands_look import EXIT_NOT_WELL, AsJson, RedisUrl
from services.cli.output import console, emit_json, note
from shared.config_masked import masked
from shared.errors import BusUnavailable
from shared.messages.control import CommandKind
from shared.strategy_inputs import feeds_beside_books
from shared.watch.by_hand import command_by_hand
from shared.watch.link import open_link
from shared.watch.operate import STOP_BY_HAND, CommandResult
from shared.watch.outlook import outlook
from shared.wording import counted

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the command.")]
ConfigPath = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Else ARB_CONFIG, else arb.toml.")
]

config_app = typer.Typer(help="Check or show the configuration.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("halt")(halt)
    app.command("resume")(resume)
    app.command("flatten")(flatten)
    app.command("kill")(kill)
    app.add_typer(config_app, name="config")


def halt(redis: RedisUrl = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Open nothing new; finish what is in flight."""
    _send(redis, CommandKind.HALT, reason, as_json)


def resume(redis: RedisUrl = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Trade again."""
    _send(redis, CommandKind.RESUME, reason, as_json)


def flatten(redis: RedisUrl = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Halt and trade all exposure back to zero."""
    _send(redis, CommandKind.FLATTEN, reason, as_json)


def _send(redis: str | None, kind: CommandKind, reason: str, as_json: bool) -> None:
    async def ask() -> CommandResult:
        try:
            async with open_link(settings.target(redis)) as link:
                return await command_by_hand(link, kind, reason)
        except BusUnavailable as error:
            if STOP_BY_HAND in str(error):
                raise
            raise BusUnavailable(f"{kind} could not be sent: {error}; {STOP_BY_HAND}") from error

    answer = asyncio.run(ask())
    if as_json:
        emit_json(answer)
    else:
        console.print(answer_text(answer, kind), markup=False)
    if answer.audit_problem:
        note(f"arb: the audit trail does not have it: {answer.audit_problem}")
    raise typer.Exit(0 if answer.confirmed else EXIT_NOT_WELL)


def answer_text(answer: CommandResult, kind: CommandKind) -> str:
    """Return what became of a command."""
    if answer.confirmed:
        return f"{kind}: done, trading is {answer.state} ({answer.reason})"
    left = {**(answer.exposure or {}), **answer.positions}
    exposure = f", still open {left}" if left else ""
    return (
        f"{kind}: sent, but not confirmed: trading is {answer.state} "
        f"({answer.reason}){exposure}; {outlook(answer, kind)}"
    )


def kill(
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Close positions in derivatives as well.")
    ] = False,
    reason: Reason = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Cancel every order at every venue directly, without the services; needs the venues' keys."""
    environ = dict(os.environ)
    if config is not None:
        environ["ARB_CONFIG"] = config
    command = [sys.executable, "-m", "services.sentinel.kill", f"--reason={reason or 'arb kill'}"]
    command += ["--flatten"] if flatten else []
    command += ["--json"] if as_json else []
    os.execve(sys.executable, command, environ)


@config_app.command("check")
def config_check(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Read the configuration and say whether it is right; a mistake is one line and exit 2."""
    found = settings.check(config)
    count = sum(len(venue.instruments) for venue in found.venues.values())
    feeds, unlimited = feeds_beside_books(found), settings.without_limits(found)
    if as_json:
        emit_json(
            {
                "ok": True,
                "venues": sorted(found.venues),
                "instruments": count,
                "feeds": feeds,
                "without_limits": unlimited,
            }
        )
        return
    console.print(
        f"right: {counted(count, 'instrument')} on {', '.join(sorted(found.venues))}, "
        f"executor mode {found.executor.mode}, {counted(found.bus.shards, 'shard')}"
    )
    for quote in unlimited:
        console.print(f"no limits in {quote}: plans in it are denied, see risk.per_quote")
    for venue, kinds in feeds.items():
        for kind, instruments in kinds.items():
            console.print(f"beside books: {kind} of {venue}: {', '.join(instruments)}")


@config_app.command("show")
def config_show(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Show the effective configuration: file, defaults and environment; secrets are masked."""
    found = masked(settings.check(config))
    secrets = settings.secrets_set(found)
    if as_json:
        emit_json({"config": found, "secrets": secrets})
        return
    print(settings.to_toml(found), end="")
    print("\n# secrets")
    for name, state in secrets.items():
        print(f"# {name}: {state}")
