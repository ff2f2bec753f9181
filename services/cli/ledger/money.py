"""What a ledger says was earned: by strategy, venue and day. It adds no money itself.

Every message about money is taken in again, in the order in which it was told, by the accounts that
everything here uses (``shared/domain/accounting.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from heapq import merge
from typing import Any, Final

from services.cli.export import iso
from services.cli.ledger.accounts import Accounts
from services.cli.ledger.file import Wanted
from shared.domain.accounting import ZERO, holding_key, worst_certainty
from shared.domain.valuation import Close
from shared.messages.base import Certainty, Message
from shared.messages.execution import (
    ApprovedPlan,
    BalanceReport,
    Fill,
    FundingKnown,
    FundingPaid,
    OrderEvent,
    PlanDone,
)
from shared.sql_ledger.database import Ledger
from shared.sql_ledger.rows import message_of
from shared.streams import EXEC_EVENT, EXEC_PLAN
from shared.watch.money import Closing, VenuePosition, balance_changes, money_report, perpetuals

TOLD: Final[tuple[tuple[str, type[Message]], ...]] = (
    ("plans", ApprovedPlan),
    ("order_events", OrderEvent),
    ("fills", Fill),
    ("funding_payments", FundingPaid),
    ("funding_known", FundingKnown),
    ("plan_ends", PlanDone),
)
REPORTED_NS: Final = 2_000_000_000
"""A report that is so much newer than the last fill was asked for after it."""
MONEY_STREAMS: Final = (EXEC_PLAN.key(), EXEC_EVENT.key())


def messages(ledger: Ledger) -> Iterator[Message]:
    """Yield what is on record about money, in the order in which it was told."""
    for _, _, message in merge(
        *(_of(ledger, order, *table) for order, table in enumerate(TOLD)),
        key=lambda told: told[:2],
    ):
        yield message


def _of(
    ledger: Ledger, order: int, name: str, kind: type[Message]
) -> Iterator[tuple[str, int, Message]]:
    for row in ledger.each(f"SELECT * FROM {name} ORDER BY entry"):
        yield row["entry"], order, message_of(kind, row)


def gaps(ledger: Ledger) -> list[dict[str, Any]]:
    """Return what the ledger never saw of the streams of plans and executions."""
    rows = ledger.query("SELECT * FROM gaps WHERE stream IN (?, ?) ORDER BY ts_ns", MONEY_STREAMS)
    return [
        {"stream": row["stream"], "entries": row["entries"], "reason": row["reason"]}
        | {"after_id": row["after_id"], "before_id": row["before_id"]}
        for row in rows
    ]


def pnl(ledger: Ledger) -> dict[str, Any]:
    """Return what was earned, in the form of a run's report, and what it was made of."""
    with ledger.at_one_moment():
        missing = gaps(ledger)
        accounts = Accounts(is_whole=not missing)
        for message in messages(ledger):
            accounts.on_message(message)
        closing, prices = _closing(ledger, accounts)
        by_venue, moves = accounts.by_venue(), _moves(ledger)
        for venue in sorted({*by_venue, *moves, *(closing.changes or {})}):
            listed = moves.get(venue, [])
            moved = _moved_otherwise(ledger, accounts, closing, venue)
            if moved is None and listed:
                moved = _net(listed)
            if moved or listed or venue in by_venue:  # a deposit at a venue without a fill is shown
                each = by_venue.setdefault(venue, accounts.of_venue(venue))
                each["moved_otherwise"], each["moves"] = moved, listed
    books, funding = accounts.books, accounts.funding.unknown()
    report = money_report(books, closing, accounts.strategies, funding)
    del report["closing_cost"]  # a ledger has no books to price it by
    if missing:
        _doubt(report, Certainty.UNKNOWN)
    is_of_now = all(
        (told := prices.get(key)) is not None and told[0] == holding.qty
        for key, holding in books.holdings.items()
        if holding.qty
    )
    if not is_of_now:
        _doubt(report, Certainty.ESTIMATED, ("unrealized",))
    return {
        "from": None if accounts.first_ns is None else iso(accounts.first_ns),
        "to": None if accounts.first_ns is None else iso(accounts.last_ns),
        "modes": [row["mode"] for row in ledger.query("SELECT mode FROM execution_modes")],
        "fills": accounts.fills,
        "fills_unowned": accounts.fills_unowned,
        "gaps": missing,
        **report,
        "prices_ts_ns": min((told[2] for told in prices.values()), default=None),
        "by_venue": by_venue,
        "by_day": accounts.by_day(),
    }


def _doubt(report: dict[str, Any], doubt: Certainty, names: Sequence[str] = ()) -> None:
    """Let no figure be known better than ``doubt``: the named ones, or without names all."""
    by_owner = [report["pnl"], *report["pnl_by_strategy"].values()]
    for money in (each for earned in by_owner for each in earned.values()):
        money["certainty"] = worst_certainty(money["certainty"], doubt)
        for name in names or tuple(money["certainties"]):
            money["certainties"][name] = worst_certainty(money["certainties"][name], doubt)


