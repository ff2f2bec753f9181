"""The money part of a run's report: our accounts beside the venues' own. Pure.

Both sides are valued at the same closing prices, so they must agree to the last digit: what we say
was earned is what the venues' balances and positions have become.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from shared.domain.accounting import (
    ZERO,
    Books,
    TradingResult,
    holding_key,
    unrealized,
    worst_certainty,
)
from shared.domain.contracts import Contract
from shared.domain.fees import BPS
from shared.domain.holding import Holding
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.strategy_books import StrategyBooks
from shared.domain.valuation import FindClose, known_part
from shared.messages.base import Certainty

Balances = Mapping[str, Mapping[str, Decimal]]
"""Venue -> asset -> amount."""


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """A perpetual position as the venue holds it: signed base units and what they cost."""

    venue: str
    instrument: str
    qty: Decimal
    cost: Decimal


@dataclass(slots=True)
class Closing:
    """What the end of a run is valued by; without prices, what is open stays unknown.

    ``changes`` are the venues' own balances now less those at the start, ``None`` where they could
    not be asked; ``fee_bps`` the taker fee per venue and instrument.
    """

    find: FindClose = lambda *_: None
    changes: Balances | None = None
    positions: list[VenuePosition] = field(default_factory=list)
    fee_bps: dict[tuple[str, str], Decimal] = field(default_factory=dict)


def balance_changes(before: Balances, after: Balances) -> dict[str, dict[str, Decimal]]:
    """Return how each balance changed; an asset that was not there before began with nothing."""
    return {
        venue: {
            asset: amounts.get(asset, ZERO) - before.get(venue, {}).get(asset, ZERO)
            for asset in sorted({*amounts, *before.get(venue, {})})
        }
        for venue, amounts in after.items()
    }


def money_report(
    books: Books,
    closing: Closing,
    strategies: StrategyBooks | None = None,
    funding_unknown: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return result, positions, inventory, the venues' equity change and the cost of closing.

    ``pnl_by_strategy`` splits ``pnl``; summed over the strategies it is the same to the last digit.
    ``opened`` of a position is the part that trades hold open; the rest was spent on fees charged
    in that asset, which is gone but for its price. ``funding`` is in ``realized``; it is ``None``
    where payments of a venue, which ``funding_unknown`` names with the reason, may be missing.
    ``certainty`` is of the whole, ``certainties`` of each figure as it stands: fees in an asset
    without a price are in none of them, but in ``fees_unpriced``.
    """
    doubt = Certainty.UNKNOWN if funding_unknown else Certainty.KNOWN

    def price(venue: str, instrument: str, qty: Decimal) -> Decimal | None:
        found = closing.find(venue, instrument, qty)
        return None if found is None else found.price

    positions, opened = books.positions(price), books.opened()
    open_profit = unrealized(known_part(books, positions))
    return {
        "pnl": {
            quote: {
                "realized": result.realized,
                "unrealized": (profit := open_profit.get(quote, ZERO)),
                "fees": result.fees,
                "funding": None if funding_unknown else result.funding,
                "certainty": worst_certainty(
                    result.certainty,
                    doubt,
                    Certainty.UNKNOWN if profit is None else Certainty.KNOWN,
                ),
                "certainties": _certainties(result, profit, doubt),
                "fees_unpriced": dict(result.unpriced),
            }
            for quote, result in sorted(books.results.items())
        },
        "pnl_by_strategy": {
            name: {
                quote: {
                    "realized": each.realized,
                    "unrealized": each.unrealized,
                    "fees": each.fees,
                    "funding": None if funding_unknown else each.funding,
                    "certainty": worst_certainty(each.certainty, doubt),
                    "certainties": _certainties(
                        _result_of(strategies, name, quote), each.unrealized, doubt
                    ),
                }
                for quote, each in figures.earned.items()
            }
            for name, figures in (strategies or StrategyBooks()).figures(books, price).items()
        },
        "funding_unknown": dict(funding_unknown),
        "positions": [
            {
                "venue": position.venue,
                "instrument": position.instrument,
                "qty": position.qty,
                "entry": position.entry,
                "close_price": position.close_price,
                "unrealized": position.unrealized,
                "opened": opened.get(holding_key(position.venue, position.instrument), ZERO),
            }
            for position in positions
        ],
        "inventory_change": books.inventory_change(),
        "venue_equity_change": equity_change(books, closing),
        "closing_cost": closing_cost(books, closing),
    }


