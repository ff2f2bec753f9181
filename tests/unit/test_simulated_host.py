"""Where mode ``simulated`` may send orders: this machine, or one container named beside it."""

from __future__ import annotations

import pytest

from services.executor.accounts import open_gateways
from shared.accounts.opening import is_local
from shared.clock import ManualClock
from shared.config import simulated_host
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.errors import ConfigError
from shared.venues.registry import load_feed

KEYS = ("KEY", "SECRET")


@pytest.mark.parametrize(
    ("url", "host", "local"),
    [
        ("http://127.0.0.1:8090", "", True),
        ("http://localhost:8090", "", True),
        ("http://[::1]:8090", "", True),
        ("http://venuesim:8090", "", False),
        ("http://venuesim:8090", "venuesim", True),
        ("http://venuesim.example:8090", "venuesim", False),
        ("https://203.0.113.7", "venuesim", False),
        ("", "", False),
        ("", "venuesim", False),
    ],
)
def test_what_is_local(url: str, host: str, local: bool) -> None:
    assert is_local(url, host) == local


@pytest.mark.parametrize("host", ["api.example.org", "203.0.113.7", "::1", "http://venuesim"])
def test_a_public_address_cannot_be_named(host: str) -> None:
    with pytest.raises(ConfigError, match="bare name"):
        simulated_host({"ARB_SIMULATED_HOST": host})


@pytest.mark.parametrize("rest_url", ["", "https://api.example.org", "http://venuesim:8090"])
def test_simulated_mode_refuses_everything_else(rest_url: str) -> None:
    config = Config(
        venues={"kraken": VenueConfig(instruments=["BTC/USDT"], rest_url=rest_url)},
        executor=ExecutorConfig(mode="simulated"),
    )
    with pytest.raises(ConfigError, match="loopback"):
        open_gateways(config, {}, ManualClock(), {})


async def test_the_client_is_of_the_exchange_that_the_venue_names(monkeypatch) -> None:
    """One folder may serve a venue that ccxt knows by another name."""
    monkeypatch.setattr(type(load_feed("binance")), "ccxt_id", "binanceus")
    config = Config(
        venues={
            "first": VenueConfig(
                instruments=["BTC/USDT"], adapter="binance", rest_url="http://127.0.0.1:8090"
            )
        },
        executor=ExecutorConfig(mode="simulated"),
    )
    environ = {"ARB_FIRST_API_KEY": "key", "ARB_FIRST_API_SECRET": "secret"}
    gateways = open_gateways(config, {}, ManualClock(), environ)
    try:
        assert gateways["first"]._client.id == "binanceus"
    finally:
        await gateways["first"].close()


@pytest.mark.parametrize(("address", "is_one"), [("8090", True), ("8091", False)])
async def test_two_sections_of_one_account_are_refused(address: str, is_one: bool) -> None:
    """Its balances would count twice, and what one trades would be missing from the other."""

    def section(port: str) -> VenueConfig:
        url = f"http://127.0.0.1:{port}"
        return VenueConfig(instruments=["BTC/USDT"], adapter="binance", rest_url=url)

    venues = {"one": section("8090"), "two": section(address)}
    config = Config(venues=venues, executor=ExecutorConfig(mode="simulated"))
    environ = {f"ARB_{name}_API_{what}": "same" for name in ("ONE", "TWO") for what in KEYS}
    if is_one:
        with pytest.raises(ConfigError, match=r"venues\.two has the key of venues\.one"):
            open_gateways(config, {}, ManualClock(), environ)
        environ["ARB_TWO_API_KEY"] = "another"
    gateways = open_gateways(config, {}, ManualClock(), environ)
    assert gateways.keys() == venues.keys()
    for gateway in gateways.values():
        await gateway.close()
