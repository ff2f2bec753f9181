"""What simulated venues tell of a key through unmodified clients, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.cli.doctor.reading import read_keys
from shared.accounts.ccxt_gateway import CcxtGateway
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.errors import Cause, Rejected, Unavailable
from shared.venues.binance.key_rights import read_key_rights as binance
from shared.venues.bybit.key_rights import read_key_rights as bybit
from shared.venues.key_rights import UNTOLD, KeyRights
from shared.venues.kraken.key_rights import read_key_rights as kraken
from tests.contract.test_gateway import look_for_orders, open_account, venues

TELLING = ["binance", "binanceusdm", "kraken", "bybit"]


@pytest.fixture(scope="module")
def simulated() -> Iterator[Any]:
    with venues() as described:
        yield described


def beside(simulated: Any, name: str) -> Any:
    """Below its own name: at the root one Binance answers for the other's wallet."""
    return {**simulated, "http": f"{simulated['http']}/{name}"}


@pytest.mark.parametrize("name", TELLING)
async def test_a_key_that_may_withdraw_is_refused(name: str, simulated: Any) -> None:
    async with open_account(name, beside(simulated, name)) as account:
        gateway = account.gateway
        assert isinstance(gateway, CcxtGateway)
        assert await gateway.key_rights() == KeyRights(False, False, 0)
        account.fault("account", state="may_withdraw")
        assert (await gateway.key_rights()).may_withdraw is True
        with pytest.raises(Rejected, match="the key may withdraw") as refused:
            await gateway.start()
        assert refused.value.cause is Cause.KEY
        account.fault("account", state="ok")
        await gateway.start()


async def test_what_cancels_orders_does_not_wait_for_the_rights_of_its_key(
    simulated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked for at another address, which may be away when orders must be canceled."""

    async def away(client: Any, read: Any) -> KeyRights:
        raise Unavailable("it is being maintained", cause=Cause.SERVICE)

    monkeypatch.setattr("shared.venues.binanceusdm.orders.key_rights", away)
    await look_for_orders(simulated)
    async with open_account("binanceusdm", simulated, started=False) as account:
        with pytest.raises(Unavailable):
            await account.gateway.start()


async def test_a_venue_that_does_not_tell_is_traded(simulated: Any) -> None:
    async with open_account("gateio", beside(simulated, "gateio")) as account:
        account.fault("account", state="may_withdraw")
        assert await account.gateway.key_rights() == UNTOLD
        await account.gateway.start()


async def test_the_doctor_asks_every_venue_that_is_traded(simulated: Any) -> None:
    urls = {name: beside(simulated, name)["http"] for name in ("binance", "kraken", "gateio")}
    urls["kraken"] = "http://127.0.0.1:1"
    venues = {
        name: VenueConfig(instruments=["BTC/USDT"], rest_url=url) for name, url in urls.items()
    }
    config = Config(venues=venues, executor=ExecutorConfig(mode="simulated"))
    environ = {
        f"ARB_{name.upper()}_API_{part}": simulated["credentials"][name][field]
        for name in urls
        for part, field in (("KEY", "apiKey"), ("SECRET", "secret"))
    }
    told = await read_keys(config, environ)
    assert told["binance"] == KeyRights(False, False, 0)
    assert told["gateio"] == UNTOLD
    assert str(told["kraken"]).startswith("kraken: ")
    assert "sentinel at binance" not in told, "it has no keys of its own"
    environ["ARB_SENTINEL_BINANCE_API_KEY"] = environ["ARB_BINANCE_API_KEY"]
    assert "ARB_SENTINEL_BINANCE_API_SECRET" in str(
        (await read_keys(config, environ))["sentinel at binance"]
    )
    environ["ARB_SENTINEL_BINANCE_API_SECRET"] = environ["ARB_BINANCE_API_SECRET"]
    assert (await read_keys(config, environ))["sentinel at binance"] == told["binance"]
    environ["ARB_BINANCE_API_KEY"] = "of-somebody-else"
    del environ["ARB_GATEIO_API_KEY"]
    told = await read_keys(config, environ)
    assert "-2015" in str(told["binance"])
    assert "gateio" not in told
    assert await read_keys(Config(venues=venues), environ) == {}, "on paper no key is used"


class Client:
    """Answers as a venue documents it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def _told(self) -> Any:
        return self._answer

    sapiGetAccountApiRestrictions = privatePostGetApiKeyInfo = _told
    privateGetV5UserQueryApi = _told


async def read(what: str, request: Any) -> Any:
    assert what == "key"
    return await request


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"enableWithdrawals": True, "ipRestrict": True}, KeyRights(True, True, 0)),
        (
            {"enableWithdrawals": False, "tradingAuthorityExpirationTime": 1628985600000},
            KeyRights(False, None, 1628985600000),
        ),
        (
            {"enableWithdrawals": True, "tradingAuthorityExpirationTime": "never"},
            KeyRights(True, None, None),
        ),
        ({}, KeyRights(None, None, 0)),
    ],
)
async def test_what_binance_documents(told: Any, expected: KeyRights) -> None:
    assert await binance(Client(told), read) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {
                "permissions": ["query-funds", "withdraw-funds"],
                "ipAllowlist": [],
                "validUntil": "0",
            },
            KeyRights(True, False, 0),
        ),
        (
            {"permissions": [], "ipAllowlist": ["192.0.2.1"], "validUntil": "1772627061"},
            KeyRights(False, True, 1772627061000),
        ),
        (
            {"permissions": ["query-funds"], "ipAllowlist": [], "validUntil": "2026-03-04"},
            KeyRights(False, False, None),
        ),
        ({}, KeyRights(None, None, 0)),
    ],
)
async def test_what_kraken_documents(told: Any, expected: KeyRights) -> None:
    assert await kraken(Client({"error": [], "result": told}), read) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {"permissions": {"Wallet": ["AccountTransfer", "Withdraw"]}, "ips": ["192.0.2.1"]},
            KeyRights(True, True, 0),
        ),
        (
            {
                "permissions": {"ContractTrade": ["Order"], "Wallet": []},
                "ips": ["*"],
                "expiredAt": "2026-12-22T11:00:00Z",
            },
            KeyRights(False, False, 1797937200000),
        ),
        ({"ips": ["*"]}, KeyRights(None, False, 0)),
        (
            {"permissions": {"Wallet": []}, "ips": ["*"], "expiredAt": "1797937200000"},
            KeyRights(False, False, None),
        ),
    ],
)
async def test_what_bybit_documents(told: Any, expected: KeyRights) -> None:
    assert await bybit(Client({"result": told}), read) == expected
