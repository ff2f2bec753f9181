"""A stop against any path of prices, fills, restarts and books that cannot be trusted."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.risk.engine import RiskEngine
from shared.domain.stops import stop_price
from shared.messages.arb import Target
from shared.messages.base import BookState, Message, Side
from shared.messages.execution import ApprovedPlan
from shared.messages.rounds import Intent, RoundState
from tests.decision_builders import (
    PERP,
    T0,
    announce,
    make_balances,
    make_done,
    make_fill,
    make_info,
    make_ready,
    make_view,
)
from tests.unit.test_risk_signals import approve, config, execute, risk, signal

STEP_NS = 200_000_000
STEPS = st.tuples(
    st.integers(56_000, 64_000),  # the bid
    st.sampled_from([BookState.LIVE, BookState.LIVE, BookState.LIVE, BookState.STALE]),
    st.sampled_from(["", "", "", "restart"]),
    st.sampled_from(["0", "0.1", "0.2", "1"]),  # share of a plan that fills
)


def restarted(engine: RiskEngine, saved: dict[str, bytes], now_ns: int) -> RiskEngine:
    saved.update(engine.checkpoints())
    again = RiskEngine(config())
    again.start(saved, now_ns)
    again.on_message(make_info("gamma", PERP, taker_fee_bps=D(5)), now_ns)
    return again


def feed(engine: RiskEngine, now_ns: int) -> list[Message]:
    out = engine.on_message(make_ready(now_ns), now_ns).messages
    for venue in ("alpha", "beta", "gamma"):
        out = [*out, *engine.on_message(make_balances(venue, now_ns), now_ns).messages]
    return [*out]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([Target.LONG, Target.SHORT]), st.lists(STEPS, min_size=1, max_size=25))
def test_a_stop_only_reduces_and_is_not_missed(
    target: Target, steps: list[tuple[int, BookState, str, str]]
) -> None:
    engine, saved = risk(), dict[str, bytes]()
    execute(engine, approve(engine, signal(target)))
    opened = Side.BUY if target is Target.LONG else Side.SELL
    entry = D(60_000) if opened is Side.BUY else D("59999.9")
    stop = stop_price(opened, entry, D(200), D("0.1"))
    left, was_reached, now_ns = D("0.387"), False, T0
    for seq, (bid, state, event, share) in enumerate(steps, start=10**9):
        now_ns += STEP_NS
        if event:
            engine = restarted(engine, saved, now_ns)
        feed(engine, now_ns)
        closing = D(bid) if opened is Side.BUY else D(bid) + 1
        view = make_view(
            "gamma", PERP, bids=[(float(bid), 9.0)], asks=[(bid + 1.0, 9.0)], seq=seq, ts_ns=now_ns
        )
        out = engine.on_message(msgspec.structs.replace(view, state=state), now_ns).messages
        plans = [each for each in out if isinstance(each, ApprovedPlan)]
        if state is BookState.LIVE:
            was_reached = was_reached or opened.signed(closing - stop) <= 0
        assert len(plans) == (was_reached and state is BookState.LIVE and left > 0)
        for plan in plans:
            (leg,) = plan.legs
            assert (plan.intent, leg.side, leg.qty) == (Intent.CLOSE, opened.opposite, left)
            filled = (left * D(share)).quantize(D("0.001"))
            announce(engine, plan, now_ns)
            if filled:
                fill = make_fill(
                    plan.plan_id,
                    "gamma",
                    leg.side,
                    str(filled),
                    instrument=PERP,
                    price=leg.price_limit,
                    strategy="mom",
                    round_id="r1",
                    ts_ns=now_ns,
                )
                engine.on_message(fill, now_ns)
            engine.on_message(make_done(plan.plan_id, now_ns), now_ns)
            left -= filled
    known = engine.ledger.rounds.rounds["mom|r1"]
    assert abs(known.net) == left
    assert (known.state(None) is RoundState.CLOSED) is (left == 0)
    assert bool(known.ending) is was_reached
