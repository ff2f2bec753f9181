"""`arb venues`: what venues can do here, capability by capability, and why not; no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from services.cli.commands_look import AsJson
from services.cli.commands_operate import ConfigPath
from services.cli.output import console, emit_json
from shared.config import load_config
from shared.errors import ConfigError

if TYPE_CHECKING:
    from shared.accounts.venue_capabilities import VenueAnswer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("venues")(venues)


def venues(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[VENUE]...", help="Any of ccxt's exchanges.")
    ] = None,
    *,
    all_of_them: Annotated[bool, typer.Option("--all", help="Every exchange of ccxt.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """What the configured venues, or any of ccxt's, can do here, and whether they can be traded."""
    if all_of_them and names:
        raise ConfigError("give --all or names of venues, not both")
    if config is not None and (all_of_them or names):
        raise ConfigError("--config shows its own venues; give it without --all and names")
    answers = _answers(names or [], all_of_them, config)
    if as_json:
        emit_json({"venues": [_as_record(answer) for answer in answers]})
    elif all_of_them:
        _print_all(answers)
    else:
        for answer in answers:
            _print_venue(answer)
        if not answers:
            console.print("no venues are configured; arb venues --all shows every exchange of ccxt")


def _answers(names: list[str], all_of_them: bool, path: str | None) -> list[VenueAnswer]:
    # Here, because no other look at a system needs ccxt.
    from shared.accounts.venue_capabilities import any_exchange, configured
    from shared.venues.ccxt_classes import exchange_ids

    if all_of_them or names:
        return [any_exchange(name) for name in (names or exchange_ids())]
    found = load_config(path)
    return [configured(name, venue) for name, venue in found.venues.items()]


def _as_record(answer: VenueAnswer) -> dict[str, Any]:
    return {
        "venue": answer.venue,
        "gateway": answer.gateway,
        "ccxt_id": answer.ccxt_id,
        "can_trade": answer.can_trade,
        "missing": answer.missing,
        "capabilities": {
            what.name.lower(): {"can": finding.can, "why": finding.why}
            for what, finding in answer.findings.items()
        },
    }


def _verdict(answer: VenueAnswer) -> str:
    if answer.can_trade:
        return "can be traded live"
    return "refused for live arbitrage, missing: " + "; ".join(answer.missing)


def _print_all(answers: list[VenueAnswer]) -> None:
    for answer in answers:
        console.print(
            f"{answer.venue}: {answer.gateway}, {_verdict(answer)}", soft_wrap=True, markup=False
        )
    count = sum(answer.can_trade for answer in answers)
    console.print(f"{count} of {len(answers)} can be traded live")


def _print_venue(answer: VenueAnswer) -> None:
    console.print(
        f"{answer.venue}: {answer.gateway} gateway (ccxt's {answer.ccxt_id}), {_verdict(answer)}",
        soft_wrap=True,
        markup=False,
    )
    table = Table(box=None)
    for title in ("capability", "", "why"):
        table.add_column(title)
    for what, finding in answer.findings.items():
        table.add_row(what, "yes" if finding.can else "no", Text(finding.why))
    console.print(table)
