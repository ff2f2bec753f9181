"""The executor's checkpoint: what older programs saved is read, what is not known is refused."""

from __future__ import annotations

import msgspec
import pytest

from services.executor import checkpoint
from services.executor.checkpoint import FINISHED, OPEN
from services.executor.engine import ExecutorEngine
from shared.errors import CodecError
from shared.messages.base import Side
from shared.messages.control import Alert
from shared.messages.execution import OrderStatus, PlanDone, PlanOutcome
from tests.executor_model import D, make_config, make_plan
from tests.unit.test_executor_engine import make_world, run_plan

OPEN_OF_VERSION_1 = (
    b'{"plans":{"plan00000002":{"plan_id":"plan00000002","kind":"arbitrage","base":"BTC",'
    b'"quote":"USDT","legs":[{"venue":"alpha","instrument":"BTC/USDT","side":"buy","qty":"0.1",'
    b'"price_limit":"10005","price_expected":"10000","fee_bps":"10"},{"venue":"beta","instrument":'
    b'"BTC/USDT","side":"sell","qty":"0.1","price_limit":"9995","price_expected":"10000","fee_bps":'
    b'"10"}],"loss_cap":"20.0","reference":"10000","ts_started_ns":1700000001000000000,'
    b'"ts_recv_ns":1700000000999000000,"orders":["abplan00000002000","abplan00000002100"]}},'
    b'"orders":{"abplan00000002000":{"client_order_id":"abplan00000002000","plan_id":'
    b'"plan00000002","leg_index":0,"attempt":0,"purpose":"leg","venue":"alpha","instrument":'
    b'"BTC/USDT","side":"buy","price_limit":"10005","fee_bps":"10","life":{"qty":"0.1"},'
    b'"ts_created_ns":1700000001000000000,"next_query_ns":1700000002000000000},'
    b'"abplan00000002100":{"client_order_id":"abplan00000002100","plan_id":"plan00000002",'
    b'"leg_index":1,"attempt":0,"purpose":"leg","venue":"beta","instrument":"BTC/USDT","side":'
    b'"sell","price_limit":"9995","fee_bps":"10","life":{"qty":"0.1"},"ts_created_ns":'
    b'1700000001000000000,"next_query_ns":1700000002000000000}},"done_ids":["plan00000001"],'
    b'"command_ids":[],"books":{"holdings":{"BTC/USDT":{"qty":"-0.000100","cost":"-0.99990000",'
    b'"realized":"-1.19970000"}},"quantities":{"alpha|BTC/USDT":"0.099900","beta|BTC/USDT":'
    b'"-0.100"},"exposure":{"BTC":"-0.000100"},"inventory":{"alpha|BTC":"0.099900","alpha|USDT":'
    b'"-1000.100","beta|BTC":"-0.100","beta|USDT":"998.900100"},"results":{"USDT":{"realized":'
    b'"-2.19980000","fees":"2.00000000"}}},"halted":false,"locked":"","flatten":"","closings":{},'
    b'"forgotten_ns":0,"ts_ns":1700000001000000000,"read_ns":{"alpha":1700000000000000000,"beta":'
    b'1700000000000000000,"gamma":1700000000000000000},"ledger_id":"mine","began_ns":'
    b'1700000000000000000,"stage":"used","before":[],"down":{},"refusals":{},"falls":{}}'
)
FINISHED_OF_VERSION_1 = (
    b'{"plans":{"plan00000001":{"plan_id":"plan00000001","kind":"arbitrage","base":"BTC","quote":'
    b'"USDT","legs":[],"loss_cap":"20.0","reference":"10000","ts_started_ns":1700000000000000000,'
    b'"ts_recv_ns":1699999999999000000,"orders":["abplan00000001000"],"outcome":"FILLED",'
    b'"ts_done_ns":1700000000000000000}},"orders":{"abplan00000001000":{"client_order_id":'
    b'"abplan00000001000","plan_id":"plan00000001","leg_index":0,"attempt":0,"purpose":"leg",'
    b'"venue":"alpha","instrument":"BTC/USDT","side":"buy","price_limit":"10005","fee_bps":"10",'
    b'"life":{"qty":"0.1","status":"FILLED","reported_qty":"0.100","trades":{"t1":"0.100"}},'
    b'"ts_created_ns":1700000000000000000,"venue_order_id":"alpha-0","cost":"1000.100",'
    b'"fee_base":"0.000100","fee_base_quote":"1.000100","ts_sent_ns":1700000000000000000,'
    b'"ts_ended_ns":1700000000000000000}}}'
)
OF_VERSION_1 = {OPEN: OPEN_OF_VERSION_1, FINISHED: FINISHED_OF_VERSION_1}
"""What a program saved that had one plan behind it and had just sent the legs of a second one."""