Prices = dict[str, tuple[Decimal, Decimal, int]]
"""Key of a holding -> quantity, price and time of the newest closing price told of it."""


def _closing(ledger: Ledger, accounts: Accounts) -> tuple[Closing, Prices]:
    """Return the prices that value open positions, with what the venues reported."""
    prices: Prices = {
        holding_key(row["venue"], row["instrument"]): (
            Decimal(row["qty"]),
            Decimal(row["price"]),
            row["ts_ns"],
        )
        for row in ledger.query("SELECT * FROM closing_prices WHERE price IS NOT NULL")
    }

    def find(venue: str, instrument: str, qty: Decimal) -> Close | None:
        told = prices.get(holding_key(venue, instrument))
        return None if told is None else Close(venue, told[1], told[1])

    closing = Closing(find=find)
    first, last = _balances(ledger, "min"), _balances(ledger, "max")
    if first and accounts.is_whole:
        closing.changes = balance_changes(_totals(first), _totals(last))
        closing.positions = [
            VenuePosition(
                each.venue, name, qty, accounts.books.cost_of(f"{each.venue}|{name}", qty)
            )
            for each in last
            for name, qty in perpetuals(each.positions).items()
        ]
    return closing, prices


def _moved_otherwise(
    ledger: Ledger, accounts: Accounts, closing: Closing, venue: str
) -> dict[str, Decimal] | None:
    """Return what moved a venue's balances beside trading, fees and funding, by asset.

    Deposits and withdrawals, and what others do in the account: they earn nothing. ``None``: not
    known, as a fee is missing, or the venue has not reported its balances after the last fill yet.
    """
    if closing.changes is None or venue not in closing.changes:
        return None
    if None in accounts.fees_of(venue).values() or venue in accounts.funding.unknown():
        return None
    (told,) = ledger.query(
        "SELECT min(ts_ns) AS first_ns, max(ts_ns) AS last_ns FROM balance_reports WHERE venue = ?",
        (venue,),
    )
    for name in ("fills", "funding_payments"):
        (done,) = ledger.query(
            f"SELECT min(ts_ns) AS first_ns, max(ts_ns) AS last_ns FROM {name} WHERE venue = ?",
            (venue,),
        )
        if done["first_ns"] is not None and not (
            told["first_ns"] <= done["first_ns"]
            and done["last_ns"] + REPORTED_NS <= told["last_ns"]
        ):
            return None
    traded = accounts.books.inventory_change().get(venue, {})
    changes = closing.changes[venue]
    moved = {
        asset: changes.get(asset, ZERO) - traded.get(asset, ZERO)
        for asset in sorted({*changes, *traded})
    }
    return {asset: amount for asset, amount in moved.items() if amount}


def _moves(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Return by venue what the executor told as moved beside trading, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ledger.query("SELECT * FROM balance_moves ORDER BY entry"):
        told = {"ts": iso(row["ts_ns"]), "asset": row["asset"], "amount": Decimal(row["amount"])}
        found.setdefault(row["venue"], []).append(told)
    return found


def _net(told: list[dict[str, Any]]) -> dict[str, Decimal]:
    """Return what moves come to by asset, where that is not zero."""
    net: dict[str, Decimal] = {}
    for each in told:
        net[each["asset"]] = net.get(each["asset"], ZERO) + each["amount"]
    return {asset: amount for asset, amount in sorted(net.items()) if amount}


def _balances(ledger: Ledger, which: str) -> list[BalanceReport]:
    rows = ledger.query(
        "SELECT balance_reports.* FROM balance_reports JOIN "
        f"(SELECT venue, {which}(ts_ns) AS ts_ns FROM balance_reports GROUP BY venue) "
        "AS chosen USING (venue, ts_ns)"
    )
    return [message_of(BalanceReport, row) for row in rows]


def _totals(reports: list[BalanceReport]) -> dict[str, dict[str, Decimal]]:
    return {
        report.venue: {asset: each.settled for asset, each in report.balances.items()}
        for report in reports
    }


def narrow(report: dict[str, Any], wanted: Wanted) -> None:
    """Leave out of a report what is not asked for; the figures of the whole stay."""
    since_ns, until_ns = wanted.since_ns, wanted.until_ns
    strategy, venue = wanted.strategy, wanted.venue
    if strategy is not None:
        earned = report["pnl_by_strategy"]
        report["pnl_by_strategy"] = {
            name: each for name, each in earned.items() if name == strategy
        }
        report["by_day"] = [each for each in report["by_day"] if each["strategy"] == strategy]
    if venue is not None:
        there = report["by_venue"]
        report["by_venue"] = {name: each for name, each in there.items() if name == venue}
    if since_ns is not None:
        day = iso(since_ns)[:10]
        report["by_day"] = [each for each in report["by_day"] if each["day"] >= day]
    if until_ns is not None:
        day = iso(until_ns - 1)[:10]
        report["by_day"] = [each for each in report["by_day"] if each["day"] <= day]
    report["by_day"] = report["by_day"][-wanted.limit :]
