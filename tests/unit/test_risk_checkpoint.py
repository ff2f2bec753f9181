"""Risk's checkpoint: what is saved when, what is refused, and what older programs wrote."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import msgspec
import pytest
from msgspec.structs import replace

from services.risk.checkpoint import DECIDED, LEDGER, CheckpointWriter, RiskState
from services.risk.engine import RiskEngine
from services.risk.exposure import PLANS_REMEMBERED_MAX, Ledger
from services.risk.settling import BALANCE_LAG_NS
from services.risk.trading import PLAN_OVERDUE_NS
from shared.domain.accounting import Books
from shared.domain.ownership import OrdersOnRecord
from shared.domain.strategy_books import UNKNOWN, StrategyBooks
from shared.errors import CodecError
from shared.messages.base import Certainty, Side, TradingState
from shared.messages.control import Alert, CommandKind, Severity
from shared.messages.execution import ApprovedPlan, Fill, TradingStateChanged
from tests.decision_builders import (
    BOOKS,
    MS,
    SECOND,
    T0,
    announce,
    feed_market,
    make_balances,
    make_command,
    make_config,
    make_done,
    make_fill,
    make_opportunity,
    make_ready,
    make_risk,
)

BOTH = {DECIDED, LEDGER}
DAY = 86_400 * SECOND

WHOLE = (
    b'{"version":1,"ledger":{"positions":{"alpha|BTC/USDT":"0.15","beta|BTC/USDT":"-0.1"},'
    b'"prices":{"alpha|BTC/USDT":"10000","beta|BTC/USDT":"10000"},"exposure":{"BTC":"0.05"},'
    b'"balances":{"alpha":{"ts_ns":1700000000000000000,"free":{"BTC":"10","USDT":"100000"}},'
    b'"beta":{"ts_ns":1700000000000000000,"free":{"BTC":"10","USDT":"100000"}},'
    b'"gamma":{"ts_ns":1700000000000000000,"free":{"BTC":"10","USDT":"100000"}}},'
    b'"settling":{"alpha":{"USDT":{"amount":"1001.00000","ts_ns":1700000000000000005}},'
    b'"beta":{"BTC":{"amount":"0.1","ts_ns":1700000000000000005}}},'
    b'"reservations":{"81e7c35b77f9":{"plan_id":"81e7c35b77f9",'
    b'"opportunity_id":"adca673dcc69de44","quote":"USDT","notional":"1005.00",'
    b'"loss_cap":"5.02500000","legs":[{"venue":"alpha","instrument":"BTC/USDT","side":"buy",'
    b'"qty":"0.1","notional":"1000.00","asset":"USDT","amount":"1001.00000"},{"venue":"beta",'
    b'"instrument":"BTC/USDT","side":"sell","qty":"0.1","notional":"1005.00","asset":"BTC",'
    b'"amount":"0.1"}],"ts_expire_ns":1700000001000000000,"is_overdue":false,'
    b'"ts_fill_ns":{"alpha":1700000000000000009}}},"realized":{"USDT":"1.5"},'
    b'"fees":{"USDT":"0.5"},"day":19675,"realized_today":{"USDT":"1.5"},"certainty":"known",'
    b'"fills_seen":{"1e204154e43c1a1a":true,"1974c0ce392dcd82":false,"0746681ea2270b30":true},'
    b'"plans_ended":{"3274ab6c5ece":true},"approved":{"037693aba4c45050":true,'
    b'"adca673dcc69de44":true}},"trading":{"level":"HALTED",'
    b'"level_reason":"OPERATOR: HALT by ann","trips":{},"refused":"","said":"HALTED",'
    b'"said_reason":"OPERATOR: HALT by ann","ts_since_ns":1700000000000000000}}'
)
"""What a program of version 1 saved after ``story``."""


def image(state: RiskState) -> bytes:
    """The state to the last bit, the order of what is forgotten first included."""
    return msgspec.json.encode(state)


def approve(engine: RiskEngine, seq: int, now_ns: int = T0) -> ApprovedPlan:
    out = engine.on_message(make_opportunity(seq=seq, now_ns=now_ns), now_ns).messages
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    return plan


def fills_of(first: str, second: str) -> list[Fill]:
    """What two plans have traded; a fee is not told."""
    return [
        make_fill(first, "alpha", Side.BUY, ts_ns=T0 + 5),
        make_fill(first, "beta", Side.SELL, fee=None, fee_asset="", ts_ns=T0 + 5),
        make_fill(second, "alpha", Side.BUY, "0.05", ts_ns=T0 + 9),
    ]


def story() -> RiskEngine:
    """One plan over but for a fee, one half filled, and an operator who has seen enough."""
    engine = make_risk()
    plan = approve(engine, 1)
    announce(engine, plan)
    first = plan.plan_id
    bought, sold, _ = fills_of(first, "")
    engine.on_message(bought, T0)
    engine.on_message(sold, T0)
    engine.on_message(make_done(first, T0 + 6), T0)
    plan = approve(engine, 2)
    announce(engine, plan)
    engine.on_message(fills_of(first, plan.plan_id)[2], T0)
    engine.on_message(make_command(CommandKind.HALT), T0)
    return engine


def story_of_version_1() -> RiskState:
    """Without what version 1 did not remember."""
    state = story().state
    state.trading.command_ns, state.trading.command_ids = 0, []
    return state


def same_but_accounts(restored: Ledger, known: Ledger) -> None:
    """An older version kept no cost: what it held counts at the last price, as an estimate."""
    assert restored.positions == known.positions
    assert restored.exposure == known.exposure
    result = restored.books.results["USDT"]
    assert (result.realized, result.fees) == (D("1.5"), D("0.5"))
    assert result.certainty is Certainty.ESTIMATED
    assert restored.realized_today("USDT") == D("1.5")
    holding = restored.books.holdings["BTC/USDT"]
    assert (holding.qty, holding.cost) == (D("0.05"), D(500))
    for older in known.reservations.values():
        older.strategy = ""  # nor did it know whose plan it was
    assert restored.strategies.accounts == {UNKNOWN: restored.books}
    without = {
        "books": Books(),
        "realized_at_midnight": {},
        "orders": OrdersOnRecord(),
        "strategies": StrategyBooks(),
        "equity": {},
        "fills_seen": {},
    }
    assert list(restored.fills_seen.values()) == list(known.fills_seen.values())
    first, second = known.plans_ended | dict.fromkeys(known.reservations)
    for told in fills_of(first, second):
        assert not restored.apply_fill(told), "by whatever name it is remembered"
    assert replace(restored, **without) == replace(known, **without)
    (held,) = known.reservations
    assert (list(restored.orders.open), list(restored.orders.ended)) == (
        [held],
        list(known.plans_ended),
    )
    late = make_fill(held, "alpha", Side.BUY, "0.05", trade_id="late")
    assert not restored.ownership_flaw(late), "its order was announced to the older program"
    assert restored.ownership_flaw(replace(late, plan_id="other"))


def test_version_2_is_restored_with_its_accounts_estimated() -> None:
    whole = msgspec.json.decode(WHOLE)
    decided = {
        "version": 2,
        "ledger": 7,
        "reservations": whole["ledger"].pop("reservations"),
        "approved": [],
        "trading": whole["trading"],
    }
    saved = {
        DECIDED: msgspec.json.encode(decided),
        LEDGER: msgspec.json.encode({"number": 7, "ledger": whole["ledger"]}),
    }
    same_but_accounts(CheckpointWriter().join(saved).ledger, story().ledger)


def test_version_1_is_restored_as_it_was() -> None:
    engine = RiskEngine(make_config())
    engine.start({DECIDED: WHOLE}, T0)
    same_but_accounts(engine.ledger, story().ledger)
    saved = engine.checkpoints()
    assert set(saved) == BOTH, "from now on in two parts"
    assert image(CheckpointWriter().join(saved)) == image(engine.state)


def test_version_1_does_not_join_a_ledger_that_a_newer_program_left() -> None:
    left = make_risk().checkpoints()[LEDGER]
    restored = CheckpointWriter().join({DECIDED: WHOLE, LEDGER: left})
    same_but_accounts(restored.ledger, story().ledger)
    assert restored.trading == story_of_version_1().trading


def test_a_program_of_version_1_refuses_version_2() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.ledger"):
        msgspec.json.decode(story().checkpoints()[DECIDED], type=RiskState)


def test_a_wrong_checkpoint_is_refused() -> None:
    good = make_risk().checkpoints()
    for state in (b"", b"{", b"[]", b"\xff", b'{"ledger": 3}', b'{"version": 8}'):
        for others in ({}, {LEDGER: good[LEDGER]}):
            with pytest.raises(CodecError, match="checkpoint of risk"):
                RiskEngine(make_config()).start({**others, DECIDED: state}, T0)


def test_a_checkpoint_without_one_of_its_parts_halts_until_an_operator_resumes() -> None:
    good = make_risk().checkpoints()
    for name in BOTH:
        engine = RiskEngine(make_config())
        out = engine.start({name: good[name]}, T0).messages
        assert [(m.code, m.severity) for m in out if isinstance(m, Alert)] == [
            ("DATA_LOST", Severity.CRITICAL)
        ]
        (change,) = [m for m in out if isinstance(m, TradingStateChanged)]
        assert change.state is TradingState.HALTED
        assert change.reason.startswith("DATA_LOST: the checkpoint of risk has lost its part")
        assert set(engine.checkpoints()) == BOTH, "the halt is saved"
        feed_market(engine, T0)
        engine.on_message(make_ready(T0), T0)
        for venue in ("alpha", "beta", "gamma"):
            engine.on_message(make_balances(venue, T0), T0)
        assert engine.state.trading.published is TradingState.HALTED
        engine.on_message(make_command(CommandKind.RESUME), T0)
        assert engine.state.trading.published is TradingState.ACTIVE


def test_parts_of_different_states_do_not_join() -> None:
    engine = make_risk()
    before = engine.checkpoints()
    engine.on_message(make_balances("alpha", T0 + 1), T0)
    after = engine.checkpoints()
    assert set(after) == BOTH
    for torn in ({**before, LEDGER: after[LEDGER]}, {**after, LEDGER: before[LEDGER]}):
        with pytest.raises(CodecError, match="builds on ledger"):
            CheckpointWriter().join(torn)


def test_numbers_go_on_after_a_restart() -> None:
    """Else the first save of the new process could be taken for one of the old."""
    engine = make_risk()
    saved = engine.checkpoints()
    other = RiskEngine(make_config())
    other.checkpoints()
    other.start(saved, T0)
    anew = other.checkpoints()
    assert set(anew) == BOTH, "what it had before is forgotten"
    with pytest.raises(CodecError, match="builds on ledger 1, found 2"):
        CheckpointWriter().join({**saved, LEDGER: anew[LEDGER]})


def test_what_changes_nothing_saves_nothing_and_an_approval_saves_little() -> None:
    engine = make_risk()
    engine.on_timer(T0)
    assert set(engine.checkpoints()) == BOTH
    assert engine.checkpoints() == {}
    engine.on_timer(T0 + SECOND)
    feed_market(engine, T0 + 1)
    engine.on_message(make_ready(T0 + 1), T0 + 1)
    engine.on_message(make_opportunity(qty=9.0), T0)
    assert engine.checkpoints() == {}, "a denial, market data and what is said every second"
    plan = approve(engine, 1)
    assert set(engine.checkpoints()) == {DECIDED}
    assert engine.checkpoints() == {}
    for _ in range(2):
        announce(engine, plan)
    assert set(engine.checkpoints()) == BOTH, "orders that fills will belong to"
    announce(engine, plan)
    assert engine.checkpoints() == {}
    fill = make_fill(plan.plan_id, "alpha", Side.BUY)
    done = make_done(plan.plan_id)
    engine.on_message(make_ready(T0 + 1, ready=False), T0 + 1)
    assert set(engine.checkpoints()) == {DECIDED}, "the trading state that was said"
    for message in (fill, done, make_balances("beta", T0 + 2), make_command(CommandKind.RESUME)):
        engine.on_message(message, T0 + 2)
        assert set(engine.checkpoints()) == BOTH, message
    for message in (fill, done):
        engine.on_message(message, T0 + 2)
        assert engine.checkpoints() == {}, "a repeat"
    engine.on_timer((T0 // DAY + 1) * DAY)
    assert set(engine.checkpoints()) == BOTH, "a new day"


def test_plans_that_never_end_are_saved_as_overdue_and_as_released() -> None:
    engine = make_risk()
    late = approve(engine, 1).ts_expire_ns + PLAN_OVERDUE_NS + 1
    engine.on_message(make_opportunity(sell=BOOKS[3], now_ns=T0 + MS), T0 + MS)
    assert len(engine.ledger.reservations) == 2
    saved = engine.checkpoints()
    steps: list[Callable[[], object]] = [
        lambda: engine.on_timer(late).messages,
        lambda: engine.on_timer(late + MS).messages,  # the second one changes nothing that is said
        lambda: engine.on_message(make_ready(late), late + MS).messages,
        lambda: engine.on_message(make_command(CommandKind.RESUME), late + MS).messages,
    ]
    for step in steps:
        step()
        saved |= engine.checkpoints()
        assert image(CheckpointWriter().join(saved)) == image(engine.state)
    assert not engine.ledger.reservations


def test_approvals_beyond_the_bound_are_forgotten_in_the_same_order() -> None:
    engine = make_risk(make_config(plans_in_flight_max=1_000))
    saved = engine.checkpoints()
    count = PLANS_REMEMBERED_MAX + 10
    for seq in range(count):
        plan = approve(engine, seq)
        engine.ledger.reservations.clear()  # as if the pair were free again
        saved.update(engine.checkpoints())
    assert image(CheckpointWriter().join(saved)) == image(engine.state)
    assert list(engine.ledger.approved)[-1] == plan.opportunity_id
    assert len(engine.ledger.approved) == PLANS_REMEMBERED_MAX


def test_checkpoint_stays_small() -> None:
    """The small part is written with every decision, the ledger with every fill."""
    engine, now_ns = make_risk(), T0
    for number in range(600):
        now_ns += 10 * MS
        feed_market(engine, now_ns)
        engine.on_message(make_ready(now_ns), now_ns)
        plan = approve(engine, number, now_ns)
        announce(engine, plan, now_ns)
        for venue, side in (("alpha", Side.BUY), ("beta", Side.SELL)):
            engine.on_message(make_fill(plan.plan_id, venue, side, ts_ns=now_ns, fee=D(0)), now_ns)
            engine.on_message(make_balances(venue, now_ns + BALANCE_LAG_NS), now_ns)
        engine.on_message(make_done(plan.plan_id, now_ns, realized=D("0.1")), now_ns)
    approve(engine, 600, now_ns)
    saved = engine.checkpoints()
    assert len(saved[DECIDED]) < 1_500
    assert len(saved[LEDGER]) < 40_000