def test_version_1_is_read_with_the_terms_of_its_orders() -> None:
    state = checkpoint.decode(OF_VERSION_1)
    leg = state.orders["abplan00000002100"]
    assert (leg.terms.text, leg.terms.price_limit) == ("sell 0.1 BTC/USDT at beta", D(9_995))
    assert leg.life.status is OrderStatus.SUBMITTED
    finished = state.orders["abplan00000001000"]
    assert (finished.signed_base, finished.side) == (D("0.0999"), Side.BUY)
    assert checkpoint.ledger_id_of(OF_VERSION_1) == "mine"
    writer = checkpoint.CheckpointWriter()
    assert checkpoint.decode(writer.take(state)) == state, "and saved as of today"


def test_legs_that_version_1_had_sent_are_asked_for_and_evened_out() -> None:
    """Only the sale had arrived when the older program was stopped."""
    world = make_world()
    run_plan(world)
    world.message(make_plan("plan00000002", now_ns=world.now_ns), torn="before acting")
    world.orders["alpha"].pop("abplan00000002000", None)
    world.history[-1] = (OF_VERSION_1, world.history[-1][1], world.now_ns)
    world.crash()
    world.settle(30)
    ends = {done.plan_id: done for done in world.published(PlanDone)}
    assert ends["plan00000002"].outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    assert max(world.sent.values()) == 1
    assert not [a for a in world.published(Alert) if a.code == "PLAN_FAILED"]


@pytest.mark.parametrize("name", [OPEN, FINISHED])
@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"orders":{"a":1}}',
        b'{"orders":{"a":{"life":{}}}}',
        b'{"version":4}',
        b'{"version":"x"}',
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(name: str, part: bytes) -> None:
    engine = ExecutorEngine(make_config())
    with pytest.raises(CodecError, match=r"^the checkpoint of executor [^\n]+$"):
        engine.start({**OF_VERSION_1, name: part}, 0)


def test_a_program_of_version_1_refuses_what_is_saved_today() -> None:
    """It asks for the fields that are in the terms now."""
    saved = msgspec.json.decode(OPEN_OF_VERSION_1)
    written = msgspec.json.decode(checkpoint.encode_open(checkpoint.decode(OF_VERSION_1)))
    before, today = saved["orders"]["abplan00000002000"], written["orders"]["abplan00000002000"]
    assert set(before) - set(today) == {"venue", "instrument", "side", "price_limit"}


def test_finished_plans_are_saved_only_where_they_changed() -> None:
    state, writer = checkpoint.decode(OF_VERSION_1), checkpoint.CheckpointWriter()
    assert set(writer.take(state)) == {OPEN, FINISHED}
    writer.touched = True
    assert set(writer.take(state)) == {OPEN}
    writer.touched = True
    state.orders["abplan00000001000"].queries += 1
    assert checkpoint.decode(writer.take(state)) == state
    writer.save_all()
    assert set(writer.take(state)) == {OPEN, FINISHED}


def test_everything_is_saved_again_once_the_bus_has_lost_data() -> None:
    engine = ExecutorEngine(make_config())
    engine.start({}, 1)
    assert set(engine.checkpoints()) == {OPEN, FINISHED}
    engine.note_loss("the marks of the ledger are gone", 2)
    assert set(engine.checkpoints()) == {OPEN, FINISHED}
