"""What a ledger says was earned: the whole, by strategy, by venue, by day, and its doubts."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from services.cli.export import History
from services.cli.ledger import money as ledger_money
from services.cli.ledger import plan as ledger_plan
from services.cli.ledger import tables as ledger_tables
from services.cli.ledger.file import Wanted
from shared.errors import ConfigError
from shared.messages.balances import Balance, BalanceMoved
from shared.messages.base import Certainty
from shared.messages.execution import BalanceReport, OrderStatus
from shared.messages.restated import FillRestated
from shared.sql_ledger.database import open_to_read, open_to_write
from shared.sql_ledger.take_in import Gap
from tests.decision_builders import MS, T0
from tests.ledger_builders import (
    D,
    approved,
    fill,
    of_risk,
    order,
    told_plan,
    write_ledger,
)

DAY_NS = 86_400_000_000_000


def of_day(day: int, number: int, strategy: str = "pairs") -> list:
    """A plan of that day (T0 is on day 0, 22:13 UTC)."""
    return told_plan(number, at_ns=T0 + day * DAY_NS + number * MS, strategy=strategy)


def earned(path, *facts, gaps=()) -> dict:
    write_ledger(path, [message for each in facts for message in each])
    if gaps:
        ledger = open_to_write(path)
        ledger.write([], {}, gaps)
        ledger.close()
    ledger = open_to_read(path)
    report = ledger_money.pnl(ledger)
    ledger.close()
    return report


def test_the_sum_is_the_same_by_strategy_and_by_day(tmp_path):
    report = earned(
        tmp_path / "l", of_day(0, 1), of_day(0, 2, "other_pairs"), of_day(1, 3), of_day(4, 4)
    )
    money = report["pnl"]["USDT"]
    assert money["realized"] == 4 * D("2.8949")
    assert money["certainty"] is Certainty.KNOWN
    by_strategy = report["pnl_by_strategy"]
    assert {name: each["USDT"]["realized"] for name, each in by_strategy.items()} == {
        "pairs": 3 * D("2.8949"),
        "other_pairs": D("2.8949"),
    }
    days = [(each["day"], each["strategy"], each["realized"]) for each in report["by_day"]]
    assert days == [
        ("2023-11-14", "other_pairs", D("2.8949")),
        ("2023-11-14", "pairs", D("2.8949")),
        ("2023-11-15", "pairs", D("2.8949")),
        ("2023-11-18", "pairs", D("2.8949")),
    ]
    alpha = report["by_venue"]["alpha"]
    assert alpha["inventory_change"] == {"BTC": D("0.4"), "USDT": -4 * D("1001.1001")}
    assert alpha["fees"] == {"USDT": 4 * D("1.0001")}


def test_strategies_that_hold_against_each_other_are_netted_in_days_too(tmp_path):
    one, other = approved(1, T0, "one"), approved(2, T0 + MS, "two")
    bought = [one, order(one, 0, OrderStatus.SUBMITTED), fill(one, 0, D(10_000))]
    sold = [other, order(other, 1, OrderStatus.SUBMITTED), fill(other, 1, D(10_050))]
    report = earned(tmp_path / "l", bought, sold)
    assert report["pnl"]["USDT"]["realized"] == D(5) - D("2.005")
    assert sum(each["realized"] for each in report["by_day"]) == D(5) - D("2.005")
    assert {each["strategy"] for each in report["by_day"]} == {"one", "two", "netted"}


def test_what_is_open_is_worth_its_newest_price_or_unknown(tmp_path):
    plan = approved(1, T0)
    bought = [plan, order(plan, 0, OrderStatus.SUBMITTED), fill(plan, 0, D(10_000))]
    report = earned(tmp_path / "none", bought)
    assert report["pnl"]["USDT"]["unrealized"] is None
    assert report["pnl"]["USDT"]["certainty"] is Certainty.UNKNOWN
    report = earned(tmp_path / "told", bought, [of_risk(T0, D("0.1"), D(10_020))])
    assert report["pnl"]["USDT"]["unrealized"] == D(2)
    assert report["pnl"]["USDT"]["certainties"]["unrealized"] is Certainty.KNOWN
    report = earned(tmp_path / "of_less", bought, [of_risk(T0, D("0.01"), D(10_020))])
    assert report["pnl"]["USDT"]["certainties"]["unrealized"] is Certainty.ESTIMATED
    of_strategy = report["pnl_by_strategy"]["pairs"]["USDT"]["certainties"]
    assert (of_strategy["realized"], of_strategy["unrealized"]) == ("known", "estimated")


def test_a_gap_leaves_no_sum_known_and_takes_fills_as_they_are(tmp_path):
    without_orders = [each for each in told_plan(1) if hasattr(each, "trade_id")]
    report = earned(tmp_path / "whole", without_orders)
    assert (report["fills"], report["fills_unowned"]) == (0, 2)
    gap = Gap("{arb}:exec.event", "0-0", "5-0", 3, "trimmed", T0)
    report = earned(tmp_path / "gap", without_orders, gaps=[gap])
    assert (report["fills"], report["fills_unowned"]) == (2, 0)
    money = report["pnl"]["USDT"]
    assert money["realized"] == D("2.8949")
    assert set(money["certainties"].values()) == {Certainty.UNKNOWN}
    assert report["venue_equity_change"] is None
    aside = Gap("{arb}:alert", "0-0", "5-0", 3, "trimmed", T0)
    report = earned(tmp_path / "aside", told_plan(1), gaps=[aside])
    assert report["pnl"]["USDT"]["certainty"] is Certainty.KNOWN


def test_a_fee_that_is_told_later_is_booked_once(tmp_path):
    facts = told_plan(1)
    late = next(each for each in facts if hasattr(each, "trade_id"))
    at = facts.index(late)
    facts[at] = msgspec.structs.replace(late, fee=None, fee_asset="")
    assert earned(tmp_path / "before", facts)["pnl"]["USDT"]["certainty"] is Certainty.UNKNOWN
    report = earned(tmp_path / "after", facts, [late, late])
    assert report["pnl"]["USDT"]["realized"] == D("2.8949")
    assert report["pnl"]["USDT"]["certainty"] is Certainty.KNOWN


@pytest.mark.parametrize("times", [1, 2])
def test_a_fill_that_is_stated_anew_is_booked_as_it_is_stated_now(tmp_path, times: int):
    """Also where the stream is read a second time."""
    facts = told_plan(1)
    for told in [each for each in facts if hasattr(each, "trade_id")]:
        facts.append(
            FillRestated(ts_ns=told.ts_ns, fill=told, report_asset="USDC", report_price=D("0.5"))
        )
    money = earned(tmp_path / "l", *[facts] * times)["pnl"]
    assert money["USDC"]["realized"] == D("2.8949") / 2
    assert "USDT" not in money or not money["USDT"]["realized"]


def reported(now_ns: int, usdt: Decimal, venue: str, btc: Decimal) -> BalanceReport:
    balances = {"USDT": Balance(free=usdt, used=D(0)), "BTC": Balance(free=btc, used=D(0))}
    return BalanceReport(ts_ns=now_ns, venue=venue, balances=balances)


def test_the_venues_accounts_stand_beside(tmp_path):
    before = [reported(T0, D(5_000), venue, D(1)) for venue in ("alpha", "beta")]
    after = [
        reported(T0 + DAY_NS, D(5_000) - D("1001.1001"), "alpha", D("1.1")),
        reported(T0 + DAY_NS, D(5_000) + D("1003.995"), "beta", D("0.9")),
    ]
    report = earned(tmp_path / "l", before, told_plan(1), after)
    assert report["venue_equity_change"] == {"USDT": D("2.8949")}
    assert [each["moved_otherwise"] for each in report["by_venue"].values()] == [{}, {}]


def test_deposits_and_withdrawals_are_told_once_and_are_no_result(tmp_path, capsys):
    """500 are paid in at alpha, 0.25 BTC leave beta, and gamma is paid into without a trade."""
    before = [reported(T0, D(5_000), venue, D(1)) for venue in ("alpha", "beta", "gamma")]
    after = [
        reported(T0 + DAY_NS, D(5_500) - D("1001.1001"), "alpha", D("1.1")),
        reported(T0 + DAY_NS, D(5_000) + D("1003.995"), "beta", D("0.65")),
        reported(T0 + DAY_NS, D(5_010), "gamma", D(1)),
    ]
    report = earned(tmp_path / "l", before, told_plan(1), after, after)
    moved = {venue: each["moved_otherwise"] for venue, each in report["by_venue"].items()}
    assert moved == {
        "alpha": {"USDT": D(500)},
        "beta": {"BTC": D("-0.25")},
        "gamma": {"USDT": D(10)},
    }
    assert report["pnl"]["USDT"]["realized"] == D("2.8949")
    assert report["by_venue"]["alpha"]["inventory_change"]["USDT"] == -D("1001.1001")
    ledger_tables.show_pnl(report, Wanted())
    assert "alpha: deposits, withdrawals or others moved +500 USDT: no result" in (
        " ".join(capsys.readouterr().out.split())
    )


def test_what_the_executor_told_as_moved_is_listed_and_counts_where_the_net_is_not_known(tmp_path):
    """A move counts once, however often the stream is read, and is no result."""
    moves = [
        BalanceMoved(ts_ns=T0 + at, venue=venue, asset="USDT", amount=D(amount))
        for at, venue, amount in ((1, "alpha", 500), (2, "alpha", -200), (3, "gamma", -10))
    ]
    report = earned(tmp_path / "l", told_plan(1), moves, moves)
    there = report["by_venue"]
    assert there["alpha"]["moved_otherwise"] == {"USDT": D(300)}
    assert [each["amount"] for each in there["alpha"]["moves"]] == [500, -200]
    assert there["gamma"]["moved_otherwise"] == {"USDT": D(-10)}
    assert (there["beta"]["moved_otherwise"], there["beta"]["moves"]) == (None, [])
    assert report["pnl"]["USDT"]["realized"] == D("2.8949")
    before = [reported(T0, D(5_000), venue, D(1)) for venue in ("alpha", "beta")]
    after = [reported(T0 + DAY_NS, D("4298.8999"), "alpha", D("1.1"))]
    report = earned(tmp_path / "known", before, told_plan(1), moves, after)
    assert report["by_venue"]["alpha"]["moved_otherwise"] == {"USDT": D(300)}


@pytest.mark.parametrize("at_ns", [0, T0])
def test_what_moved_is_not_known_before_balances_are_reported_after_the_last_fill(tmp_path, at_ns):
    told = [reported(at_ns, D(5_000), "alpha", D(1))] if at_ns else []
    report = earned(tmp_path / "l", told, told_plan(1))
    assert report["by_venue"]["alpha"]["moved_otherwise"] is None


def test_a_plan_in_full(tmp_path):
    write_ledger(tmp_path / "l", told_plan(1))
    ledger = open_to_read(tmp_path / "l")
    whole = ledger_plan.whole(ledger, "p000001")
    assert whole["waterfall"]["realized"]["amount"] == D("2.8949")
    assert whole["waterfall"]["realized_told"] == D("2.8949")
    assert whole["waterfall"]["steps"]["slippage"]["amount"] == D("-0.1")
    assert (len(whole["orders"]), len(whole["fills"])) == (2, 2)
    with pytest.raises(ConfigError, match="no plan 'p9' in the ledger"):
        ledger_plan.whole(ledger, "p9")
    ledger.close()


@pytest.mark.parametrize(
    ("wanted", "heads"),
    [
        (Wanted(), ["realized", "all", "pairs", "day", "2023-11-14", "alpha:", "beta:", "~"]),
        (Wanted(strategy="pairs"), ["realized", "pairs", "day", "2023-11-14", "~"]),
        (Wanted(venue="beta"), ["beta:", "~"]),
        (Wanted(strategy="none"), ["no", "~"]),
        (Wanted(venue="none"), ["no", "~"]),
        (Wanted(since_ns=T0 + DAY_NS), ["no", "~"]),
        (Wanted(until_ns=T0 - DAY_NS), ["no", "~"]),
        (Wanted(until_ns=T0 + 1), ["day", "2023-11-14", "~"]),
    ],
)
def test_pnl_shows_only_what_is_asked_for(tmp_path, capsys, wanted: Wanted, heads):
    report = earned(tmp_path / "l", told_plan(1))
    ledger_money.narrow(report, wanted)
    ledger_tables.show_pnl(report, wanted)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == heads
    assert report["pnl"]["USDT"]["realized"] == D("2.8949"), "the whole stays in --json"


def test_estimated_figures_are_marked_in_every_line(tmp_path, capsys):
    facts = told_plan(1)
    for place, each in enumerate(facts):
        if hasattr(each, "trade_id"):
            facts[place] = msgspec.structs.replace(
                each, fee=D("0.01"), fee_asset="BNB", fee_quote=D("1")
            )
    ledger_tables.show_pnl(earned(tmp_path / "l", facts), Wanted())
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[1:] == ["+2.90~", "unknown", "2.00~", "+0.00", "USDT"]
    assert lines[2].split()[1:] == ["+2.90~", "unknown", "2.00~", "+0.00", "USDT"]
    assert lines[4].split()[2:] == ["+2.90~", "2.00~", "+0.00", "USDT"]


def test_positions_fit_80_columns_with_whole_names(capsys):
    name, what = "BTC/USDT:USDT", D("-0.07812345")
    held = {"time": "2026-11-26T22:16:20Z", "venue": "binanceusdm", "instrument": name}
    figures = {"qty": what, "entry": D("64032.8123"), "close_price": D("64049.6123")}
    record = {
        **held,
        **figures,
        "ts_ns": 1,
        "ts_price_ns": 2,
        "unrealized": D("-1234.31"),
        "certainty": "known",
    }
    ledger_tables.show_positions([record])
    head, _, line = capsys.readouterr().out.splitlines()
    assert head.startswith("unchanged since 11-26 22:16:20")
    assert line.split()[:3] == ["binanceusdm", name, "-0.07812345"]
    assert len(line) <= 80


def test_an_export_has_a_fill_as_it_is_stated_now():
    history = History(is_whole=False)
    told = next(each for each in told_plan(1) if hasattr(each, "trade_id"))
    anew = FillRestated(ts_ns=told.ts_ns, fill=told, report_asset="USDC", report_price=D("0.5"))
    for message in (anew, told, anew):
        history.on_message(message)
    assert [(each.report_asset, each.report_price) for each in history.fills()] == [
        ("USDC", D("0.5"))
    ]
