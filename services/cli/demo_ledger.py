"""The end of a demo: its ledger beside its own figures and the venues' accounts."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from services.cli.ledger import money as ledger_money
from services.cli.run import Run
from shared.clock import SystemClock
from shared.domain.accounting import Books, holding_place
from shared.errors import ArbError
from shared.sql_ledger.database import open_to_write
from shared.sql_ledger.rows import Row, closing_price
from shared.sql_ledger.sqlite import read_file
from shared.watch.money import Closing, money_report
from shared.watch.report import Ending

RECORDER: Final = "recorder"
_LAST: Final = "z"
"""Sorts after every entry, so that no earlier price replaces the last ones."""


async def check_ledger(run: Run, ending: Ending, path: Path, keep: Path | None) -> None:
    """Let the recorder end, give its ledger the last prices, and compare what it says was earned.

    A difference is a problem of the run. The ledger goes to ``keep`` where that is given.
    """
    await run.stack.supervisor.stop((RECORDER,))
    try:
        found = await asyncio.to_thread(_read, path, run.collector.books, ending.closing)
    except ArbError as error:
        ending.problems.append(f"the ledger: {error}")
        return
    own = money_report(
        run.collector.books,
        ending.closing,
        run.collector.strategies,
        run.collector.funding.unknown(),
    )
    differences = [
        f"{quote} {name} {_text(there)}, not {_text(money[name])}"
        for quote, money in own["pnl"].items()
        for name in ("realized", "unrealized", "fees", "funding")
        if (there := found["pnl"].get(quote, {}).get(name)) != money[name]
    ]
    if differences:
        ending.problems.append("the SQL ledger differs: " + "; ".join(differences))
    ending.extra["sql_ledger"] = {
        "equal": not differences,
        "fills": found["fills"],
        "gaps": found["gaps"],
        "pnl": found["pnl"],
        "file": None if keep is None else str(keep),
    }
    if keep is not None:
        await asyncio.to_thread(_copy, path, keep)


def _read(path: Path, books: Books, closing: Closing) -> dict[str, Any]:
    ledger = open_to_write(path)
    try:
        ledger.write(_last_prices(books, closing), {})
        return ledger_money.pnl(ledger)
    finally:
        ledger.close()


def _last_prices(books: Books, closing: Closing) -> list[Row]:
    rows, now_ns = [], SystemClock.now_ns()
    for key, holding in books.holdings.items():
        place = holding_place(key)
        found = closing.find(*place, holding.qty) if holding.qty else None
        price = None if found is None else found.price
        rows.append(closing_price(place, holding.qty, price, _LAST, now_ns))
    return rows


def _copy(path: Path, keep: Path) -> None:
    """Copy a ledger as one file, whatever its log holds."""
    ledger = read_file(path)
    try:
        ledger.copy_to(keep)
    finally:
        ledger.close()


def _text(amount: Decimal | None) -> str:
    return "unknown" if amount is None else format(amount, "f")
