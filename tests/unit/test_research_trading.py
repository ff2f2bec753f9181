"""The report of a backtest of the whole chain: its figures from facts, and its id."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from services.research.svg import Line, axis_for, line_chart, plain, waterfall
from services.research.trading import LIBRARIES, report_of
from services.research.trading_days import ROLLING_DAYS, equity_of_days, months, rolling, sharpe_of
from services.research.trading_html import render

DAY = 86_400
NS = 1_000_000_000
FIRST = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())


def split(**changes: Any) -> dict[str, Any]:
    values = {
        "at_middles": "12.5",
        "latency_drift": None,
        "spread": "-1",
        "slippage": "-0.25",
        "conversion": "0",
        "fees": "-4",
        "funding": "0.75",
        "net": "8",
        "fills": 4,
        "no_decision": 4,
        "no_book": 0,
    }
    return {**values, **changes}


def facts(profits: list[float], first_s: int = FIRST, last_s: int = 0) -> dict[str, Any]:
    """Profit at every midnight after the begin; the last one at the end."""
    last_s = last_s or first_s // DAY * DAY + len(profits) * DAY - 1
    midnights = [(first_s // DAY + 1 + n) * DAY * NS for n in range(len(profits) - 1)]
    ends = [*midnights, last_s * NS]
    return {
        "kind": "trading",
        "source": "depth",
        "identity": {
            "data": [],
            "config": {"venues": {"alpha": {}}},
            "strategies": {"arb": "0"},
            "code": "c",
            "seed": 7,
            "versions": {"python": "3", "msgspec": "0"},
        },
        "span": {"first_ns": first_s * NS, "last_ns": last_s * NS},
        "result": {
            "pnl": {"USDT": {"realized": 8.0, "unrealized": 0.0}},
            "closing_cost": {},
            "pnl_by_strategy": {},
            "opportunities": 1,
            "near_misses": {},
            "plans": {"approved": 1, "denied": {}, "outcomes": {}},
            "orders": {"submitted": 2},
            "problems": [],
            "replay": {"decisions": 1, "hash": "h"},
        },
        "capital": {"USDT": 1_000.0},
        "curve": {"times_ns": ends, "profits": {"USDT": profits}},
        "days": {"times_ns": midnights, "profits": {"USDT": profits[:-1]}},
        "accounts": {"USDT": {"realized": 8.0, "fees": 4.0, "funding": 0.75}},
        "split": {"USDT": split(net=str(profits[-1]))},
        "traded": {"USDT": 2_500.0},
        "round_trips": {
            "closed": 1,
            "open": 0,
            "sides": 2,
            "in_market": 0.25,
            "totals": [],
            "trips": [],
        },
        "payments": [],
        "liquidations": [],
        "fills": [],
        "fill_count": 4,
        "plans": [],
        "assumed": ["all is well"],
        "not_modelled": ["nothing at all"],
    }


def test_equity_is_that_of_midnights_and_begins_with_the_capital() -> None:
    found = equity_of_days(facts([10.0, 5.0, 7.0], FIRST + 3_600), "USDT")
    assert found is not None
    assert found[0].tolist() == [FIRST + n * DAY for n in range(4)]
    assert found[1].tolist() == [1_000.0, 1_010.0, 1_005.0, 1_007.0]
    whole = facts([10.0, 5.0, 7.0], last_s=FIRST + 2 * DAY)  # it ends at midnight, to the second
    again = equity_of_days(whole, "USDT")
    assert again is not None
    assert again[1].tolist() == [1_000.0, 1_010.0, 1_007.0]
    whole["days"]["profits"]["USDT"][1] = None
    assert equity_of_days(whole, "USDT") is None


def test_a_ratio_a_year_is_given_from_thirty_days_on() -> None:
    profits = [1.0 if n % 2 else 4.0 for n in range(30)]
    assert sharpe_of(facts(profits[:29]), "USDT")["sharpe"] is None
    assert "30 days" in sharpe_of(facts(profits[:29]), "USDT")["sharpe_why"]
    equity = np.array([1_000.0, *(1_000 + each for each in profits)])
    daily = equity[1:] / equity[:-1] - 1
    expected = daily.mean() / daily.std(ddof=1) * math.sqrt(365)
    found = sharpe_of(facts(profits), "USDT")
    assert found["sharpe"] == found["sharpe_daily"] == pytest.approx(expected, rel=1e-12)
    assert found["sharpe_monthly"] is None


def test_the_rolling_ratio_is_of_the_last_thirty_days_at_each_midnight() -> None:
    profits = [float(n * n % 17) for n in range(33)]
    found = rolling(facts(profits), "USDT")
    assert found["rolling_times_s"] == [FIRST + n * DAY for n in range(ROLLING_DAYS, 34)]
    equity = np.array([1_000.0, *(1_000 + each for each in profits)])
    daily = equity[1:] / equity[:-1] - 1
    last = daily[-30:].mean() / daily[-30:].std(ddof=1) * math.sqrt(365)
    assert found["rolling_sharpe"][-1] == pytest.approx(last, rel=1e-9)
    assert rolling(facts(profits[:29]), "USDT")["rolling_sharpe"] == []


def test_months_are_whole_ones_of_utc() -> None:
    profits = [float(n) for n in range(1, 31 + 29 + 4)]  # a unit a day, into March
    found = months(facts(profits, FIRST + 60), "USDT")
    assert [(each["month"], each["net"]) for each in found] == [
        ("2024-01", 31.0),
        ("2024-02", 29.0),
    ]
    assert found[1]["return"] == pytest.approx(29 / 1_031, rel=1e-12)
    late = months(facts(profits, FIRST + 7_200), "USDT")
    assert [each["month"] for each in late] == ["2024-02"], "January lacks two hours"
    daily = [1 / (1_031 + n) for n in range(29)]
    expected = np.mean(daily) / np.std(daily, ddof=1) * math.sqrt(365)
    assert found[1]["sharpe"] == pytest.approx(expected, rel=1e-6)


def test_figures_of_the_whole_run() -> None:
    found = report_of(facts([8.0]))["performance"]["USDT"]
    assert found["turnover"] == 2.5
    assert found["gross"] == 8 + 4 - 0.75
    assert found["fee_share_of_gross"] == pytest.approx(4 / 11.25)
    unknown = facts([8.0])
    unknown["split"]["USDT"]["funding"] = None
    told = report_of(unknown)["performance"]["USDT"]
    assert (told["funding"], told["gross"], told["fee_share_of_gross"]) == (None, None, None)


def test_other_libraries_are_another_run() -> None:
    run = facts([8.0])
    here, again = report_of(run), report_of(run)
    assert here == again
    assert set(here["versions"]) == {"python", "msgspec", *LIBRARIES}
    for name in LIBRARIES:
        other = report_of(run, {**{x: here["versions"][x] for x in LIBRARIES}, name: "0.0"})
        assert other["run_id"] != here["run_id"]
        assert other["versions"][name] == "0.0"
    ids = {report_of({**run, "identity": {**run["identity"], "seed": n}})["run_id"] for n in (7, 8)}
    assert len(ids) == 2
    assert here["run_id"] in ids


def test_the_page_says_what_is_not_known() -> None:
    page = render(report_of(facts([8.0])))
    assert ">not known</text>" in page, "the latency drift has no bar"
    assert "Of 4 fills the latency drift of 4 is not known" in page
    assert "given from 30 days on" in page
    assert ">2.50x</b>" in page
    assert ">25%</b>" in page
    assert "nan" not in page


def test_short_charts_tell_seconds_and_long_ones_days() -> None:
    drawn = [Line("a", "one", [1.0, 2.0])]
    for length_s, first, last in (
        (240, "00:00:00", "00:04:00"),
        (7_200, "01-01 00:00", "01-01 02:00"),
        (20 * DAY, "2024-01-01", "2024-01-21"),
    ):
        chart = line_chart([FIRST, FIRST + length_s], drawn, axis_for(drawn, plain))
        assert f">{first}</text>" in chart
        assert f">{last}</text>" in chart


def test_both_ratios_are_shown_where_there_are_days_enough() -> None:
    page = render(report_of(facts([1.0 if n % 2 else 4.0 for n in range(40)])))
    assert "days " in page
    assert "months not known: from days" in page


def test_a_step_that_is_not_known_changes_nothing_in_a_waterfall() -> None:
    drawn = waterfall([("a", 3.0), ("b", None), ("c", -1.0), ("sum", 2.0)])
    assert drawn.count("<rect") == 3
    assert drawn.count("not known") == 1
