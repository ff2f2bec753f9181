"""An executor that reaches one venue as an exchange that only ccxt knows: plans and faults."""

from __future__ import annotations

import urllib.request
from typing import ClassVar

import pytest

from shared.messages.execution import OrderEvent, OrderStatus, PlanOutcome
from tests.integration.executor_stack import D, Stack, executor_stack
from tests.support import eventually_sync

DUST = D("0.001")
"""Base units: less than the coarsest lot."""
EVEN = {PlanOutcome.FILLED, PlanOutcome.HEDGED, PlanOutcome.UNWOUND, PlanOutcome.UNFILLED}


class GenericStack(Stack):
    """Sends orders at a venue through ccxt's client of another one."""

    through: ClassVar[dict[str, str]] = {"binance": "binanceus"}

    def _write_config(self) -> None:
        super()._write_config()
        path = self.folder / "arb.toml"
        text = path.read_text()
        for venue, ccxt_id in self.through.items():
            more = f'ccxt_id = "{ccxt_id}"\nws_url = "{self.described["ws"]}"\ntaker_fee_bps = 10\n'
            text = text.replace(f"[venues.{venue}]\n", f"[venues.{venue}]\n{more}")
        path.write_text(text)


class LackingStack(GenericStack):
    through: ClassVar[dict[str, str]] = {"kraken": "kraken"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with executor_stack(tmp_path_factory.mktemp("generic"), kind=GenericStack) as made:
        made.start_ready()
        yield made


@pytest.mark.parametrize("buy, sell", [("binance", "kraken"), ("binanceusdm", "binance")])
def test_plans_are_filled_and_booked_fill_by_fill(stack, buy, sell) -> None:
    done = stack.end_of(stack.send(buy, sell))
    assert done.outcome in {PlanOutcome.FILLED, PlanOutcome.HEDGED}
    assert done.fees > 0
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


@pytest.mark.parametrize(
    "kind, parameters", [("lose_answer", {}), ("http_5xx", {"path": "rder"}), ("reject", {})]
)
def test_an_order_whose_answer_is_no_answer_is_asked_for_and_never_repeated(
    stack, kind, parameters
) -> None:
    stack.end_of(stack.send("binance", "kraken"))  # one that proves that ids are found
    stack.fault(kind, "binance", **parameters)
    plan = stack.send("binance", "kraken")
    done = stack.end_of(plan, timeout_s=40)
    assert done.outcome in EVEN, done
    first = stack.published(OrderEvent, plan_id=plan.plan_id, venue="binance", attempt=0)
    if kind != "reject":
        assert OrderStatus.UNKNOWN in {event.status for event in first}
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


def test_an_order_in_doubt_at_a_start_is_settled_by_what_the_account_did_before(stack) -> None:
    """No order of this run has been found yet; that of the newest execution is."""
    stack.end_of(stack.send("binance", "kraken"))
    stack.fault("http_5xx", "binance", path="rder", count=1_000)
    plan = stack.send("binance", "kraken")
    eventually_sync(
        lambda: (
            OrderStatus.UNKNOWN
            in {
                e.status for e in stack.published(OrderEvent, plan_id=plan.plan_id, venue="binance")
            }
        )
    )
    stack.kill()
    request = urllib.request.Request(stack.described["control"] + "/fault", method="DELETE")
    with urllib.request.urlopen(request, timeout=5):
        pass
    stack.start_ready()
    assert stack.end_of(plan, timeout_s=60).outcome in EVEN
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


def test_an_executor_does_not_start_with_an_exchange_that_lacks_something(tmp_path) -> None:
    with executor_stack(tmp_path, kind=LackingStack) as made:
        assert made.start().wait(30) != 0
        log = (tmp_path / "executor.log").read_text()
        assert "venues.kraken: no orders through ccxt's kraken, missing: late orders are" in log
        assert "Traceback" not in log
        assert made.control("/accounts")["kraken"]["orders"] == []
