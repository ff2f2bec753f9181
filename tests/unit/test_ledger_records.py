"""What commands find in a ledger."""

from __future__ import annotations

import csv
from decimal import Decimal

import msgspec
import pytest

from services.cli.commands_ledger import LISTS
from services.cli.ledger import records as ledger_records
from services.cli.ledger.file import Wanted, parse_time, parse_times
from services.cli.ledger.plan import whole
from services.cli.ledger.tables import expected_rows, show_plan
from services.cli.table_files import write_csv, write_parquet
from shared.errors import ConfigError
from shared.messages.balances import Balance
from shared.messages.base import Certainty
from shared.messages.execution import ApprovedPlan, BalanceReport, Denied, OrderStatus
from shared.messages.offer_terms import ConversionTerms
from shared.messages.terms import Shrunk
from shared.sql_ledger.database import Ledger, open_to_read
from tests.decision_builders import T0, make_carry_terms, make_opportunity
from tests.ledger_builders import approved, fill, of_risk, order, told_plan, write_ledger

D = Decimal
DAY_NS = 86_400_000_000_000


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
    assert ledger_records.fills(ledger, Wanted(since_ns=parse_time("--since", "2024-01-01"))) == []
    assert (
        len(ledger_records.fills(ledger, Wanted(since_ns=parse_time("--since", "2023-01-01")))) == 6
    )


def test_plans_say_what_was_expected_and_what_came_of_it(ledger: Ledger) -> None:
    found = ledger_records.plans(ledger, Wanted(instrument="BTC/USDT", venue="beta"))
    assert [each["outcome"] for each in found] == ["FILLED"] * 3
    assert {each["realized"] for each in found} == {D("2.8949")}
    assert {each["net_expected"] for each in found} == {D("2.995")}
    assert ledger_records.plans(ledger, Wanted(venue="gamma")) == []


def test_a_plan_says_what_conversions_and_funding_were_expected_of_it(tmp_path) -> None:
    changed = ConversionTerms(
        leg=2, asset="USDC", rate=D("0.998"), middle=D(1), spread=D("0.25"), fee=D("0.5")
    )
    carry = make_carry_terms()
    found = make_opportunity(strategy_id="pairs")
    offers = [
        msgspec.structs.replace(found, opportunity_id="o000001", conversions=[changed]),
        msgspec.structs.replace(found, opportunity_id="o000002", carry=carry),
    ]
    path = tmp_path / "ledger.sqlite"
    write_ledger(path, [*offers, *(each for n in range(3) for each in told_plan(n))])
    opened = open_to_read(path)
    told = [whole(opened, f"p00000{n}")["expected"] for n in range(3)]
    opened.close()
    assert told[0] == {"conversions": [], "carry": None}, "its opportunity is not in the ledger"
    assert told[1] == {"conversions": [changed], "carry": None}
    assert told[2] == {"conversions": [], "carry": carry}
    assert expected_rows(told[1]) == [("conversion of USDC, expected (in the edge)", D("-0.75"))]
    assert [amount for _, amount in expected_rows(told[2])] == [D("0.2"), D("-0.1")]


def test_a_plan_says_what_it_was_before_it_was_made_smaller(tmp_path, capsys) -> None:
    was = Shrunk(qty=D(1), notional=D(10_000), limits=["ORDER_NOTIONAL", "BALANCE"])
    plans = [
        msgspec.structs.replace(each, shrunk=was) if isinstance(each, ApprovedPlan) else each
        for each in told_plan(1)
    ]
    path = tmp_path / "ledger.sqlite"
    write_ledger(path, [*told_plan(0), *plans])
    opened = open_to_read(path)
    told = [whole(opened, f"p00000{n}") for n in range(2)]
    opened.close()
    assert [each["shrunk"] for each in told] == [None, was]
    show_plan(told[1])
    assert "smaller than offered, by ORDER_NOTIONAL, BALANCE" in capsys.readouterr().out


