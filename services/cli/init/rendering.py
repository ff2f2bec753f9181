"""The configuration that `arb init` writes. Pure."""

from __future__ import annotations

import json
from decimal import Decimal

from services.cli.init.answers import Answers, instruments_of

TEXT = """\
# arbstream's configuration, made by `arb init`: real market data, orders on paper. Nothing is ever
# sent to a venue's order entry until executor.mode is changed, and live is asked for twice
# (docs/runbook.md). What is not here has its default; arb.example.toml explains every key.
# `arb config check` says whether this is right, `arb config show` what is in effect.

[bus]
url = {url}
{venues}
[scanner]
notional_max = {size}  # {quote} per opportunity

[risk]  # in {quote}
quote_assets = [{quoted}]
order_notional_max = {size}
instrument_notional_max = {instrument}
venue_notional_max = {venue}
total_notional_max = {total}
daily_loss_max = {loss}  # then everything is halted until `arb resume`

[executor]
mode = "paper"
paper_balance = {capital}  # {quote} of every account, and that worth of what is traded for it

[recorder]
dir = "data"
ledger = {ledger}  # orders, fills, plans and results: arb orders, arb fills, arb pnl
"""
LOSS_SHARE = Decimal("0.02")
"""Of what all accounts hold of the quote asset: the most that may be lost in a day."""


def render(answers: Answers, url: str) -> str:
    """Return the text of the configuration; ``url`` is Redis' address."""
    size, capital = answers.order_size, answers.capital
    return TEXT.format(
        url=json.dumps(url),
        venues="".join(_venue(answers, *each) for each in instruments_of(answers).items()),
        quote=answers.quote,
        quoted=json.dumps(answers.quote),
        size=_number(size),
        instrument=_number(min(capital, size * 5)),
        venue=_number(capital),
        total=_number(capital * len(answers.venues)),
        loss=_number(capital * len(answers.venues) * LOSS_SHARE),
        capital=_number(capital),
        ledger=json.dumps(answers.ledger),
    )


def _venue(answers: Answers, venue: str, instruments: list[str]) -> str:
    lines = ["", f"[venues.{venue}]", f"instruments = {json.dumps(instruments)}"]
    place = answers.addresses.get(venue)
    if place is not None:
        urls = {"rest_url": place.rest_url, "ws_url": place.ws_url}
        lines += [f"{name} = {json.dumps(url)}" for name, url in urls.items() if url]
    return "\n".join(lines) + "\n"


def _number(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
