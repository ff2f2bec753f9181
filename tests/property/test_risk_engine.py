"""Risk under any interleaving of opportunities, fills, ends, commands, repeats and restarts."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.risk.checkpoint import CheckpointWriter
from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from shared import codec
from shared.domain.instrument import split_instrument
from shared.messages.base import Message, Side, TradingState
from shared.messages.control import CommandKind
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    Fill,
    PlanDone,
    PlanOutcome,
    RiskReport,
    TradingStateChanged,
)
from shared.streams import STREAM_OF
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

DAY = 86_400 * SECOND
START = (T0 // DAY + 1) * DAY - 2 * SECOND
"""Some runs see a new day, and none lasts so long that a plan is overdue."""
LIMITS: dict[str, Any] = {
    "order_notional_max": D(3_000),
    "instrument_notional_max": D(4_000),
    "venue_notional_max": D(5_000),
    "total_notional_max": D(6_000),
    "daily_loss_max": D(60),
    "plans_in_flight_max": 3,
}
PAIRS = [(a, b) for a in BOOKS for b in BOOKS if a != b]
FUNDS = {"USDT": 20_000, "BTC": 1}


def image(state: object) -> bytes:
    """A state to the last bit, the order of what is forgotten first included."""
    return msgspec.json.encode(state)


class RiskMachine(RuleBasedStateMachine):
    """A model of the plans in flight beside the engine; the engine may die after any commit.

    ``saved`` is what the bus keeps. A commit covers one step or, in some runs, any number of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config = make_config(**LIMITS)
        self.now_ns = START
        self.engine = make_risk(self.config, START)
        self.saved: dict[str, bytes] = {}
        self.commits_every_step = True
        self.open: dict[str, ApprovedPlan] = {}
        self.ended: list[PlanDone] = []
        self.fills: list[Fill] = []
        self.exposure = D(0)
        self.seq = 0
        self.halted_by_accident = False

    @initialize(commits_every_step=st.booleans())
    def fund(self, commits_every_step: bool) -> None:
        self.commits_every_step = commits_every_step
        for venue, _ in BOOKS:
            self.send(make_balances(venue, self.now_ns, **FUNDS))

    def send(self, message: Message) -> list[Message]:
        out = list(self.engine.on_message(message, self.now_ns).messages)
        self.check(out)
        return out

    def check(self, out: list[Message]) -> None:
        for message in out:
            codec.encode(STREAM_OF[type(message)], [message])
            if isinstance(message, Denied):
                assert message.reason in set(DenyReason)
            if isinstance(message, RiskReport):
                assert message.plans_in_flight == len(self.open)
            if isinstance(message, TradingStateChanged) and self.halted_by_accident:
                assert message.state is TradingState.HALTED

    @rule(
        pair=st.sampled_from(PAIRS),
        qty=st.sampled_from([1, 40, 90, 130, 190, 310]),
        bid=st.sampled_from([10_030, 10_060, 10_200, 10_800]),
    )
    def opportunity(self, pair: Any, qty: int, bid: int) -> None:
        self.seq += 1
        buy, sell = pair
        found = make_opportunity(
            buy=buy, sell=sell, bid=float(bid), qty=qty / 1000, seq=self.seq, now_ns=self.now_ns
        )
        out = self.send(found)
        decided = [m for m in out if isinstance(m, ApprovedPlan | Denied)]
        assert len(decided) == 1
        if isinstance(decided[0], ApprovedPlan):
            plan = decided[0]
            assert plan.plan_id not in self.open
            assert not self.halted_by_accident
            self.open[plan.plan_id] = plan
            announce(self.engine, plan, self.now_ns)
            self.check_limits(plan)

    def check_limits(self, plan: ApprovedPlan) -> None:
        """Worked out anew from the plans in flight: no approval exceeds a limit."""
        config = self.config.risk
        plans = list(self.open.values())
        worth = {
            (p.plan_id, n): leg.qty * max(leg.price_limit, leg.price_expected)
            for p in plans
            for n, leg in enumerate(p.legs)
        }
        assert len(plans) <= config.plans_in_flight_max
        assert max(worth.values()) <= config.order_notional_max
        total = sum(max(worth[p.plan_id, 0], worth[p.plan_id, 1]) for p in plans)
        assert total <= config.total_notional_max
        pairs = [tuple((leg.venue, leg.instrument) for leg in p.legs) for p in plans]
        assert len(set(pairs)) == len(pairs)
        for venue, instrument in BOOKS:
            mine = [
                (worth[p.plan_id, n], leg)
                for p in plans
                for n, leg in enumerate(p.legs)
                if leg.venue == venue
            ]
            if split_instrument(instrument).settle is None:
                assert sum(w for w, _ in mine) <= config.instrument_notional_max
            spot = [(w, leg) for w, leg in mine if ":" not in leg.instrument]
            sells = sum(leg.qty for _, leg in spot if leg.side is Side.SELL)
            buys = sum(w for w, leg in spot if leg.side is Side.BUY)
            assert sells <= FUNDS["BTC"]
            assert buys * D("1.001") <= FUNDS["USDT"]

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def fill(self, data: st.DataObject) -> None:
        plan = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        leg = data.draw(st.sampled_from(plan.legs))
        fill = make_fill(
            plan.plan_id,
            leg.venue,
            leg.side,
            str(leg.qty),
            ts_ns=self.now_ns,
            instrument=leg.instrument,
            trade_id=f"{plan.plan_id}{leg.side}",
        )
        if fill.trade_id not in {f.trade_id for f in self.fills}:
            self.exposure += leg.qty if leg.side is Side.BUY else -leg.qty
        self.fills.append(fill)
        self.send(fill)

    @precondition(lambda self: self.fills)
    @rule(data=st.data())
    def repeat_fill(self, data: st.DataObject) -> None:
        self.send(data.draw(st.sampled_from(self.fills)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), realized=st.integers(-30, 30), bad=st.booleans())
    def end(self, data: st.DataObject, realized: int, bad: bool) -> None:
        plan_id = data.draw(st.sampled_from(sorted(self.open)))
        outcome = PlanOutcome.FAILED if bad and realized < -25 else PlanOutcome.HEDGED
        done = make_done(plan_id, self.now_ns, realized=D(realized), outcome=outcome)
        del self.open[plan_id]
        self.ended.append(done)
        self.halted_by_accident |= outcome is PlanOutcome.FAILED
        self.send(done)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def repeat_end(self, data: st.DataObject) -> None:
        before = image(self.engine.state)
        self.engine.on_message(data.draw(st.sampled_from(self.ended)), self.now_ns)
        assert image(self.engine.state) == before

    @rule(venue=st.sampled_from([venue for venue, _ in BOOKS]))
    def balances(self, venue: str) -> None:
        self.send(make_balances(venue, self.now_ns, **FUNDS))

    @rule(kind=st.sampled_from([*CommandKind, *[CommandKind.RESUME] * 5]))
    def command(self, kind: CommandKind) -> None:
        if kind is CommandKind.RESUME:
            self.halted_by_accident = False  # only a daily loss may hold it now
        self.send(make_command(kind, self.now_ns))

    @rule(ms=st.integers(1, 900))
    def pass_time(self, ms: int) -> None:
        self.now_ns += ms * MS
        feed_market(self.engine, self.now_ns)
        self.send(make_ready(self.now_ns))
        self.check(list(self.engine.on_timer(self.now_ns).messages))
        deadline_ns = self.engine.next_deadline_ns()
        assert deadline_ns is None or deadline_ns > self.now_ns

    @rule()
    def commit(self) -> None:
        """What was saved, now or earlier, joins to the state that is, and is not saved again."""
        self.saved.update(self.engine.checkpoints())
        assert image(CheckpointWriter().join(self.saved)) == image(self.engine.state)
        assert self.engine.checkpoints() == {}

    @rule()
    def kill(self) -> None:
        """Only the checkpoint is left; restoring it changes nothing but the state it says."""
        self.commit()
        before, self.engine = self.engine, RiskEngine(self.config)
        published = list(self.engine.start(self.saved, self.now_ns).messages)
        assert image(self.engine.ledger) == image(before.ledger)
        if not published:
            assert image(self.engine.state) == image(before.state)
        self.check(published)
        feed_market(self.engine, self.now_ns)
        self.send(make_ready(self.now_ns))

    @invariant()
    def reservations_are_the_plans_in_flight(self) -> None:
        ledger = self.engine.ledger
        assert list(ledger.reservations) == list(self.open)
        expected = sum(
            max(leg.qty * max(leg.price_limit, leg.price_expected) for leg in plan.legs)
            for plan in self.open.values()
        )
        assert ledger.reserved_by_quote() == ({"USDT": expected} if self.open else {})
        for venue, _ in BOOKS:
            for asset in FUNDS:
                reserved = ledger.reserved_amount(venue, asset)
                assert reserved >= 0
                if not self.open:
                    assert reserved == 0

    @invariant()
    def exposure_is_the_sum_of_distinct_fills(self) -> None:
        assert self.engine.ledger.exposure.get("BTC", D(0)) == self.exposure

    @invariant()
    def committed_state_is_the_state(self) -> None:
        if self.commits_every_step:
            self.commit()


RiskMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestRiskMachine = RiskMachine.TestCase


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(PAIRS),
            st.integers(1, 300),
            st.sampled_from("-fed"),
            st.booleans(),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_same_inputs_same_bytes_with_or_without_a_restart(steps: list[Any]) -> None:
    """Decisions do not depend on the process's age, only on what it was told.

    After the opportunity a plan is left alone, filled, ended, or both in two commits; any commit
    may be the process's last.
    """

    def run(restarts: bool) -> tuple[bytes, bytes]:
        config = make_config(**LIMITS)
        engine, wire, saved = make_risk(config), b"", {}
        for number, (pair, qty, fate, commits, dies) in enumerate(steps):
            now_ns = T0 + number * MS
            if commits or dies:
                saved |= engine.checkpoints()
            if dies and restarts:
                engine = RiskEngine(config)
                engine.start(saved, now_ns)
                feed_market(engine, now_ns)
                engine.on_message(make_ready(now_ns), now_ns)
            found = make_opportunity(
                buy=pair[0], sell=pair[1], qty=qty / 1000, seq=number, now_ns=now_ns
            )
            out = [
                m
                for m in engine.on_message(found, now_ns).messages
                if isinstance(m, ApprovedPlan | Denied)
            ]
            wire += codec.encode(STREAM_OF[type(out[0])], out)
            if not isinstance(out[0], ApprovedPlan):
                continue
            if fate in "fd":
                announce(engine, out[0], now_ns)
                for leg in out[0].legs:
                    fill = make_fill(
                        out[0].plan_id,
                        leg.venue,
                        leg.side,
                        str(leg.qty),
                        instrument=leg.instrument,
                        ts_ns=now_ns,
                    )
                    engine.on_message(fill, now_ns)
            if fate == "d":
                saved |= engine.checkpoints()
            if fate in "ed":
                engine.on_message(make_done(out[0].plan_id, now_ns), now_ns)
        return wire, image(engine.ledger)

    assert run(False) == run(False) == run(True)