def test_denials_balances_and_positions(tmp_path) -> None:
    found = make_opportunity(strategy_id="pairs")
    denied = Denied(
        ts_ns=T0, opportunity_id=found.opportunity_id, reason="EDGE_MAX", context={"edge": "9"}
    )
    balances = {"BTC": Balance(free=D(1), used=D("0.5"))}
    before = BalanceReport(ts_ns=T0, venue="alpha", balances={**balances, "USDT": balances["BTC"]})
    write_ledger(
        tmp_path / "l",
        [
            found,
            denied,
            msgspec.structs.replace(denied, opportunity_id="gone", reason="HALTED"),
            before,
            msgspec.structs.replace(before, ts_ns=T0 + 1, balances=balances),
        ],
    )
    ledger = open_to_read(tmp_path / "l")
    both = ledger_records.denials(ledger, Wanted())
    assert [each["reason"] for each in both] == ["EDGE_MAX", "HALTED"]
    assert (both[0]["strategy"], both[0]["edge_bps"]) == ("pairs", found.edge_bps)
    assert len(ledger_records.denials(ledger, Wanted(reason="HALTED"))) == 1
    assert len(ledger_records.denials(ledger, Wanted(venue="beta"))) == 1
    (held,) = ledger_records.balances(ledger, Wanted())
    assert (held["asset"], held["used"]) == ("BTC", D("0.5")), "the other asset is gone"
    assert ledger_records.positions(ledger, Wanted()) == []
    with pytest.raises(ConfigError, match="--strategy does not narrow this table"):
        ledger_records.balances(ledger, Wanted(strategy="pairs"))
    ledger.close()


@pytest.mark.parametrize(
    ("instrument", "average"), [("BTC/USD", D(45_000)), ("BTC/USD:BTC", D(40_000))]
)
def test_average_prices_of_inverse_contracts_are_harmonic_means(tmp_path, instrument, average):
    plan = approved(1, T0)
    traded = {"instrument": instrument, "qty": D(100)}
    facts = [order(plan, 0, OrderStatus.FILLED, **traded | {"qty": D(200), "filled_qty": D(200)})]
    for number, price in enumerate((D(30_000), D(60_000))):
        done = fill(plan, 0, price)
        facts.append(msgspec.structs.replace(done, trade_id=f"t{number}", **traded))
    write_ledger(tmp_path / "l", [plan, *facts])
    ledger = open_to_read(tmp_path / "l")
    (found,) = ledger_records.orders(ledger, Wanted())
    ledger.close()
    assert abs(found["price_avg"] - average) < D("0.000001")


@pytest.mark.parametrize(
    ("price", "certainty"), [(D(10_020), Certainty.KNOWN), (None, Certainty.UNKNOWN)]
)
def test_positions_are_valued_as_in_pnl(tmp_path, price, certainty):
    facts = [of_risk(T0, D("0.1"), D(10_010)), of_risk(T0 + 1, D("0.2"), price)]
    write_ledger(tmp_path / "l", facts)
    ledger = open_to_read(tmp_path / "l")
    (held,) = ledger_records.positions(ledger, Wanted())
    ledger.close()
    worth = None if price is None else D("0.2") * D(10_019)
    assert (held["unrealized"], held["certainty"]) == (worth, certainty)


@pytest.mark.parametrize("listing", LISTS, ids=lambda each: each.name)
def test_commands_have_the_filters_that_their_table_knows(ledger: Ledger, listing) -> None:
    assert {"since", "until", "limit"} <= listing.filters.keys()
    for option in ("strategy", "venue", "instrument", "plan", "reason"):
        wanted = Wanted(**{option: "none"})
        if option in listing.filters:
            assert listing.find(ledger, wanted) == []
        else:
            with pytest.raises(ConfigError, match=f"--{option} does not narrow this table"):
                listing.find(ledger, wanted)


def test_files_hold_every_digit(ledger: Ledger, tmp_path) -> None:
    records = ledger_records.fills(ledger, Wanted())
    write_csv(tmp_path / "fills.csv", records)
    with (tmp_path / "fills.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["price"], row["fee"]) for row in rows[:1]] == [("10001", "1.00010000")]
    assert len(rows) == 6
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "fills.parquet", records)
    table = parquet.read_table(tmp_path / "fills.parquet").to_pylist()
    assert [row["fee"] for row in table] == [row["fee"] for row in rows]
    assert [row["ts_ns"] for row in table] == [each["ts_ns"] for each in records]


def test_a_period_is_from_since_on_and_before_until(ledger: Ledger) -> None:
    """Plans of the ledger are made 10 ms apart."""
    first, second = T0, T0 + 10_000_000
    found = ledger_records.plans(ledger, Wanted(since_ns=first, until_ns=second))
    assert [each["plan_id"] for each in found] == ["p000000"]
    for find in (ledger_records.orders, ledger_records.fills):
        told = find(ledger, Wanted(until_ns=second))
        assert {each["plan_id"] for each in told} == {"p000000"}
    assert len(ledger_records.plans(ledger, Wanted(until_ns=second + 1))) == 2
    (only,) = ledger_records.plans(ledger, Wanted(plan="p000001"))
    assert only["ts_ns"] == second
    assert parse_times("2026-11-26", "2026-11-27") == (DAY_NS * 20_783, DAY_NS * 20_784)
    for since in ("2026-11-26", "2026-11-27"):
        with pytest.raises(ConfigError, match=f"--since {since} is not before --until 2026-11-26"):
            parse_times(since, "2026-11-26")
    with pytest.raises(ConfigError, match="--until 'soon' is not a time"):
        parse_times(None, "soon")


