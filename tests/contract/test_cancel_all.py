"""Cancel-all through every gateway that has prices, at the simulated venues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from services.sentinel.requests import AllCanceled, CancelAll
from services.sentinel.transport import VenueGateways
from shared.errors import OutcomeUnknown, Rejected, VenueError
from shared.messages.base import Side
from shared.messages.terms import TimeInForce
from shared.venues.bybit import orders as bybit_orders
from shared.venues.together import ask_each
from tests.contract.test_gateway import OTHERS, VENUES, Account, fetch, open_account, venues

D = Decimal
RESTING = 4
REAL = pytest.mark.parametrize("name", [*VENUES, *OTHERS])


@pytest.fixture(scope="module")
def simulated() -> Iterator[Any]:
    with venues() as described:
        yield described


async def place_resting(account: Account, count: int = RESTING) -> None:
    far = (await account.best(Side.BUY) * D("0.97")).quantize(D(1))
    for number in range(count):
        order = await account.order(price_limit=far - number, time_in_force=TimeInForce.GTC)
        await account.gateway.submit(order)


async def working(account: Account) -> int:
    """Ask the simulator itself how many orders work."""
    truth = await asyncio.to_thread(fetch, f"{account.control}/accounts")
    return len(truth[account.gateway.venue]["open_orders"])


async def cancel_all(account: Account) -> str:
    return str(await account.gateway.cancel_all([account.instrument]))  # type: ignore[attr-defined]


@REAL
async def test_all_orders_are_canceled_and_none_is_no_error(name: str, simulated: Any) -> None:
    async with open_account(name, simulated) as account:
        await place_resting(account)
        assert await working(account) >= RESTING
        assert await cancel_all(account) == ""
        assert await account.gateway.open_orders([]) == []
        assert await cancel_all(account) == ""


@pytest.mark.parametrize("name", list(VENUES))
async def test_an_answer_that_is_lost_is_unknown(name: str, simulated: Any) -> None:
    async with open_account(name, simulated) as account:
        await place_resting(account)
        account.fault("http_5xx", status=502, executed=True)
        with pytest.raises(OutcomeUnknown):
            await cancel_all(account)
        assert await working(account) == 0, "it was carried out"


async def test_an_instrument_that_the_venue_does_not_list_holds_up_no_other(simulated: Any) -> None:
    async with open_account("binance", simulated) as account:
        await place_resting(account)
        gateways = VenueGateways({"binance": account.gateway}, timeout_s=5)  # type: ignore[dict-item]
        action = CancelAll("binance", ("NOT/THERE", account.instrument))
        assert await gateways.carry_out(action) == AllCanceled("binance")
        assert await working(account) == 0


async def test_where_nothing_is_listed_nothing_is_said_to_be_canceled(simulated: Any) -> None:
    async with open_account("binance", simulated) as account:
        gateways = VenueGateways({"binance": account.gateway}, timeout_s=5)  # type: ignore[dict-item]
        told = await gateways.carry_out(CancelAll("binance", ("NOT/THERE",)))
    assert isinstance(told, AllCanceled)
    assert "none of the instruments is listed there" in told.problem


async def test_bybit_is_asked_first_for_what_is_traded_there() -> None:
    asked: list[tuple[str, str]] = []

    class Client:
        markets: Final = dict.fromkeys(("BTC/USD:BTC", "ETH/USD:ETH", "BTC/USDT:USDT"))

        def market(self, name: str) -> dict[str, str]:
            return {"settleId": name.partition(":")[2]}

        async def privatePostV5OrderCancelAll(self, params: dict[str, str]) -> None:
            asked.append((params["category"], params["settleCoin"]))

    async def read(what: str, request: Any) -> Any:
        return await request

    await bybit_orders.cancel_all(Client(), read, ["BTC/USDT:USDT"])
    assert asked == [("linear", "USDT"), ("inverse", "BTC"), ("inverse", "ETH")]


async def test_every_request_is_made_whatever_became_of_the_others() -> None:
    made: list[str] = []

    async def read(what: str, request: Any) -> Any:
        return await request

    async def request(name: str, error: VenueError | None = None) -> None:
        made.append(name)
        if error is not None:
            raise error

    asked = [request("a", Rejected("none there")), request("b", Rejected("no")), request("c")]
    with pytest.raises(Rejected, match=r"no$"):
        await ask_each(read, "cancel_all", asked, lambda text: text == "none there")
    assert made == ["a", "b", "c"]
