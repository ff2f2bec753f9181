"""An executor that is killed: venues with a dead-man's switch cancel what rests there."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest

from services.executor.accounts import open_gateways
from shared.accounts.gateway import OrderRequest
from shared.clock import SystemClock
from shared.config import load_config
from shared.messages.base import Side
from shared.messages.execution import ExecutorReady
from shared.messages.switches import SwitchState
from shared.messages.terms import OrderTerms, TimeInForce
from tests.integration.executor_stack import PLACES, D, Stack, executor_stack
from tests.support import eventually_sync

SWITCHED = ("binanceusdm", "kraken")
DEAD_MAN_S = 3


@pytest.fixture
def stack(tmp_path):
    with executor_stack(tmp_path, f"dead_man_s = {DEAD_MAN_S}") as made:
        made.start_ready()
        yield made


def rest_far_away(stack: Stack) -> None:
    """Let an order of the account rest at every venue."""
    environ = {}
    for venue, keys in stack.described["credentials"].items():
        environ[f"ARB_{venue.upper()}_API_KEY"] = keys["apiKey"]
        environ[f"ARB_{venue.upper()}_API_SECRET"] = keys["secret"]
    config = load_config(str(stack.folder / "arb.toml"), environ)

    async def rest() -> None:
        gateways = open_gateways(config, {}, SystemClock(), environ)
        try:
            for venue, instrument in PLACES.items():
                await gateways[venue].start()
                best = D(str(stack.books[venue][instrument]["bids"][0][0]))
                terms = OrderTerms(
                    venue=venue,
                    instrument=instrument,
                    side=Side.BUY,
                    qty=D("0.01"),
                    price_limit=(best * D("0.9")).quantize(D("0.1")),
                    time_in_force=TimeInForce.GTC,
                )
                await gateways[venue].submit(OrderRequest(client_order_id="mine1", terms=terms))
        finally:
            for gateway in gateways.values():
                await gateway.close()

    asyncio.run(rest())


def resting(stack: Stack) -> set[str]:
    accounts: dict[str, Any] = stack.control("/accounts")
    return {venue for venue, account in accounts.items() if account["open_orders"]}


def armed(stack: Stack) -> bool:
    told = stack.published(ExecutorReady)
    states = {v: light.state for v, light in told[-1].switches.items()} if told else {}
    return states == {
        "binance": SwitchState.NONE,
        **dict.fromkeys(SWITCHED, SwitchState.ARMED),
    }


def test_what_rests_is_canceled_when_the_executor_is_killed(stack: Stack) -> None:
    eventually_sync(lambda: armed(stack), what="switches that are set")
    rest_far_away(stack)
    until_s = time.monotonic() + 2 * DEAD_MAN_S
    while time.monotonic() < until_s:  # it is set again and again: nothing may be canceled
        assert resting(stack) >= set(SWITCHED)
        time.sleep(0.2)
    stack.kill()
    eventually_sync(
        lambda: not resting(stack) & set(SWITCHED), timeout_s=20, what="canceled orders"
    )
    assert resting(stack) == {"binance"}, "it has no such switch, and is shown so"


def test_a_clean_stop_turns_it_off(stack: Stack) -> None:
    eventually_sync(lambda: armed(stack), what="switches that are set")
    rest_far_away(stack)
    assert stack.executor is not None
    stack.executor.send_signal(signal.SIGTERM)
    assert stack.executor.wait(20) == 0
    until_s = time.monotonic() + 2 * DEAD_MAN_S
    while time.monotonic() < until_s:
        assert resting(stack) >= set(SWITCHED)
        time.sleep(0.2)
