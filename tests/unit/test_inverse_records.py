"""What exports and the SQL ledger say of inverse contracts: amounts are coins, and say so."""

from __future__ import annotations

from decimal import Decimal as D

from services.cli.export import Period, fill_rows, lot_rows
from services.cli.ledger import records as ledger_records
from services.cli.ledger.file import Wanted
from shared.messages.base import Side
from shared.messages.execution import Fill
from shared.sql_ledger.database import open_to_read
from tests.ledger_builders import write_ledger

FILLS = [
    Fill(
        ts_ns=1_700_000_000_000_000_000 + number,
        plan_id=f"p{number:06}",
        client_order_id=f"c{number}",
        venue="gamma",
        instrument="BTC/USD:BTC",
        side=side,
        trade_id=str(number),
        price=D(price),
        qty=D(10_000),
        fee=D("0.0001"),
    )
    for number, (side, price) in enumerate(((Side.SELL, 50_000), (Side.BUY, 40_000)))
]


def test_exports_say_what_contracts_were_worth_in_coins() -> None:
    rows = list(fill_rows(FILLS, Period()))
    assert [(row["amount"], row["quote"]) for row in rows] == [
        (D("0.2"), "BTC"),
        (D("0.25"), "BTC"),
    ]
    (lot,) = lot_rows(FILLS, Period())
    assert (lot["quote"], lot["side"], lot["profit"]) == ("BTC", "short", D("0.05"))
    assert (lot["opened_amount"], lot["closed_amount"]) == (D("0.2"), D("0.25"))


def test_the_ledger_says_the_same(tmp_path) -> None:
    path = tmp_path / "ledger.sqlite"
    write_ledger(path, FILLS)
    ledger = open_to_read(path)
    try:
        found = ledger_records.fills(ledger, Wanted())
    finally:
        ledger.close()
    assert [(row["amount"], row["quote"]) for row in found] == [
        (D("0.2"), "BTC"),
        (D("0.25"), "BTC"),
    ]
    assert {row["fee_asset"] for row in found} == {"BTC"}
