"""`arb rebalance`: how to bring each venue's holdings back into their bands; it moves nothing."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, Any, Literal

import typer

from services.cli.commands_look import EXIT_NOT_WELL, AsJson, RedisUrl
from services.cli.commands_operate import ConfigPath
from services.cli.ledger.tables import short, table
from services.cli.output import console, emit_json
from services.cli.rebalance import parse_arriving, propose, targets_of
from services.cli.settings import target
from shared.config import load_config
from shared.domain.rebalance_plan import RowState
from shared.watch.link import Target, open_link
from shared.wording import counted, unsigned

GOOD = frozenset((RowState.IN_BAND, RowState.BROUGHT_BACK))
_NUMBERS = ("held", "low", "target", "high", "after")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("rebalance")(rebalance)


def rebalance(
    redis: RedisUrl = None,
    config: ConfigPath = None,
    only: Annotated[
        Literal["transfers", "trades"] | None,
        typer.Option("--only", help="Propose nothing else."),
    ] = None,
    arriving: Annotated[
        list[str] | None,
        typer.Option(
            "--arriving",
            metavar="VENUE:ASSET:QTY",
            help="Withdrawn already and not credited yet; counts as held there. May be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose transfers and trades that bring inventory back into its bands; moves nothing.

    Exit 1 where something stays outside its band, or is unknown.
    """
    settings = load_config(config)
    targets_of(settings)  # without any there is nothing to propose
    under_way = parse_arriving(arriving or [], settings)
    bus = target(redis) if redis is not None else Target(settings.bus, "bus.url")

    async def ask() -> dict[str, Any]:
        async with open_link(bus) as link:
            return await propose(link, settings, only=only, arriving=under_way)

    found = asyncio.run(ask())
    if as_json:
        emit_json(found)
    else:
        show(found)
    raise typer.Exit(0 if found["whole"] else EXIT_NOT_WELL)


def show(found: dict[str, Any]) -> None:
    """Print a proposal."""
    made = table(("venue", "asset", *_NUMBERS, "state"), "state", _NUMBERS)
    for row in found["targets"]:
        numbers = [short(row[name]) for name in _NUMBERS]
        made.add_row(row["venue"], row["asset"], *numbers, str(row["state"]))
    console.print(made)
    for number, step in enumerate(found["steps"], start=1):
        console.print(f"{number}. {step_text(step, found['quote'])}", markup=False)
        console.print(f"   because {step['why']}", markup=False)
    console.print(total_text(found), markup=False)
    for row in found["targets"]:
        if row["state"] not in GOOD:
            name = f"{row['asset']} at {row['venue']}"
            console.print(f"{name}: {row['state']}: {row['reason']}", markup=False)
    for market, why in found["markets_left_out"].items():
        venue, _, instrument = market.partition("|")
        console.print(f"not traded on: {instrument} at {venue}: {why}", markup=False)


def step_text(step: dict[str, Any], quote: str) -> str:
    """Return a step in words, with its cost and time."""
    cost = f"costs {_money(step['cost'], quote)}"
    if step["kind"] == "transfer":
        network = f" over {step['network']}" if step["network"] else ""
        return (
            f"withdraw {short(step['qty'])} {step['asset']} at {step['from']}, deposit at "
            f"{step['to']}{network}: what arrives is {_amount(step['arrives'])}, "
            f"{_minutes(step['minutes'])}, {cost}"
        )
    sell, buy = step["sell"], step["buy"]
    return (
        f"sell {short(step['qty'])} {step['instrument']} at {sell['venue']} for "
        f"{short(sell['price_avg'])}, buy them at {buy['venue']} for {short(buy['price_avg'])}: "
        f"at once, {cost}"
    )


def total_text(found: dict[str, Any]) -> str:
    """Return in words what all of it costs and takes."""
    steps, quote = found["steps"], found["quote"]
    if not steps:
        return "nothing to do" if found["whole"] else "no step helps"
    cost = _money(found["cost"], quote)
    if found["cost"] is None:
        cost = f"{_money(found['cost_known'], quote)} and what is unknown"
    return f"{counted(len(steps), 'step')}: {cost}, {_minutes(found['minutes'])}; nothing was moved"


def _money(amount: Decimal | None, quote: str) -> str:
    return "an unknown amount" if amount is None else f"{unsigned(amount)} {quote}"


def _amount(value: Decimal | None) -> str:
    return "unknown" if value is None else short(value)


def _minutes(value: Decimal | None) -> str:
    return "time unknown" if value is None else f"{short(value)} min"
