"""An executor whose lease may have run out sends nothing that trades, however late it notices."""

from __future__ import annotations

from typing import Any

import pytest

from services.executor.actions import Cancel, CheckAccount, SetSwitch, Submit
from services.executor.transport import VenueRequests
from shared.accounts.ccxt_requests import Requests
from shared.accounts.gateway import OrderKey, OrderRequest
from shared.accounts.venue_capabilities import load_quirks
from shared.clock import SystemClock
from shared.engine import Action
from shared.histogram import Histogram
from shared.lease import LeaseLost
from shared.lease_terms import STANDBY_S, TAKEOVER_PAUSE_S, TTL_MS
from tests.decision_builders import make_terms

ORDER = OrderRequest(client_order_id="ab1", terms=make_terms(venue="kraken"))
KEY = OrderKey(venue="kraken", instrument="BTC/USDT", client_order_id="ab1")
TRADES: tuple[Action, ...] = (
    Submit(ORDER, 0),
    Cancel(KEY),
    SetSwitch("kraken", ("BTC/USDT",), 60, 1),
)


class Lease:
    """Runs out when it is told to."""

    def __init__(self) -> None:
        self.has_run_out = False

    def check(self) -> None:
        if self.has_run_out:
            raise LeaseLost("it ran out")


class Client:
    """A client of a venue, from which requests leave by ``fetch``."""

    def __init__(self) -> None:
        self.sent = 0

    async def fetch(self) -> dict[str, Any]:
        self.sent += 1
        return {"id": "1"}

    def handle_errors(self) -> None:
        raise AssertionError("never called")

    def nonce(self) -> int:
        return 1

    async def request(self) -> dict[str, Any]:
        return await self.fetch()


class Account:
    """A gateway whose requests wait; ``lease`` runs out meanwhile if ``takes_long``."""

    def __init__(self, lease: Lease, *, takes_long: bool) -> None:
        self._lease, self._takes_long = lease, takes_long
        self.client = Client()
        self._requests = Requests("kraken", self.client, load_quirks("kraken"), SystemClock())

    async def submit(self, order: OrderRequest) -> Any:
        return await self._ask(order)

    async def cancel(self, key: OrderKey) -> Any:
        return await self._ask(key)

    async def cancel_all_after(self, instruments: Any, after_s: int) -> Any:
        return await self._ask((instruments, after_s))

    async def start(self) -> None:
        await self._ask(None)

    def unlisted(self, instruments: Any) -> list[str]:
        del instruments
        return []

    async def _ask(self, what: Any) -> Any:
        del what
        self._lease.has_run_out |= self._takes_long  # the process stood still
        return await self._requests.ask("submit", self.client.request())


def made(*, takes_long: bool = False, has_run_out: bool = False) -> tuple[Account, VenueRequests]:
    lease = Lease()
    lease.has_run_out = has_run_out
    account = Account(lease, takes_long=takes_long)
    gateways: Any = {"kraken": account}
    requests = VenueRequests(gateways, SystemClock(), Histogram(), timeout_s=5, check=lease.check)
    return account, requests


@pytest.mark.parametrize("action", TRADES, ids=lambda action: type(action).__name__)
async def test_it_is_sent_while_the_lease_is_held(action: Action) -> None:
    account, requests = made()
    await requests.carry_out(action)
    assert account.client.sent == 1


@pytest.mark.parametrize("action", TRADES, ids=lambda action: type(action).__name__)
async def test_nothing_is_begun_after_it_ran_out(action: Action) -> None:
    account, requests = made(has_run_out=True)
    with pytest.raises(LeaseLost):
        await requests.carry_out(action)
    assert account.client.sent == 0


@pytest.mark.parametrize("action", TRADES, ids=lambda action: type(action).__name__)
async def test_what_waited_for_its_turn_is_not_sent_when_it_ran_out_meanwhile(
    action: Action,
) -> None:
    account, requests = made(takes_long=True)
    with pytest.raises(LeaseLost):
        await requests.carry_out(action)
    assert account.client.sent == 0


async def test_what_only_reads_is_asked_all_the_same() -> None:
    account, requests = made(takes_long=True)
    await requests.carry_out(CheckAccount("kraken", ("BTC/USDT",)))
    assert account.client.sent == 1


def test_a_stopped_instance_is_replaced_within_three_seconds() -> None:
    assert TTL_MS / 1_000 + STANDBY_S + TAKEOVER_PAUSE_S < 3
