"""Soft limits: what is held above one is worked off by plans that reduce, and nothing else."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.market import LatestBooks
from services.risk.quote_limits import LimitsByQuote
from services.risk.reasons import DenyReason
from services.risk.reduce import ATTEMPT_NS, END_NS, STANDS_NS
from services.risk.soft_limits import Exposure, Holdings, opening_limits
from shared.config_limits import AssetLimits, QuoteLimits, RiskConfig
from shared.config_sections import Config
from shared.messages.base import Message, Side, TradingState
from shared.messages.control import Alert, CommandKind
from shared.messages.execution import ApprovedPlan, Denied, TradingStateChanged
from shared.messages.rounds import Intent
from tests.decision_builders import (
    BOOKS,
    MS,
    PERP,
    SECOND,
    SPOT,
    T0,
    feed_market,
    make_balances,
    make_command,
    make_done,
    make_fill,
    make_info,
    make_ready,
    make_risk,
    make_view,
)
from tests.unit.test_risk_rounds import approve, config, decide, execute, offer, opening, single

SHORT = f"gamma {PERP}"
LATER = T0 + SECOND


def restarted(engine: RiskEngine, whole: Config, now_ns: int = LATER) -> RiskEngine:
    """Risk with other limits, which takes up where the other one stopped."""
    return started(engine.checkpoints(), whole, now_ns)


def started(saved: dict[str, bytes], whole: Config, now_ns: int = LATER) -> RiskEngine:
    again = RiskEngine(whole)
    again.start(saved, now_ns)
    feed_market(again, now_ns)
    again.on_message(make_ready(now_ns), now_ns)
    for venue in dict.fromkeys(venue for venue, _ in BOOKS):
        again.on_message(make_balances(venue, now_ns), now_ns)
    return again


def holding(*qtys: str, **limits: Any) -> RiskEngine:
    """Rounds of spot against the perpetual, then a restart with lower limits."""
    engine = make_risk(config())
    for number, qty in enumerate(qtys):
        execute(engine, approve(engine, opening(qty, perp="10020", round_id=f"r{number}")))
    return restarted(engine, config(**{"soft_limit_share": 0.5, **limits}))


def plans_of(messages: list[Message]) -> list[ApprovedPlan]:
    return [each for each in messages if isinstance(each, ApprovedPlan)]


def alerts_of(messages: list[Message]) -> list[tuple[str, str]]:
    return [(each.code, each.text) for each in messages if isinstance(each, Alert)]


def state_of(messages: list[Message]) -> tuple[TradingState, str]:
    """What was published last."""
    state = [each for each in messages if isinstance(each, TradingStateChanged)][-1]
    return state.state, state.reason


def test_what_is_above_is_worked_off_to_nine_tenths_and_trading_goes_on() -> None:
    """0.4 at 10,020 are 4,008; soft 2,000, worked off to 1,800: 2,208 are 0.2203, and a lot."""
    engine = holding("0.4", instrument_notional_max=D(4_000))
    out = engine.on_timer(LATER).messages
    text = f"INSTRUMENT_NOTIONAL of {SHORT} 4008 USDT, soft limit 2000 of 4000"
    assert state_of(out) == (TradingState.REDUCING, f"SOFT_LIMIT: {text}")
    assert alerts_of(out) == [("SOFT_LIMIT", text)]
    (plan,) = plans_of(out)
    assert (plan.intent, plan.round_id, plan.strategy) == (Intent.CLOSE, "r0", "basis")
    assert [(leg.venue, leg.side, leg.qty) for leg in plan.legs] == [
        ("gamma", Side.BUY, D("0.221")),
        ("alpha", Side.SELL, D("0.221")),
    ]
    assert all(leg.is_limit_ioc for leg in plan.legs)
    assert plan.plan_id in engine.ledger.reservations
    out = execute(engine, plan, LATER)
    assert state_of(out) == (TradingState.ACTIVE, "")
    assert not plans_of(out)
    assert ("SOFT_LIMIT_KEPT", "all that was above a soft limit is worked off") in alerts_of(out)
    assert engine.ledger.positions[f"gamma|{PERP}"] == D("-0.179")
    assert engine.counters()["reducing_plans"] == 1


def test_below_the_soft_limit_nothing_happens() -> None:
    """0.19 at 10,020 are 1,903.8: above 1,800, where working off ends, and not above 2,000."""
    engine = holding("0.19", instrument_notional_max=D(4_000))
    out = engine.on_timer(LATER).messages
    assert state_of(out) == (TradingState.ACTIVE, "")
    assert not plans_of(out)
    assert not alerts_of(out)


def test_no_share_as_shipped_works_nothing_off() -> None:
    assert RiskConfig().soft_limit_share == 0
    engine = holding("0.4", instrument_notional_max=D(1_000), soft_limit_share=0.0)
    out = engine.on_timer(LATER).messages
    assert state_of(out) == (TradingState.ACTIVE, "")
    assert not plans_of(out)


def test_one_plan_at_a_time_of_no_more_than_an_order_may_be() -> None:
    """0.4 at 10,020 are 4,008, and 1,002 of it 0.1; three of them leave less than 1,350."""
    engine = holding("0.4", instrument_notional_max=D(3_000), order_notional_max=D(1_002))
    now_ns = LATER
    out, qtys = engine.on_timer(now_ns).messages, []
    for _ in range(10):
        if not (plans := plans_of(out)):
            break
        (plan,) = plans
        assert not plans_of(engine.on_timer(now_ns).messages), "one is in flight"
        qtys.append(plan.legs[0].qty)
        now_ns += ATTEMPT_NS
        out = execute(engine, plan, now_ns)
    assert qtys[:2] == [D("0.1"), D("0.1")]
    assert engine.ledger.positions[f"gamma|{PERP}"] == -(D("0.4") - sum(qtys))
    assert D("0.4") - sum(qtys) <= D("0.135")
    assert state_of(out) == (TradingState.ACTIVE, "")


def test_an_order_that_fills_nothing_is_sent_again() -> None:
    engine = holding("0.4", instrument_notional_max=D(4_000))
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    now_ns = LATER + ATTEMPT_NS - 1
    out = engine.on_message(make_done(plan.plan_id, now_ns), now_ns).messages
    assert not plans_of(out), "not at once: it may have been refused, and would be again"
    (again,) = plans_of(engine.on_timer(now_ns + 1).messages)
    assert again.legs == plan.legs
    assert again.plan_id != plan.plan_id


def half_worked_off() -> tuple[RiskEngine, Config]:
    """0.209 of 0.4 is closed: 0.191 at 10,001 are 1,910.191, and the soft limit is 2,000."""
    whole = config(
        soft_limit_share=0.5, instrument_notional_max=D(4_000), order_notional_max=D(2_100)
    )
    engine = make_risk(config())
    execute(engine, approve(engine, opening("0.4", perp="10020")))
    engine = restarted(engine, whole)
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    execute(engine, plan, LATER)
    assert engine.ledger.positions[f"gamma|{PERP}"] == D("-0.191")
    assert engine.ledger.above_soft
    return engine, whole


def test_a_restart_before_all_is_worked_off_goes_on_with_it() -> None:
    engine, whole = half_worked_off()
    text = f"INSTRUMENT_NOTIONAL of {SHORT} 4008 USDT, soft limit 2000 of 4000"
    again = restarted(engine, whole)
    out = again.on_timer(LATER).messages
    assert state_of(out) == (TradingState.REDUCING, f"SOFT_LIMIT: {text}")
    assert alerts_of(out) == [], "nothing is above it anew"
    (plan,) = plans_of(out)
    out = execute(again, plan, LATER)
    assert state_of(out) == (TradingState.ACTIVE, "")
    assert again.ledger.positions[f"gamma|{PERP}"] >= D("-0.1797")


def test_after_a_restart_it_is_not_worked_off_before_books_price_it() -> None:
    """The last fill was at 9,000, where 0.191 are 1,719; the book bids more."""
    engine, whole = half_worked_off()
    engine.ledger.prices[f"gamma|{PERP}"] = D(9_000)
    saved = engine.checkpoints()

    def start() -> RiskEngine:
        again = RiskEngine(whole)
        again.start(saved, LATER)
        again.on_message(make_ready(LATER), LATER)
        return again

    again = start()
    for later_ns in (0, STANDS_NS - 1):
        again.on_message(make_ready(LATER + later_ns), LATER + later_ns)
        out = again.on_timer(LATER + later_ns).messages
        assert state_of(out)[0] is TradingState.REDUCING, "no book has priced it"
    again.on_message(make_ready(LATER + STANDS_NS), LATER + STANDS_NS)
    out = again.on_timer(LATER + STANDS_NS).messages
    assert state_of(out)[0] is TradingState.ACTIVE, "it does not wait for ever"
    again = start()
    again.on_timer(LATER)
    feed_market(again, LATER)
    assert state_of(again.on_timer(LATER).messages)[0] is TradingState.REDUCING, "1,910.191 again"


def test_other_limits_after_a_restart_count_at_once() -> None:
    engine, whole = half_worked_off()
    saved = engine.checkpoints()
    risk = msgspec.structs.replace(whole.risk, instrument_notional_max=D(3_000))
    lower = msgspec.structs.replace(whole, risk=risk)
    out = started(saved, lower).on_timer(LATER).messages
    text = f"INSTRUMENT_NOTIONAL of {SHORT} 1910.191 USDT, soft limit 1500 of 3000"
    assert state_of(out) == (TradingState.REDUCING, f"SOFT_LIMIT: {text}")
    assert alerts_of(out) == [("SOFT_LIMIT", text)]
    for changes in ({"instrument_notional_max": D(9_000)}, {"soft_limit_share": 0.0}):
        risk = msgspec.structs.replace(whole.risk, **changes)
        out = started(saved, msgspec.structs.replace(whole, risk=risk)).on_timer(LATER).messages
        assert state_of(out) == (TradingState.ACTIVE, "")


def test_nothing_is_opened_meanwhile_nor_beyond_nine_tenths_afterwards() -> None:
    engine = holding("0.4", instrument_notional_max=D(4_000))
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    answer = decide(engine, opening("0.1", round_id="new"), LATER)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.REDUCING
    execute(engine, plan, LATER)
    answer = decide(engine, opening("0.1", perp="10020", round_id="new"), LATER)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.INSTRUMENT_NOTIONAL
    assert (D(answer.context["max"]), D(answer.context["notional"])) == (1_800, D("2795.58"))


def test_the_largest_part_is_closed_first() -> None:
    engine = holding("0.1", "0.3", instrument_notional_max=D(4_000))
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    assert plan.round_id == "r1"


def test_a_round_that_holds_against_the_position_is_left_alone() -> None:
    """0.3 short and 0.1 long are 0.2 short: closing the long one would make it more."""
    engine = make_risk(config())
    execute(engine, approve(engine, opening("0.3", perp="10020", round_id="short")))
    execute(engine, approve(engine, single(Side.BUY, "0.1", Intent.OPEN, round_id="long")))
    engine = restarted(engine, config(soft_limit_share=0.5, instrument_notional_max=D(2_000)))
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    assert plan.round_id == "short"


def test_what_no_round_holds_is_said_once_and_left_to_an_operator() -> None:
    engine = make_risk(config(soft_limit_share=0.5, net_notional_max=D(1_000)))
    engine.on_message(make_fill("p", "alpha", Side.BUY, "0.1"), T0)
    out = engine.on_timer(LATER).messages
    assert [code for code, _ in alerts_of(out)] == ["SOFT_LIMIT"]
    codes: list[str] = []
    for second in range(1, 10):
        now_ns = LATER + second * SECOND
        engine.on_message(make_ready(now_ns), now_ns)
        out = engine.on_timer(now_ns).messages
        codes += [code for code, _ in alerts_of(out)]
        assert state_of(out)[0] is TradingState.REDUCING
    assert codes == ["SOFT_LIMIT_STANDS"]


def test_a_loss_keeps_it_from_trading_on_by_itself() -> None:
    """Fees of 2 are lost by opening at the closing prices, 2 more by working off: 3 are allowed."""
    engine = make_risk(config())
    execute(engine, approve(engine, opening("0.4", spot="9999", perp="10001")))
    limits = {"soft_limit_share": 0.5, "instrument_notional_max": D(4_000)}
    engine = restarted(engine, config(**limits, daily_loss_max=D(3)))
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    out = execute(engine, plan, LATER + MS)
    assert not engine.ledger.above_soft
    state, reason = state_of(out)
    assert state is TradingState.REDUCING, "what is left may still be closed"
    assert reason.startswith("DAILY_LOSS")
    state, reason = state_of(engine.on_timer(LATER + SECOND).messages)
    assert state is TradingState.REDUCING


def test_a_halt_of_an_operator_stops_it() -> None:
    engine = holding("0.4", instrument_notional_max=D(4_000))
    engine.on_message(make_command(CommandKind.HALT, now_ns=LATER), LATER)
    out = engine.on_timer(LATER).messages
    assert not [each for each in out if isinstance(each, ApprovedPlan | Denied)]
    assert state_of(out)[0] is TradingState.HALTED


def test_legs_of_unlike_least_orders_are_closed_together() -> None:
    """204 above and a lot are 0.0213, of which the perpetual takes none below 600."""
    engine = holding("0.2", instrument_notional_max=D(4_000))
    engine.on_message(make_info("gamma", PERP, notional_min=D(600)), LATER)
    out = engine.on_timer(LATER).messages
    assert not [each for each in out if isinstance(each, Denied)]
    (plan,) = plans_of(out)
    assert [(leg.venue, leg.qty) for leg in plan.legs] == [
        ("gamma", D("0.085")),
        ("alpha", D("0.085")),
    ]


def test_nothing_is_left_that_a_venue_would_not_take() -> None:
    """507 above and a lot are 0.0516, which leaves 490: no venue takes less than 500."""
    engine = holding("0.1", instrument_notional_max=D(1_100))
    for venue, instrument in (("alpha", SPOT), ("gamma", PERP)):
        engine.on_message(make_info(venue, instrument, notional_min=D(500)), LATER)
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    assert [leg.qty for leg in plan.legs] == [D("0.1"), D("0.1")]


def test_a_coarse_lot_leaves_a_round_no_less_hedged() -> None:
    """0.633 of 0.25 and of three lots of 0.1 are 0.158 and one lot: 0.108 would be unhedged."""
    engine = make_risk(config(edge_bps_max=3_000.0))
    engine.on_message(make_info("gamma", PERP, lot_size=D("0.1"), qty_min=D("0.1")), T0)
    legs = ("alpha", Side.BUY, "0.25", "10001"), ("gamma", Side.SELL, "0.3", "10020")
    execute(engine, approve(engine, offer(*legs, intent=Intent.OPEN, round_id="r0")))
    engine = restarted(engine, config(soft_limit_share=0.5, instrument_notional_max=D(4_676)))
    engine.on_message(make_info("gamma", PERP, lot_size=D("0.1"), qty_min=D("0.1")), LATER)
    out = engine.on_timer(LATER).messages
    assert not [each for each in out if isinstance(each, Denied)]
    (plan,) = plans_of(out)
    assert [leg.qty for leg in plan.legs] == [D("0.3"), D("0.25")]


def test_a_close_that_does_not_end_is_not_waited_for_for_ever() -> None:
    """Its venue stands down: another round is closed in its place."""
    engine = holding("0.3", "0.2", instrument_notional_max=D(4_000))
    (stuck,) = plans_of(engine.on_timer(LATER).messages)
    assert stuck.round_id == "r0"
    other: list[ApprovedPlan] = []
    for second in range(1, 13):
        now_ns = LATER + second * SECOND
        feed_market(engine, now_ns)
        engine.on_message(make_ready(now_ns), now_ns)
        other += plans_of(engine.on_timer(now_ns).messages)
    assert [each.round_id for each in other] == ["r1"]
    assert other[0].ts_ns - stuck.ts_expire_ns >= END_NS


def test_no_more_is_closed_than_the_book_shows_within_its_band() -> None:
    """0.05 at 10,001 and 0.5 at 2 % more, of which evening out may cost 0.5 %."""
    engine = holding("0.4", instrument_notional_max=D(4_000))
    thin = make_view(
        "gamma", PERP, bids=[(9_999.0, 1.0)], asks=[(10_001.0, 0.05), (10_201.0, 0.5)], seq=9
    )
    engine.on_message(msgspec.structs.replace(thin, ts_ns=LATER), LATER)
    (plan,) = plans_of(engine.on_timer(LATER).messages)
    assert [leg.qty for leg in plan.legs] == [D("0.05"), D("0.05")]
    assert plan.legs[0].price_limit == D("10001")


def test_a_round_that_cannot_be_closed_is_offered_once_a_second() -> None:
    """Not once for each of the three limits that it holds of."""
    limits = {f"{name}_notional_max": D(4_000) for name in ("instrument", "venue", "total")}
    engine = holding("0.4", **limits)
    engine.on_message(make_ready(LATER, venues_down={"gamma": "it answers nothing"}), LATER)
    out = engine.on_timer(LATER).messages
    assert [each.reason for each in out if isinstance(each, Denied)] == ["VENUE_DOWN"]


def show_no_offers(engine: RiskEngine, now_ns: int) -> None:
    """For a moment the perpetual is offered at twice its price only; bids stay."""
    thin = make_view("gamma", PERP, asks=[(20_000.0, 1.0)], seq=9, ts_ns=now_ns)
    engine.on_message(thin, now_ns)


def test_a_price_that_nobody_pays_makes_no_exposure() -> None:
    """0.19 are 1,903.8 of 2,000, and not 3,800."""
    engine = holding("0.19", instrument_notional_max=D(4_000))
    show_no_offers(engine, LATER)
    out = engine.on_timer(LATER).messages
    assert state_of(out) == (TradingState.ACTIVE, "")
    assert not plans_of(out)


def test_nothing_is_closed_at_a_price_far_from_the_middle() -> None:
    engine = holding("0.4", instrument_notional_max=D(4_000))
    show_no_offers(engine, LATER)
    assert not plans_of(engine.on_timer(LATER).messages)
    now_ns = LATER + SECOND
    feed_market(engine, now_ns)
    engine.on_message(make_ready(now_ns), now_ns)
    assert plans_of(engine.on_timer(now_ns).messages)


def test_a_book_that_is_not_live_closes_nothing() -> None:
    engine = holding("0.4", instrument_notional_max=D(4_000))
    late = LATER + 5 * SECOND
    engine.on_message(make_ready(late), late)
    out = engine.on_timer(late).messages
    assert not plans_of(out)
    assert state_of(out)[0] is TradingState.REDUCING


def exposures(engine: RiskEngine, **limits: Any) -> dict[str, Exposure]:
    whole = config(**limits)
    strategies = [msgspec.structs.replace(each, notional_max=D(1)) for each in whole.strategies]
    held = Holdings(engine.ledger, LatestBooks().views)
    found = held.exposures(LimitsByQuote(whole.risk), strategies)
    return {f"{each.code} {each.subject}".strip(): each for each in found}


def test_every_exposure_is_worked_out_with_whose_it_is() -> None:
    """0.2 of spot at 10,001 against 0.2 at 10,020, and 0.05 long alone at 10,001."""
    engine = make_risk(config())
    execute(engine, approve(engine, opening("0.2", perp="10020", round_id="a")))
    execute(engine, approve(engine, single(Side.BUY, "0.05", Intent.OPEN, round_id="b")))
    own = {"BTC": AssetLimits(net_max=D(1), gross_max=D(1))}
    found = exposures(engine, net_notional_max=D(1), per_asset=own)
    told = {name: (each.held, each.by_round) for name, each in found.items()}
    a, b = "basis|a", "basis|b"
    assert told == {
        f"INSTRUMENT_NOTIONAL {SHORT}": (D("1500.15"), {a: D("1500.15")}),
        "VENUE_NOTIONAL gamma": (D("1500.15"), {a: D("1500.15")}),
        "TOTAL_NOTIONAL": (D("1500.15"), {a: D("1500.15")}),
        "NET_NOTIONAL": (D("500.05"), {b: D("500.05")}),
        "STRATEGY_NOTIONAL basis": (D("2500.25"), {a: D("2000.2"), b: D("500.05")}),
        "STRATEGY_NOTIONAL other": (D(0), {}),
        "ASSET_NET BTC": (D("0.05"), {b: D("0.05")}),
        "ASSET_GROSS BTC": (D("0.35"), {a: D("0.35")}),
    }


def test_rounds_that_hold_against_each_other_hold_nothing_together() -> None:
    """0.05 of the perpetual long and short: the spot of one of them is all that is held."""
    engine = make_risk(config())
    execute(engine, approve(engine, opening("0.05", perp="10020", round_id="a")))
    execute(engine, approve(engine, single(Side.BUY, "0.05", Intent.OPEN, round_id="b")))
    own = {"BTC": AssetLimits(net_max=D(1), gross_max=D(1))}
    found = exposures(engine, per_asset=own)
    told = {name: (each.held, each.by_round) for name, each in found.items()}
    assert told[f"INSTRUMENT_NOTIONAL {SHORT}"] == (D(0), {})
    assert told["ASSET_GROSS BTC"] == (D("0.05"), {"basis|a": D("0.05")})


@pytest.mark.parametrize("name", ["instrument", "venue", "total", "net"])
def test_openings_keep_below_what_is_worked_off(name: str) -> None:
    limit = f"{name}_notional_max"
    own = QuoteLimits(
        order_notional_max=D(1),
        instrument_notional_max=D(100),
        venue_notional_max=D(100),
        total_notional_max=D(100),
        net_notional_max=D(100),
        daily_loss_max=D(5),
    )
    given = RiskConfig(
        soft_limit_share=0.8,
        per_quote={"EUR": own},
        per_asset={"BTC": AssetLimits(net_max=D(2), gross_max=D(10))},
        **{limit: D(1_000)},
    )
    made = opening_limits(given)
    assert getattr(made, limit) == 720
    assert getattr(made.per_quote["EUR"], limit) == 72
    assert made.per_asset["BTC"] == AssetLimits(net_max=D("1.44"), gross_max=D("7.2"))
    assert (made.order_notional_max, made.per_quote["EUR"].daily_loss_max) == (10_000, 5)
    assert opening_limits(RiskConfig()) == RiskConfig()
