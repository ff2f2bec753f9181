"""Whatever is offered under whatever limits: a plan is the largest that all of them allow."""

from __future__ import annotations

from decimal import Decimal as D
from math import lcm

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Denied
from tests.decision_builders import (
    T0,
    make_balances,
    make_config,
    make_info,
    make_leg,
    make_offer,
    make_risk,
)
from tests.unit.test_risk_limits import decision

UNIT = D("0.001")
FEE = D("1.001")
LEAST = D("0.1")
NOTIONALS = st.integers(1, 40_000).map(lambda cents: D(cents) / 10)


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(1, 200),
    st.tuples(NOTIONALS, NOTIONALS),
    st.tuples(NOTIONALS, st.integers(1, 400)),
    st.integers(0, 1_000),
)
def test_a_plan_is_the_largest_within_every_limit(
    lots: tuple[int, int],
    count: int,
    maxima: tuple[D, D],
    has: tuple[D, int],
    notional_min: int,
) -> None:
    step = lcm(*lots)
    offered = min(count, 400 // step or 1) * step * UNIT
    order_max, total_max = maxima
    limits = {"order_notional_max": order_max, "total_notional_max": total_max}
    engine = make_risk(make_config(shrink_share_min=float(LEAST), **limits))
    for venue, lot in zip(("alpha", "beta"), lots, strict=True):
        info = make_info(venue, lot_size=lot * UNIT, notional_min=D(notional_min))
        engine.on_message(info, T0)
    engine.on_message(make_balances("alpha", T0 + 1, USDT=has[0]), T0 + 1)
    engine.on_message(make_balances("beta", T0 + 1, BTC=has[1] * UNIT), T0 + 1)
    legs = [
        make_leg("alpha", Side.BUY, str(offered), "10000"),
        make_leg("beta", Side.SELL, str(offered), "10050"),
    ]
    found = make_offer(legs)
    answer = decision(engine, found, T0 + 1)
    most = min(offered, order_max / 10_050, total_max / 10_050, has[0] / FEE / 10_000)
    largest = min(most, has[1] * UNIT) // (step * UNIT) * step * UNIT
    is_enough = largest >= offered * LEAST and largest * 10_000 >= notional_min
    if (largest < offered and not is_enough) or largest == 0 or offered * 10_000 < notional_min:
        assert isinstance(answer, Denied)
        assert not engine.ledger.reservations
        return
    assert isinstance(answer, ApprovedPlan), answer
    assert [leg.qty for leg in answer.legs] == [largest, largest]
    assert (answer.shrunk is None) is (largest == offered)
    assert answer.net_expected * offered <= found.net * largest + D("1e-4")
    assert answer.net_expected > 0
    if answer.shrunk is not None:
        assert (answer.shrunk.qty, answer.shrunk.notional) == (offered, found.notional)