def _result_of(strategies: StrategyBooks | None, name: str, quote: str) -> TradingResult:
    """Return a strategy's result; what is netted between strategies has none, and is known."""
    books = None if strategies is None else strategies.accounts.get(name)
    return TradingResult() if books is None else books.result(quote)


def _certainties(
    result: TradingResult, profit: Decimal | None, funding: Certainty
) -> dict[str, Certainty]:
    """Return how well each figure of a quote asset is known."""
    fees = Certainty.ESTIMATED if result.is_estimated else Certainty.KNOWN
    return {
        "realized": worst_certainty(result.certainty_apart, funding),
        "unrealized": Certainty.UNKNOWN if profit is None else Certainty.KNOWN,
        "fees": Certainty.UNKNOWN if result.fees_missing else fees,
        "funding": funding,
    }


def equity_change(books: Books, closing: Closing) -> dict[str, Decimal | None] | None:
    """Return per quote asset what the venues' accounts gained, from their balances alone.

    Quantities of a base asset are worth what they can be closed at. The balances do not say against
    which quote they were traded: our accounts do, and whatever they cannot explain shows up as a
    gain in that asset itself. ``None`` where the accounts or a price are not known.
    """
    if closing.changes is None:
        return None
    totals: dict[str, Decimal] = {}
    for amounts in closing.changes.values():
        for asset, amount in amounts.items():
            totals[asset] = totals.get(asset, ZERO) + amount
    equity: dict[str, Decimal | None] = dict.fromkeys(sorted(books.results), ZERO)

    def gain(quote: str, amount: Decimal | None) -> None:
        before = equity.get(quote, ZERO)
        equity[quote] = None if before is None or amount is None else before + amount

    for instrument, holding in books.holdings.items():
        if "|" in instrument or not holding.qty:
            continue
        base, quote, _ = split_instrument(instrument)
        totals[base] = totals.get(base, ZERO) - holding.qty
        found = closing.find("", instrument, holding.qty)
        gain(quote, None if found is None else holding.qty * found.price)
    for position in closing.positions:
        found = closing.find(position.venue, position.instrument, position.qty)
        name = split_instrument(position.instrument)
        holding = Holding(qty=position.qty, cost=position.cost)
        gain(name.cash, None if found is None else holding.unrealized(name.kind, found.price))
    for asset, amount in sorted(totals.items()):
        if amount or asset in equity:
            gain(asset, amount)
    return equity


def closing_cost(books: Books, closing: Closing) -> dict[str, Decimal | None]:
    """Return by asset of settlement what closing everything now costs in fees and spread."""
    cost: dict[str, Decimal | None] = dict.fromkeys(sorted(books.results), ZERO)
    for key, qty in books.opened().items():
        venue, _, instrument = key.rpartition("|")
        name = split_instrument(instrument)
        found = closing.find(venue, instrument, qty)
        fee_bps = None if found is None else closing.fee_bps.get((found.venue, instrument))
        before = cost.get(name.cash, ZERO)
        if found is None or fee_bps is None or before is None:
            cost[name.cash] = None
            continue
        contract = Contract(name.kind)
        spread = abs(contract.profit(qty, found.mid, found.price))
        fee = contract.settled(abs(qty), found.price) * fee_bps / BPS
        cost[name.cash] = before + spread + fee
    return cost


def perpetuals(positions: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the positions that are none of spot and not zero."""
    return {name: qty for name, qty in positions.items() if qty and not is_spot(name)}
