"""What commands find in a ledger."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.cli import ledger_records
from services.cli.ledger_file import Wanted, parse_since
from shared.errors import ConfigError
from shared.sql_ledger.database import Ledger, open_to_read
from tests.ledger_builders import told_plan, write_ledger

D = Decimal


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "ledger.sqlite"
    write_ledger(path, [message for number in range(3) for message in told_plan(number)])
    opened = open_to_read(path)
    yield opened
    opened.close()


def test_orders_have_their_last_status_and_what_they_traded(ledger: Ledger) -> None:
    found = ledger_records.orders(ledger, Wanted(venue="alpha", limit=2))
    assert [each["plan_id"] for each in found] == ["p000001", "p000002"]
    assert {each["status"] for each in found} == {"FILLED"}
    assert {(each["price_avg"], each["filled_qty"]) for each in found} == {(D(10_001), D("0.1"))}
    assert {each["fees"]["USDT"] for each in found} == {D("1.0001")}


def test_fills_are_narrowed_by_what_is_asked(ledger: Ledger) -> None:
    assert len(ledger_records.fills(ledger, Wanted())) == 6
    (found,) = ledger_records.fills(ledger, Wanted(plan="p000001", venue="beta"))
    assert (found["side"], found["amount"], found["fee"]) == ("sell", D(1005), D("1.005"))
    assert ledger_records.fills(ledger, Wanted(strategy="other")) == []
    assert ledger_records.fills(ledger, Wanted(since_ns=parse_since("2024-01-01"))) == []
    assert len(ledger_records.fills(ledger, Wanted(since_ns=parse_since("2023-01-01")))) == 6


def test_plans_say_what_was_expected_and_what_came_of_it(ledger: Ledger) -> None:
    found = ledger_records.plans(ledger, Wanted(instrument="BTC/USDT", venue="beta"))
    assert [each["outcome"] for each in found] == ["FILLED"] * 3
    assert {each["realized"] for each in found} == {D("2.8949")}
    assert {each["net_expected"] for each in found} == {D("2.995")}
    assert ledger_records.plans(ledger, Wanted(venue="gamma")) == []


@pytest.mark.parametrize("text", ["soon", "-5m", "5y", "", "99999999d"])
def test_since_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="90m, 12h or 7d"):
        parse_since(text)
