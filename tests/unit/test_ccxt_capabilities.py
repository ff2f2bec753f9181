"""What every exchange of ccxt can do here, and through which doors it is refused. No network."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.executor.working_orders import NOT_FOUND_AFTER_SENT_NS
from shared.accounts.ccxt_capabilities import (
    NEEDED,
    VALIDITY_MS,
    Capability,
    Finding,
    missing,
    probe,
)
from shared.accounts.ccxt_dry_run import SYMBOL, DryRun
from shared.accounts.venue_capabilities import any_exchange, check_generic, configured, probed
from shared.config_sections import VenueConfig
from shared.errors import ConfigError
from shared.venues.ccxt_classes import exchange_ids
from shared.venues.registry import EVERY, TRADED, load_ccxt_setup, load_feed

THERE = Finding(True, "taken as read")


def test_ids_are_those_that_ccxt_lists() -> None:
    import ccxt

    assert exchange_ids() == sorted(ccxt.exchanges)


def test_every_exchange_gets_an_answer() -> None:
    """Tradable, or what is missing: no exchange of ccxt is left without one, and none raises."""
    answers = {name: any_exchange(name) for name in exchange_ids()}
    assert len(answers) > 100
    for name, answer in answers.items():
        assert set(answer.findings) == set(Capability)
        assert all(finding.why for finding in answer.findings.values()), name
        lacking = [what for what in NEEDED if not answer.findings[what].can]
        if answer.gateway == "generic":
            assert [line.partition(" (")[0] for line in answer.missing] == lacking
    tradable = {name for name, answer in answers.items() if answer.can_trade}
    own = {load_feed(adapter).ccxt_id for adapter in TRADED}
    assert tradable == own | {"binanceus"}


def test_what_ccxt_documents_is_enough_for_few_whose_books_are_not_read_here() -> None:
    """Were all books there, these could be traded; a change of ccxt shows here."""
    options = load_ccxt_setup("binance").OPTIONS
    found = {name for name in exchange_ids() if not missing(probe(name, options, THERE).findings)}
    assert found == {"binance", "binanceus"}


def test_who_takes_an_order_late_is_not_traded() -> None:
    """The executor takes "no such order" for "never arrived" from 2.5 s on, and not a minute."""
    late = {
        name
        for name in exchange_ids()
        if [line.partition(" (")[0] for line in missing(probe(name, {}, THERE).findings)]
        == [Capability.VALIDITY]
    }
    assert late == {"bitstamp", "hashkey", "mexc"}
    assert VALIDITY_MS * 1_000_000 < NOT_FOUND_AFTER_SENT_NS


@pytest.mark.parametrize(
    "ccxt_id, what, why",
    [
        ("kraken", Capability.QUERY, "asks for a venue order id as well"),
        ("phemex", Capability.VALIDITY, "may arrive at any time"),
        ("coinbase", Capability.CLIENT_ID, "does not carry it as it is"),
        ("gate", Capability.CLIENT_ID, "does not carry it as it is"),
        ("hitbtc", Capability.CLIENT_ID, "perhaps only passed through"),
        ("bitbank", Capability.IOC, "timeInForce.IOC is False"),
        ("okx", Capability.KEYS, "needs password as well"),
        ("bitflyer", Capability.OPEN_ORDERS, "is emulated"),
        ("phemex", Capability.OPEN_ORDERS, "fetchOpenOrders() requires a symbol"),
        ("bithumb", Capability.PRICES, "not a tick"),
        ("upbit", Capability.FILLS, "has.fetchMyTrades is False"),
        ("coincheck", Capability.FILLS, "neither the size of a page"),
        ("binancecoinm", Capability.SPOT, "no spot orders"),
        ("bydfi", Capability.CANCEL, "has.cancelOrder is not True"),
        ("paymium", Capability.OPEN_ORDERS, "not documented"),
    ],
)
def test_what_is_not_known_is_missing(ccxt_id, what, why) -> None:
    finding = probe(ccxt_id, {}, THERE).findings[what]
    assert not finding.can
    assert why in finding.why


async def test_a_dry_run_sends_nothing_and_says_what_would_have_been_sent() -> None:
    run = DryRun("binance", {})
    built = await run.build("fetch_order", None, SYMBOL, {"clientOrderId": "abc"})
    assert built.fields["origClientOrderId"] == "abc"
    assert built.path == "/api/v3/order"
    assert run.client.session is None
    assert (await run.build("fetch_order", None)).failure
    assert (await run.build("no_such_method")).failure


def venue(adapter: str, ccxt_id: str, **changes: object) -> VenueConfig:
    values: dict[str, object] = {"instruments": [SYMBOL], "adapter": adapter, "ccxt_id": ccxt_id}
    return VenueConfig(**{**values, **changes})  # type: ignore[arg-type]


OWN = {
    "rest_url": "https://api.example",
    "ws_url": "wss://api.example",
    "taker_fee_bps": Decimal(40),
}


@pytest.mark.parametrize(
    "section, error",
    [
        (venue("kraken", "kraken"), r"venues\.here: .*kraken, missing: .*query by client order id"),
        (venue("binance", "nowhere"), r"venues\.here\.ccxt_id: ccxt has no exchange 'nowhere'"),
        (venue("binance", "mexc", **OWN), r"missing: market data \(adapter binance reads"),
        (venue("binance", "binanceus"), r"missing: market data \(without its rest_url and ws_url"),
        (
            venue("binance", "binanceus", rest_url="https://a.example", ws_url="wss://a.example"),
            r"missing: market data \(without its taker_fee_bps, fees would be those of binance\)",
        ),
        (venue("gemini", "gemini"), r"missing: market data \(no adapter here reads its books\); "),
        (
            venue("binance", "binanceus", instruments=["BTC/USDT:USDT"], **OWN),
            r"missing: orders in BTC/USDT:USDT \(.* spot only\)",
        ),
    ],
)
def test_what_lacks_something_is_refused_with_a_line_that_names_it(section, error) -> None:
    with pytest.raises(ConfigError, match=error):
        check_generic("here", section, probed("here", section))


def test_a_venue_of_the_same_protocol_is_taken_with_addresses_of_its_own() -> None:
    section = venue("binance", "binanceus", **OWN)
    check_generic("here", section, probed("here", section))
    answer = configured("here", section)
    assert (answer.venue, answer.gateway, answer.ccxt_id) == ("here", "generic", "binanceus")
    assert answer.can_trade


def test_derivatives_through_ccxt_are_shown_as_refused() -> None:
    section = venue("binance", "binanceus", instruments=[SYMBOL, "BTC/USDT:USDT"], **OWN)
    answer = configured("here", section)
    assert answer.missing == ["orders in BTC/USDT:USDT (the generic gateway trades spot only)"]


def test_a_venue_without_an_adapter_is_refused_and_its_answer_is_shown() -> None:
    with pytest.raises(ConfigError, match=r"no market data for 'gemini'.*arb venues gemini"):
        load_feed("gemini")
    with pytest.raises(ConfigError, match="no venue adapter 'nowhere'"):
        load_feed("nowhere")
    answer = configured("mine", VenueConfig(instruments=["BTC/USDT"], adapter="gemini"))
    assert (answer.venue, answer.can_trade) == ("mine", False)
    assert answer.missing[0].startswith("market data")


@pytest.mark.parametrize(
    "name, why",
    [
        ("gate", 'it needs adapter = "gateio"'),
        ("binanceus", 'it needs adapter = "binance", ccxt_id'),
    ],
)
def test_what_is_shown_of_a_section_is_what_the_system_makes_of_it(name: str, why: str) -> None:
    """Their exchanges can be traded, and not by a section that only names them."""
    answer = configured(name, VenueConfig(instruments=["BTC/USDT"]))
    assert not answer.can_trade
    assert answer.missing[0].startswith(f"market data ({why}")
    with pytest.raises(ConfigError, match=f"arb venues {name} says"):
        load_feed(name)


@pytest.mark.parametrize("adapter", sorted({*EVERY} - {*TRADED}))
def test_a_venue_of_market_data_only_says_so(adapter: str) -> None:
    answer = configured(adapter, VenueConfig(instruments=["BTC/USDT"]))
    assert (answer.gateway, answer.can_trade) == ("native", False)
    assert answer.missing == ["market data only here: no order can be sent"]
    assert set(answer.findings) == set(Capability)
    assert [what for what, found in answer.findings.items() if found.can] == [Capability.BOOKS]


@pytest.mark.parametrize("adapter", TRADED)
def test_the_own_gateways_say_what_they_can(adapter: str) -> None:
    answer = configured(adapter, VenueConfig(instruments=["BTC/USDT"]))
    assert (answer.gateway, answer.ccxt_id) == ("native", load_feed(adapter).ccxt_id)
    assert answer.can_trade
    assert answer.findings[Capability.IOC].can
    assert not answer.findings[Capability.OCO].can
    derivatives = not answer.findings[Capability.SPOT].can
    assert answer.findings[Capability.REDUCE_ONLY].can is derivatives
