"""What the screens of `arb top` say: values, what is not known, what is too old, and bounds."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from services.cli.top.cells import Row
from services.cli.top.screens import SCREENS
from services.cli.top.watched import LOG_MAX, OFFERS_MAX, Watched
from shared.clock import SystemClock
from shared.messages.base import Side
from shared.messages.control import Alert, Severity
from shared.wording import signed
from tests.decision_builders import SECOND, T0, make_beat, make_leg, make_offer
from tests.watched_builders import make_report, trading_system

BY_NAME = {spec.name: spec for spec in SCREENS}


def rows(name: str, watched: Watched, now_ns: int = T0) -> list[Row]:
    return list(BY_NAME[name].rows(watched, now_ns))


def texts(name: str, watched: Watched, now_ns: int = T0) -> list[list[str]]:
    return [[str(cell) for cell in row.cells] for row in rows(name, watched, now_ns)]


@pytest.mark.parametrize("name", BY_NAME)
def test_every_row_has_a_cell_per_column_and_a_key_of_its_own(name: str) -> None:
    found = rows(name, trading_system())
    assert found, "the system shows something on every screen"
    assert len({row.key for row in found}) == len(found)
    assert {len(row.cells) for row in found} == {len(BY_NAME[name].columns)}


@pytest.mark.parametrize("name", BY_NAME)
def test_without_anything_every_screen_says_why(name: str) -> None:
    watched = Watched()
    if name != "overview":
        assert not rows(name, watched)
    assert BY_NAME[name].empty(watched, T0).endswith((".", ")", "?"))


def test_the_net_edge_is_after_both_taker_fees() -> None:
    best, *others = texts("spreads", trading_system())
    assert best == ["BTC", "alpha", "beta", "+10.0", "+30.0", "10,000.0", "10,030.0"]
    assert len(others) == 1, "a book that is not LIVE is compared with nothing"


def test_an_edge_without_known_fees_is_unknown() -> None:
    watched = trading_system()
    watched.rules.clear()
    assert texts("spreads", watched)[0][3] == "—"


def test_what_is_not_known_is_no_zero() -> None:
    (position,) = texts("pos", trading_system())
    assert position == ["gamma", "BTC perp", "+0.5", "10,000.0", "—", "—", "—", ""]
    gap = texts("books", trading_system())[2]
    assert gap[:6] == ["gamma", "BTC perp", "GAP", "—", "—", "—"]


def test_what_is_too_old_is_not_said_to_be_true() -> None:
    watched, later = trading_system(), T0 + 6 * SECOND
    assert {row[2] for row in texts("books", watched, later)} == {"SILENT"}
    assert {row[2] for row in texts("health", watched, later)} == {"SILENT"}
    assert not texts("spreads", watched, later)
    overview = dict(texts("overview", watched, later))
    assert overview["trading"] == "trading state unknown: risk silent for 6s, was ACTIVE"
    assert overview["mode"] == "unknown: the executor does not report"
    assert overview["books"] == "0 of 3 LIVE"
    (position,) = texts("pos", watched, later)
    assert position[-1].startswith("SILENT since ")
    assert overview["money"].startswith("unknown: risk does not report since")
    assert "missing or not ready" in overview["processes"]
    assert BY_NAME["pos"].empty(watched, later).startswith("Positions are not known")


def test_the_overview_has_results_exposure_and_what_stops_trading() -> None:
    told = texts("overview", trading_system())
    assert ["USDT", f"{signed(D(-3))} today   +12.50 equity   0.00 below its peak"] in told
    assert ["USDT", "realized +12.50  open +0.00  fees 1.50  funding +0.00"] in told
    overview = dict(told)
    assert overview["exposure"] == "+0.5 BTC"
    assert overview["near misses"] == "FEES 1,234"
    assert overview["denied"] == "BOOK_AGE 1"
    assert overview["books"] == "2 of 3 LIVE"
    assert overview["last warning"].endswith("risk SLOW: late by 5 s")


def test_a_loss_without_a_price_is_unknown_in_the_overview() -> None:
    watched = trading_system()
    watched.on_message(make_report(unrealized={"USDT": None}))
    told = texts("overview", watched)
    assert any("open unknown" in row[1] for row in told)
    watched.on_message(make_report(funding_unknown={"gamma": "the venue does not tell"}))
    told = texts("overview", watched)
    assert any("funding unknown" in row[1] for row in told)


def test_an_opportunity_says_what_became_of_it() -> None:
    (offer,) = texts("opps", trading_system())
    assert offer[2] == "alpha > beta"
    assert offer[-1] == "filled"
    (plan,) = texts("plans", trading_system())
    assert plan[2] == "FILLED"


def test_a_process_shows_its_use_of_the_machine_between_two_heartbeats() -> None:
    first = texts("health", trading_system())[0]
    assert first[3:6] == ["25 %", "50", str(30 + 4)], "executor is the first by name"


def test_funding_is_told_per_interval_and_per_year() -> None:
    (rate,) = texts("funding", trading_system())
    assert rate == ["gamma", "BTC perp", "+1.000", "+10.9 %", "1h01m", "10,010.0", "+10.0", "0ms"]


def test_memory_is_bounded() -> None:
    watched = trading_system()
    for number in range(LOG_MAX + 10):
        alert = Alert(ts_ns=T0, service="risk", severity=Severity.INFO, code=f"C{number}", text="")
        watched.on_message(alert)
    legs = [make_leg("alpha", Side.BUY, "1", "10000"), make_leg("beta", Side.SELL, "1", "10030")]
    for number in range(OFFERS_MAX + 10):
        watched.on_message(make_offer(legs, opportunity_id=f"o{number}"))
    assert len(watched.log) == LOG_MAX
    assert len(watched.offers) == OFFERS_MAX
    for number in range(300):
        watched.on_message(make_beat("risk", T0, instance=f"i{number}"))
    assert len(watched.beats) == 200


def test_a_restarted_process_takes_the_place_of_the_one_before() -> None:
    watched = Watched()
    watched.on_message(make_beat("risk", T0, process="a"))
    watched.on_message(make_beat("risk", T0 + SECOND, since_ns=T0 + 1, process="b"))
    assert [key[2] for key in watched.beats] == ["b"]


def test_the_loss_of_redis_is_said_once_with_its_time() -> None:
    watched, now_ns = Watched(), SystemClock.now_ns()
    watched.on_lost("cannot reach Redis", now_ns)
    watched.on_lost("cannot reach Redis", now_ns + SECOND)
    assert watched.ts_problem_ns == now_ns
    watched.on_connected("redis://here")
    assert watched.problem == ""
    assert [line.level for line in watched.log] == ["critical", "info"]
