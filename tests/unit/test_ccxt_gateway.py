"""What a venue account asks for first when there is little left to ask with."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from services.executor import ccxt_requests
from services.executor.accounts import load_quirks
from services.executor.ccxt_gateway import CcxtGateway

SECOND = 1_000_000_000


class Client:
    """Answers at once, with nothing."""

    markets: ClassVar[dict[str, Any]] = {}
    currencies: ClassVar[dict[str, Any]] = {}
    options: ClassVar[dict[str, Any]] = {}

    async def fetch(self) -> None:
        raise AssertionError("never called")

    def handle_errors(self) -> None:
        raise AssertionError("never called")

    async def load_markets(self) -> dict[str, Any]:
        return {}

    def nonce(self) -> int:
        return 1

    def milliseconds(self) -> int:
        return 1

    async def fetch_time(self) -> int:
        return 1

    async def privatePostBalanceEx(self) -> dict[str, Any]:
        return {"result": {}}

    async def fetch_open_orders(self) -> list[Any]:
        return []

    async def privatePostTradesHistory(self, _: Any) -> dict[str, Any]:
        return {"result": {"trades": {}, "count": 0}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes by sleeping only."""
    clock = SimpleNamespace(ns=0, monotonic_ns=lambda: clock.ns)

    async def sleep(seconds: float) -> None:
        clock.ns += int(seconds * SECOND) + 1

    waiting = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    monkeypatch.setattr(ccxt_requests, "asyncio", waiting)
    return clock


async def test_what_recovery_waits_for_does_not_wait_for_the_reserve(clock) -> None:
    quirks = load_quirks("kraken")
    gateway = CcxtGateway("kraken", Client(), quirks, clock)
    await gateway.start()
    gateway._requests._bucket.drain(
        clock.ns
    )  # as after a refusal: the process before used the counter up
    await gateway.open_orders([])
    await gateway.fills_since([], 0)
    await gateway.balances()
    weights = sum(quirks.WEIGHTS[what] for what in ("open", "fills", "balances"))
    assert clock.ns / SECOND == pytest.approx(weights / quirks.WEIGHT_PER_S, abs=0.01)
    # From then on they leave the reserve to orders.
    await gateway.open_orders([])
    waited = (weights + quirks.WEIGHT_RESERVE + 1) / quirks.WEIGHT_PER_S
    assert clock.ns / SECOND == pytest.approx(waited, abs=0.01)
