"""`arb why`: why it does not trade, from the funnel down to one plan; nothing is changed."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cli import why_reading
from services.cli.commands_ledger import Ledgers
from services.cli.commands_look import AsJson, RedisUrl
from services.cli.output import emit_json
from services.cli.settings import target
from services.cli.why_text import lines_of
from services.cli.why_trail import record_of
from services.cli.why_trail_text import trail_lines
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.watch.why.answer import Verdict, answer
from shared.watch.why.pair import check_pair, narrow, parse_pair

MINUTES = 10
MINUTES_MAX = 7 * 24 * 60
EXIT_STOPPED = 1
Minutes = Annotated[
    int | None,
    typer.Option(
        "--minutes", min=1, max=MINUTES_MAX, help=f"How far back to look; {MINUTES} by default."
    ),
]
Between = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--pair", metavar="A B", help="Only between two markets, like VENUE:BTC/USDT, or venues."
    ),
]
Id = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="An opportunity, signal or plan, to show its path."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("why")(why)


def why(
    wanted: Id = None,
    *,
    redis: RedisUrl = None,
    ledger: Ledgers = None,
    minutes: Minutes = None,
    pair: Between = None,
    as_json: AsJson = False,
) -> None:
    """Why it does not trade, with numbers; with ID, why that opportunity or plan went as it did.

    Exit 1 where something stops trading, or that cannot be known.
    """
    if wanted is not None:
        if minutes is not None:
            raise ConfigError("--minutes is for all of it; leave it out, or leave out the ID")
        if pair is not None:
            raise ConfigError("--pair is for comparisons; leave it out, or leave out the ID")
        _one(wanted, redis, ledger, as_json)
        return
    if ledger is not None:
        raise ConfigError("--ledger is for one opportunity or plan; give its ID, or leave it out")
    asked = None if pair is None else parse_pair(*pair)
    now_ns = SystemClock.now_ns()
    since_ns = now_ns - (minutes or MINUTES) * 60_000_000_000
    facts, beats = asyncio.run(why_reading.read(target(redis), since_ns, now_ns))
    why_reading.take_config(facts)
    if asked is not None:
        check_pair(facts, asked)
        facts = narrow(facts, asked)
    found = answer(facts, beats)
    if asked is not None:
        found["pair"] = [str(place) for place in asked]
    if as_json:
        emit_json(found)
    else:
        print("\n".join(lines_of(found)))
    is_well = found["verdict"] in {Verdict.TRADES, Verdict.WAITS}
    raise typer.Exit(0 if is_well else EXIT_STOPPED)


def _one(wanted: str, redis: str | None, ledger: str | None, as_json: bool) -> None:
    trail = asyncio.run(why_reading.read_trail(target(redis), wanted, ledger))
    record = record_of(trail)
    if as_json:
        emit_json(record)
    else:
        print("\n".join(trail_lines(record)))
