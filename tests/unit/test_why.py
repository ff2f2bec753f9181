"""Why it does not trade: each obstacle with its right numbers, in the right order."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.cli.why_text import WIDTH, lines_of
from services.risk.halt_causes import HaltCause
from services.risk.reasons import DenyReason
from shared.config_sections import Config, VenueConfig
from shared.errors import ConfigError
from shared.messages.arb import NearMiss
from shared.messages.base import BookState, Certainty, FeedName, Message, TradingState
from shared.messages.execution import Denied, PlanOutcome, TradingStateChanged
from shared.messages.market import VenueStatus
from shared.strategies.gates import Gate
from shared.watch.why.answer import Verdict, answer
from shared.watch.why.facts import Facts
from shared.watch.why.funnel import PAID_GATES, PRICE_GATES, QUIET_GATES
from shared.watch.why.obstacles import Effect, duration
from shared.watch.why.pair import check_pair, narrow, parse_pair
from shared.watch.why.remedies import DENIALS, GATES, HALTS
from tests.decision_builders import (
    SECOND,
    SPOT,
    T0,
    make_balances,
    make_beat,
    make_done,
    make_opportunity,
    make_ready,
    make_rules,
    make_scanner,
    make_view,
)
from tests.ledger_builders import approved, of_risk

D = Decimal
MINUTE = 60 * SECOND
CORE = ("ingestor", "orderbook", "scanner", "risk", "executor")


def state(state: TradingState = TradingState.ACTIVE, reason: str = "") -> TradingStateChanged:
    return TradingStateChanged(ts_ns=T0, state=state, reason=reason, ts_since_ns=T0 - MINUTE)


def miss(gate: str = "FEES", edge: float | None = -3.0, **changes: Any) -> NearMiss:
    one = NearMiss(
        ts_ns=T0,
        detector="cross_venue",
        buy_venue="alpha",
        buy_instrument=SPOT,
        sell_venue="beta",
        sell_instrument=SPOT,
        gate=gate,
        count=100,
        ts_from_ns=T0 - SECOND,
        edge_bps_best=edge,
        context={"bid": "10017", "ask": "10000"},
        strategy_id="pairs",
    )
    return msgspec.structs.replace(one, **changes)


def denial(reason: str, number: int = 1, **context: str) -> Denied:
    return Denied(ts_ns=T0 - SECOND, opportunity_id=f"o{number}", reason=reason, context=context)


def make_facts(*window: Message, silent: tuple[str, ...] = (), **changes: Any) -> Facts:
    """A system that runs: every service is heard, both books are LIVE, the state is ACTIVE."""
    facts = Facts(now_ns=T0, since_ns=T0 - 10 * MINUTE, where="redis:6379")
    for service in CORE:
        if service not in silent:
            gauges = {"strategies": 1.0} if service == "scanner" else {}
            facts.now.on_message(make_beat(service, T0, gauges=gauges))
    for message in (state(), make_ready(T0), make_balances("alpha"), make_balances("beta")):
        facts.now.on_message(message)
    facts.views = [make_view("alpha"), make_view("beta")]
    for venue in ("alpha", "beta"):
        facts.rules[venue, SPOT] = make_rules(venue)
    facts.take(window)
    for name, value in changes.items():
        setattr(facts, name, value)
    return facts


def codes(facts: Facts) -> list[str]:
    return [each["code"] for each in answer(facts)["obstacles"]]


def test_the_best_edge_is_told_with_fees_and_what_it_lacks():
    facts = make_facts(miss(edge=-3.0), miss("NOT_CROSSED", -25.0), needs_bps={"pairs": 2.0})
    told = answer(facts)
    (edge,) = told["obstacles"]
    # bid/ask = (1.001 - 0.0003) / 0.999: 17.0170 bps above the ask, of which 20.0170 are fees
    assert edge["text"] == (
        "no edge: best -3.00 bps net (gross +17.02, fees 20.02), needs +2.00, lacks 5.00; "
        "BTC/USDT alpha > beta"
    )
    assert (told["verdict"], edge["effect"]) == (Verdict.WAITS, Effect.MARKET)
    row = told["funnel"]["near_misses"][0]
    assert (row["gate"], row["comparisons"], row["lacks_bps"]) == ("FEES", 100, 5.0)
    assert row["gross_bps"] == pytest.approx(17.0170, abs=1e-4)


def test_the_scanner_itself_tells_what_it_needs():
    """Bid 10,017 and ask 10,000, 10 bps each: 17 gross, 20.017 fees, -3.017 net."""
    scanner = make_scanner(edge_bps_min=2.5)
    for venue, bid, ask in (("alpha", 9_999.0, 10_000.0), ("beta", 10_017.0, 10_018.0)):
        view = make_view(venue, bids=[(bid, 1.0)], asks=[(ask, 1.0)])
        scanner.on_message(view, T0)
    found = scanner.on_timer(T0 + 6 * SECOND).messages
    facts = make_facts(*found, needs_bps={"cross_venue": 99.0})
    (edge,) = answer(facts)["obstacles"]
    assert edge["text"] == (
        "no edge: best -3.02 bps net (gross +17.00, fees 20.02), needs +2.50, lacks 5.52; "
        "BTC/USDT alpha > beta"
    )


def test_what_an_edge_needs_is_unknown_without_a_configuration_and_fees_without_rules():
    (edge,) = answer(make_facts(miss(), rules={}))["obstacles"]
    assert edge["text"].startswith("no edge: best -3.00 bps net, what is needed is not known here")
    row = answer(make_facts(miss(), rules={}))["funnel"]["near_misses"][0]
    assert (row["gross_bps"], row["fees_bps"], row["lacks_bps"]) == (None, None, None)


@pytest.mark.parametrize("gate", [gate for gate in Gate if gate not in PRICE_GATES])
def test_a_gate_that_ends_every_comparison_is_named(gate):
    told = answer(make_facts(miss(gate, None, context={"qty": "0.1"}), miss(gate, None)))
    (row,) = told["obstacles"]
    assert (row["code"], row["remedy"]) == (f"GATE_{gate}", GATES[gate])
    has_paid = gate in PAID_GATES
    ended = "paid, and ended" if has_paid else "ended"
    assert row["text"] == f"200 comparisons {ended} at {gate} (bid 10017, ask 10000)"
    assert told["verdict"] is (Verdict.WAITS if has_paid else Verdict.STOPPED)


def test_gates_beside_prices_count_where_they_end_most_comparisons():
    old = miss("BOOK_AGE", None, context={"buy_age_ms": "900"})
    never = miss("QUOTE_MISMATCH", None, count=9_999)
    assert codes(make_facts(miss(), old, never)) == ["EDGE"]
    assert codes(make_facts(miss(), old, old, never)) == ["GATE_BOOK_AGE", "EDGE"]


def test_prices_that_paid_come_before_those_that_did_not():
    lot = miss("LOT", 12.0, count=1, context={"qty": "0.0001", "lot": "0.001"})
    told = answer(make_facts(miss(), lot))
    assert [each["code"] for each in told["obstacles"]] == ["GATE_LOT", "EDGE"]
    assert told["obstacles"][0]["text"] == (
        "1 comparison paid, and ended at LOT (qty 0.0001, lot 0.001)"
    )


def test_without_any_comparison_that_is_the_obstacle():
    assert codes(make_facts()) == ["NOTHING_COMPARED"]


def test_halted_comes_first_with_its_cause_and_command():
    halted = state(TradingState.HALTED, "DAILY_LOSS: 312 USDT lost today, limit 300")
    told = answer(make_facts(halted, miss(), denial("HALTED", why="DAILY_LOSS")))
    assert [each["code"] for each in told["obstacles"]] == ["HALTED", "EDGE"]
    first = told["obstacles"][0]
    assert first["text"] == "HALTED: DAILY_LOSS: 312 USDT lost today, limit 300"
    assert (first["remedy"], first["ts_since_ns"]) == (HALTS["DAILY_LOSS"], T0 - MINUTE)
    assert told["sentence"].startswith("It does not trade: HALTED: DAILY_LOSS: 312 USDT lost")


@pytest.mark.parametrize("cause", HaltCause)
def test_every_cause_of_a_halt_says_what_to_do(cause):
    (row,) = answer(make_facts(miss(), state(TradingState.HALTED, f"{cause}: x")))["obstacles"][:1]
    assert row["remedy"] == HALTS[cause]


def test_denials_have_the_order_and_the_codes_of_risk():
    assert list(DENIALS) == [reason.value for reason in DenyReason]
    assert HALTS.keys() == {cause.value for cause in HaltCause}
    assert GATES.keys() == {gate.value for gate in Gate if gate not in PRICE_GATES}
    assert {*PRICE_GATES, *PAID_GATES, *QUIET_GATES} <= {gate.value for gate in Gate}


def test_settings_that_are_named_exist():
    sections = Config()
    texts = " ".join((*HALTS.values(), *DENIALS.values(), *GATES.values()))
    for section, name in re.findall(r"\b(risk|scanner|orderbook|inventory)\.([a-z_]+)", texts):
        assert hasattr(getattr(sections, section), name), f"{section}.{name}"
    assert hasattr(VenueConfig(instruments=[SPOT]), "trade")


def test_denials_are_counted_with_the_newest_numbers():
    first = denial("BALANCE", 1, venue="alpha", asset="USDT", free="12", needs="4000")
    last = denial("BALANCE", 2, venue="alpha", asset="USDT", free="7", needs="4000")
    told = answer(make_facts(make_opportunity(), first, last, denial("DUPLICATE", 3)))
    (row,) = told["obstacles"]
    assert row["code"] == "DENIED_BALANCE"
    assert row["text"] == (
        "risk denied 2 and approved 0; 2 for BALANCE, 1 s ago: "
        "venue alpha, asset USDT, free 7, needs 4000"
    )
    assert (row["effect"], row["remedy"]) == (Effect.STOPS, DENIALS["BALANCE"])
    assert [(each["reason"], each["count"]) for each in told["funnel"]["denied"]] == [
        ("BALANCE", 2),
        ("DUPLICATE", 1),
    ]


def test_denials_beside_plans_only_limit_and_fewer_than_plans_are_none():
    plan, offer = approved(1, T0 - SECOND), make_opportunity()
    denied = [denial("TOTAL_NOTIONAL", n, notional="900", max="800") for n in range(2)]
    told = answer(make_facts(offer, plan, *denied))
    assert [(each["code"], each["effect"]) for each in told["obstacles"]] == [
        ("DENIED_TOTAL_NOTIONAL", Effect.LIMITS)
    ]
    assert told["verdict"] is Verdict.TRADES
    assert codes(make_facts(offer, plan, denied[0])) == []


def test_it_trades_and_says_so():
    end = make_done("p000001", T0, realized=D("1.5"))
    told = answer(make_facts(make_opportunity(), approved(1, T0 - SECOND), end))
    assert told["sentence"] == "It trades: 1 plan in 10 min, and nothing is in the way."
    plans = told["funnel"]["plans"]
    assert (plans["approved"], plans["in_flight"]) == (1, 0)
    assert (plans["outcomes"], plans["realized"]) == ({"FILLED": 1}, {"USDT": D("1.5")})


def test_a_result_that_is_not_known_makes_the_sum_unknown():
    ends = [make_done("p1"), make_done("p2", certainty=Certainty.UNKNOWN)]
    assert answer(make_facts(*ends))["funnel"]["plans"]["realized"] == {"USDT": None}


def test_plans_none_of_which_traded():
    ends = [
        make_done(f"p{n}", outcome=PlanOutcome.REFUSED, reason="no new orders to beta")
        for n in range(3)
    ]
    told = answer(make_facts(make_opportunity(), approved(1, T0), *ends))
    (row,) = told["obstacles"]
    assert row["text"] == "none of 3 plans traded: 3 REFUSED; no new orders to beta"
    assert (row["code"], told["verdict"]) == ("PLANS_REFUSED", Verdict.STOPPED)


@pytest.mark.parametrize("service", CORE)
def test_a_silent_service_is_named_with_how_long(service):
    facts = make_facts(miss(), silent=(service,), wrote_ns={service: T0 - 7 * MINUTE})
    told = answer(facts)
    assert told["obstacles"][0]["text"] == f"{service} is silent for 7 min"
    assert told["obstacles"][0]["ts_since_ns"] == T0 - 7 * MINUTE
    assert any(f"in the last 7 min: {service} is silent" in each for each in told["not_known"])
    assert told["verdict"] is Verdict.STOPPED


def test_a_service_that_was_never_heard_is_no_zero():
    facts = make_facts(silent=CORE)
    facts.now.state = None
    told = answer(facts)
    assert told["obstacles"][0]["text"] == "executor was never heard on this bus"
    assert told["funnel"]["frames"] == {"since_start": None, "per_s": None}
    assert [each["code"] for each in told["obstacles"]] == ["SERVICE_SILENT"] * 5


def test_a_state_of_a_silent_risk_is_told_as_of_then():
    halted = state(TradingState.HALTED, "OPERATOR: HALT by ann")
    told = answer(make_facts(halted, miss(), silent=("risk",)))
    texts = [each["text"] for each in told["obstacles"]]
    assert texts[1] == "HALTED when risk was heard last: OPERATOR: HALT by ann"


def test_a_service_that_is_not_ready_says_why():
    facts = make_facts(miss(), silent=("executor",))
    facts.now.on_message(make_beat("executor", T0, ready=False, reason="reconciling with beta"))
    facts.now.on_message(make_ready(ready=False, reason="reconciling with beta: no answer"))
    texts = [each["text"] for each in answer(facts)["obstacles"]]
    assert texts[:2] == [
        "executor is not ready: reconciling with beta",
        "the executor takes no plans: reconciling with beta: no answer",
    ]


def test_a_venue_without_orders_or_money():
    down = make_ready(venues_down={"beta": "AUTH: invalid key"})
    told = answer(make_facts(down, make_balances("alpha", USDT=0), miss()))
    assert [(each["code"], each["text"]) for each in told["obstacles"][:2]] == [
        ("VENUE_DOWN", "no new orders to beta: AUTH: invalid key"),
        ("NO_BALANCE", "nothing is free at alpha"),
    ]
    assert told["verdict"] is Verdict.WAITS


def test_balances_that_nobody_reported_are_not_known():
    facts = make_facts(miss())
    facts.now.balances.clear()
    assert answer(facts)["not_known"] == ["balances: no venue reported any in the window"]


def test_books_that_price_nothing():
    gap = make_view("beta", state=BookState.GAP)
    told = answer(make_facts(miss(), views=[make_view("alpha"), gap]))
    assert told["obstacles"][0]["text"] == "1 of 2 books not LIVE: beta BTC/USDT GAP"
    assert (told["funnel"]["books"]["live"], told["verdict"]) == (1, Verdict.WAITS)
    old = [make_view(venue, ts_ns=T0 - 6 * SECOND) for venue in ("alpha", "beta")]
    told = answer(make_facts(miss(), views=old))
    assert told["verdict"] is Verdict.STOPPED
    assert [row["state"] for row in told["funnel"]["books"]["not_live"]] == ["SILENT"] * 2
    assert [row["age_ms"] for row in told["funnel"]["books"]["not_live"]] == [6_000] * 2


def test_a_book_without_a_view_is_counted_and_one_the_venue_refuses_is_not():
    def status(venue: str, **changes: Any) -> VenueStatus:
        one = VenueStatus(
            ts_ns=T0, venue=venue, instrument=SPOT, state=BookState.DOWN, epoch=1, reason="refused"
        )
        return msgspec.structs.replace(one, **changes)

    facts = make_facts(miss())
    facts.statuses = {("gamma", SPOT): status("gamma"), ("eta", SPOT): status("eta", refused=True)}
    books = answer(facts)["funnel"]["books"]
    assert (books["live"], books["total"]) == (2, 3)
    assert books["not_live"][0]["venue"] == "gamma"


def test_of_two_ingestors_of_a_book_the_better_word_counts():
    def status(feed: str, state: BookState) -> VenueStatus:
        return VenueStatus(
            ts_ns=T0, venue="gamma", instrument=SPOT, state=state, epoch=1, feed=FeedName(feed)
        )

    live, down = BookState.LIVE, BookState.DOWN
    for told, better in (
        ((("a", live), ("b", down)), live),
        ((("a", down), ("b", live)), live),
        ((("a", live), ("a", down)), down),
        ((("a", down), ("b", down)), down),
    ):
        facts = make_facts(miss())
        for feed, state in told:
            facts.take_status(status(feed, state))
        assert [each.state for each in facts.statuses.values()] == [better], told


def test_no_book_at_all_is_unknown_and_not_zero():
    told = answer(make_facts(miss(), views=[]))
    assert "NO_BOOKS" in [each["code"] for each in told["obstacles"]]
    assert told["funnel"]["books"] == {"total": None, "live": None, "not_live": []}


def test_strategies_that_do_not_run():
    facts = make_facts(miss(), silent=("scanner",))
    notes = {"strategy mine": "disabled: it raised KeyError", "strategy slow": "warming up: 3 of 9"}
    beat = make_beat("scanner", T0, gauges={"strategies": 0.0}, notes=notes)
    facts.now.on_message(beat)
    rows = answer(facts)["obstacles"]
    assert [(each["code"], each["effect"]) for each in rows[:2]] == [
        ("STRATEGY_DISABLED", Effect.STOPS),
        ("STRATEGY_WARMS_UP", Effect.LIMITS),
    ]
    assert rows[0]["text"] == "strategy mine is disabled: it raised KeyError"


def test_a_strategy_that_pauses():
    paused = {"pairs": T0 + 20 * MINUTE, "over": T0 - 1}
    report = msgspec.structs.replace(of_risk(T0, D(0), None), paused=paused)
    (row, _) = answer(make_facts(report, miss()))["obstacles"]
    assert row["text"] == "strategy pairs lost too often in a row: paused for 20 minutes more"


def test_with_redis_away_nothing_is_known():
    facts = Facts(now_ns=T0, since_ns=T0 - MINUTE, bus_problem="cannot reach Redis at r:1")
    facts.is_readable = False
    told = answer(facts)
    assert (told["verdict"], told["funnel"]) == (Verdict.UNKNOWN, None)
    assert told["sentence"] == "Whether it trades is not known: cannot reach Redis at r:1."
    assert len(told["not_known"]) == 2
    assert "arb kill" in told["obstacles"][0]["remedy"]


def test_a_redis_that_takes_no_writes_is_the_first_obstacle():
    told = answer(make_facts(miss(), bus_problem="Redis is out of memory (maxmemory)"))
    assert [each["code"] for each in told["obstacles"]] == ["BUS", "EDGE"]
    assert told["verdict"] is Verdict.STOPPED


def test_a_window_that_was_trimmed_says_how_much_is_left():
    told = answer(make_facts(miss(), cut_ns={"arb.nearmiss": T0 - 140 * SECOND}))
    assert told["not_known"] == ["arb.nearmiss before the last 2 min: older entries are trimmed"]


def test_frames_are_counted_over_the_heartbeats_that_are_kept():
    beats = [
        make_beat("ingestor", T0 - 10 * SECOND, counters={"frames": 1_000}),
        make_beat("ingestor", T0, counters={"frames": 6_000}),
    ]
    assert answer(make_facts(), beats)["funnel"]["frames"] == {
        "since_start": 6_000,
        "per_s": 500.0,
    }


def test_every_line_fits_80_columns():
    halted = state(TradingState.HALTED, "PLAN_FAILED: " + "long words about a plan " * 12)
    rows = [miss(gate, -float(n), strategy_id=f"s{n}") for n, gate in enumerate(Gate)]
    facts = make_facts(halted, *rows, denial("BALANCE", venue="x" * 90), make_opportunity())
    lines = lines_of(answer(facts))
    assert all(len(line) <= WIDTH for line in lines)
    assert f"{' ' * 15}and 11 more: --json" in lines


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.4, "12 s"), (-1, "0 s"), (420, "7 min"), (12_600, "3.5 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_strategy_that_says_its_fees_has_a_gross_edge() -> None:
    known = miss("CYCLE_LOSES", -12.0, detector="triangular", fees_bps=30.0)
    unknown = miss("SETTLED", 4.0, detector="funding_carry", strategy_id="carry")
    rows = {row["gate"]: row for row in answer(make_facts(known, unknown))["funnel"]["near_misses"]}
    row = rows["CYCLE_LOSES"]
    assert (row["edge_bps"], row["gross_bps"], row["fees_bps"]) == (-12.0, 18.0, 30.0)
    assert (rows["SETTLED"]["gross_bps"], rows["SETTLED"]["fees_bps"]) == (None, None)


def test_what_is_no_net_edge_is_not_called_one() -> None:
    numbers = {"open_bps": "40.0", "needs_bps": "55"}
    basis = miss("BASIS", 40.0, detector="spot_perp_basis", strategy_id="basis", context=numbers)
    carry = miss("SETTLED", 4.0, detector="funding_carry", strategy_id="carry")
    found = answer(make_facts(basis, carry, miss(edge=-3.0)))
    rows = found["funnel"]["near_misses"]
    assert [row["edge_is"] for row in rows] == ["net", "basis, before costs", "funding an hour"]
    lines = " ".join(" ".join(lines_of(found)).split())
    assert "best +40.00 bps basis, before costs" in lines
    assert "best +4.00 bps funding an hour" in lines
    alone = answer(make_facts(basis))
    assert alone["verdict"] is Verdict.WAITS, "nothing is wrong: the market does not pay"
    assert "best +40.00 bps basis, before costs, needs +55.00, lacks 15.00" in alone["sentence"]


@pytest.mark.parametrize("gate", ["CONVERSION_LOSES", "CYCLE_EDGE_MIN"])
def test_paths_that_do_not_pay_are_the_market(gate: str) -> None:
    missed = miss(gate, -3.0, detector="triangular", fees_bps=30.0)
    found = answer(make_facts(missed, needs_bps={missed.strategy_id: 2.0}))
    assert (found["verdict"], codes(make_facts(missed))) == (Verdict.WAITS, ["EDGE"])
    assert "best -3.00 bps net (gross +27.00, fees 30.00)" in found["sentence"]


def test_a_pair_has_what_was_compared_between_its_markets_in_either_direction() -> None:
    back = miss("EDGE_MIN", 1.0, buy_venue="beta", sell_venue="alpha")
    other = miss("NOT_CROSSED", -9.0, sell_venue="gamma")
    offer, elsewhere = make_opportunity(), miss("LOT", 2.0, buy_venue="gamma", sell_venue="delta")
    gone = Denied(ts_ns=T0, opportunity_id="other", reason="EDGE_MIN", context={})
    denied = Denied(ts_ns=T0, opportunity_id=offer.opportunity_id, reason="EDGE_MIN", context={})
    facts = make_facts(miss(), back, other, elsewhere, offer, gone, denied)
    venues = {leg.venue for leg in offer.legs}
    found = answer(narrow(facts, parse_pair("alpha", f"beta:{SPOT}")))["funnel"]
    assert {row["gate"] for row in found["near_misses"]} == {"FEES", "EDGE_MIN"}
    of_offer = answer(narrow(facts, parse_pair(*sorted(venues))))["funnel"]
    assert of_offer["found"]["opportunities"] == 1
    assert [(row["reason"], row["count"]) for row in of_offer["denied"]] == [("EDGE_MIN", 1)]
    assert answer(narrow(facts, parse_pair("alpha", "delta")))["funnel"]["near_misses"] == []
    lines = "\n".join(lines_of({**answer(facts), "pair": ["alpha", "beta"]}))
    assert "between alpha and beta at" in " ".join(lines.split())


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        (("", "beta"), "--pair '': give a venue or a market, like VENUE:BTC/USDT"),
        (("alpha:", "beta"), "--pair 'alpha:': give a venue or a market"),
        (("alpha:BTC", "beta"), "--pair 'alpha:BTC': "),
        ((f"alpha:{SPOT}", f"alpha:{SPOT}"), "that is one market; name two"),
        (("alpha", "nowhere"), "nothing is known of nowhere; there are alpha, beta"),
        (("alpha", "beta:XRP/USDT"), f"nothing is known of beta:XRP/USDT; there are beta:{SPOT}"),
    ],
)
def test_a_pair_that_cannot_be_is_told(pair: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        check_pair(make_facts(miss()), parse_pair(*pair))