def test_positions_and_balances_are_those_of_before_until(tmp_path) -> None:
    reports = [of_risk(T0 + n * 10, D(n) / 10, D(10_000 + n)) for n in (1, 2)]
    newest = of_risk(T0 + 25, D("0.2"), D(10_100))
    balances = [
        BalanceReport(ts_ns=T0 + n, venue=venue, balances={"BTC": Balance(free=D(n), used=D(0))})
        for n in (10, 20)
        for venue in ("alpha", "beta")
    ]
    write_ledger(tmp_path / "l", [*reports, newest, *balances])
    ledger = open_to_read(tmp_path / "l")

    def held(**asked) -> list[tuple]:
        found = ledger_records.positions(ledger, Wanted(**asked))
        return [(each["qty"], each["close_price"], each["ts_price_ns"] - T0) for each in found]

    assert held() == [(D("0.2"), D(10_100), 25)]
    assert held(until_ns=T0 + 25) == [(D("0.2"), D(10_002), 20)], "the newest price is of later"
    assert held(until_ns=T0 + 20) == [(D("0.1"), D(10_001), 10)]
    assert held(until_ns=T0 + 10) == []
    assert held(since_ns=T0 + 20) == [(D("0.2"), D(10_100), 25)]
    assert held(since_ns=T0 + 21) == [], "nothing has changed since"
    free = ledger_records.balances(ledger, Wanted(until_ns=T0 + 20))
    assert [(each["venue"], each["free"]) for each in free] == [("alpha", D(10)), ("beta", D(10))]
    (first,) = ledger_records.balances(ledger, Wanted(limit=1))
    assert (first["venue"], first["free"]) == ("alpha", D(20))
    ledger.close()


@pytest.mark.parametrize(
    ("name", "known", "wrong", "has"),
    [
        ("venue", "beta", "krakn", "it has alpha, beta"),
        ("instrument", "BTC/USDT", "BTCUSDT", "it has BTC/USDT"),
        ("strategy", "pairs", "pears", "it has pairs"),
    ],
)
def test_a_name_that_the_ledger_does_not_know_is_told_with_those_it_does(
    name: str, known: str, wrong: str, has: str, tmp_path
) -> None:
    def check(ledger: Ledger, value: str | None) -> None:
        ledger_records.check_known(ledger, Wanted(**{name: value}))

    planned = msgspec.structs.replace(approved(1, T0), strategy="pairs")
    write_ledger(tmp_path / "full", [planned, *told_plan(2)])
    full = open_to_read(tmp_path / "full")
    check(full, known)
    check(full, None)
    with pytest.raises(ConfigError, match=f"no {name} '{wrong}' in the ledger; {has}$"):
        check(full, wrong)
    full.close()
    write_ledger(tmp_path / "empty", [])
    empty = open_to_read(tmp_path / "empty")
    check(empty, wrong)
    empty.close()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"plan": "p 1"}, "--plan 'p 1' is no plan's id; arb plans lists them"),
        ({"plan": ""}, "--plan '' is no plan's id; arb plans lists them"),
        ({"plan": "p999999"}, "no plan 'p999999' in the ledger; arb plans lists them"),
        ({"reason": "edge_max"}, "no reason 'edge_max'; there are EDGE_MAX"),
        ({"reason": "???"}, "no reason '???'; there are "),
    ],
)
def test_a_plan_or_reason_that_cannot_be_is_an_error(ledger, asked, told) -> None:
    with pytest.raises(ConfigError) as error:
        ledger_records.check_known(ledger, Wanted(**asked))
    assert str(error.value).startswith(told)
    ledger_records.check_known(ledger, Wanted(plan="p000001", reason="EDGE_MAX"))


def test_a_name_of_a_leg_alone_is_known(tmp_path) -> None:
    planned = approved(1, T0)
    gamma = msgspec.structs.replace(planned.legs[1], venue="gamma", instrument="BTC/USDC")
    facts = [msgspec.structs.replace(planned, legs=[planned.legs[0], gamma]), *told_plan(2)]
    write_ledger(tmp_path / "l", facts)
    of_legs = open_to_read(tmp_path / "l")
    ledger_records.check_known(of_legs, Wanted(venue="gamma", instrument="BTC/USDC"))
    of_legs.close()


@pytest.mark.parametrize("text", ["soon", "-5m", "5y", "", "99999999d"])
def test_since_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="90m, 12h or 7d"):
        parse_time("--since", text)
