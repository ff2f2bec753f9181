"""`arb venues`: what configured venues and any exchange of ccxt can do, and mistakes."""

from __future__ import annotations

import json

import pytest

from shared.accounts.ccxt_capabilities import NEEDED, Capability
from tests.integration.test_cli import GOOD, arb
from tests.support import ROOT

DOCUMENT = (ROOT / "docs" / "venues.md").read_text(encoding="utf-8")


def test_configured_venues_are_shown_capability_by_capability(tmp_path) -> None:
    path = tmp_path / "arb.toml"
    path.write_text(GOOD + '[venues.bitget]\ninstruments = ["BTC/USDT"]\n')
    told = arb("venues", "--config", str(path))
    assert told.returncode == 0, told.stderr
    assert "kraken: native gateway (ccxt's kraken), can be traded live" in told.stdout
    assert (
        "bitget: generic gateway (ccxt's bitget), refused for live arbitrage, missing: market data"
        in (told.stdout)
    )
    assert all(told.stdout.count(what) >= 2 for what in Capability)


def test_any_exchange_is_told_as_json() -> None:
    told = arb("venues", "mexc", "binanceus", "--json")
    mexc, us = json.loads(told.stdout)["venues"]
    assert (mexc["can_trade"], us["can_trade"], us["gateway"]) == (False, True, "generic")
    assert mexc["missing"][0] == "market data (no adapter here reads its books)"
    assert mexc["capabilities"]["query"] == {"can": True, "why": "sent as origClientOrderId"}


def test_a_mistake_in_a_configuration_says_where_it_is(tmp_path) -> None:
    path = tmp_path / "arb.toml"
    for wrong, place in (("adapter", "venues.mine.adapter"), ("ccxt_id", "venues.mine.ccxt_id")):
        path.write_text(f'{GOOD}[venues.mine]\n{wrong} = "nowhere"\ninstruments = ["BTC/USDT"]\n')
        told = arb("venues", "--config", str(path))
        assert (told.returncode, told.stdout) == (2, "")
        assert f"{place}: ccxt has no exchange 'nowhere'" in told.stderr


def test_a_configuration_without_venues_says_so(tmp_path) -> None:
    path = tmp_path / "arb.toml"
    path.write_text("")
    assert "no venues are configured" in arb("venues", "--config", str(path)).stdout
    assert json.loads(arb("venues", "--config", str(path), "--json").stdout) == {"venues": []}


@pytest.mark.parametrize(
    "arguments, error",
    [
        (("venues", "nowhere"), "ccxt has no exchange 'nowhere'; arb venues --all lists them"),
        (("venues", "--all", "kraken"), "give --all or names of venues, not both"),
        (("venues", "--all", "--config", "x"), "--config shows its own venues"),
        (("venues", "--config", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_a_mistake_is_one_line(arguments, error) -> None:
    told = arb(*arguments)
    assert (told.returncode, told.stdout) == (2, "")
    assert error in told.stderr
    assert told.stderr.count("\n") == 1


def test_the_page_names_what_is_needed() -> None:
    section = DOCUMENT.partition("## What is needed")[2].partition("\n## ")[0]
    table = " ".join(line for line in section.splitlines() if line.startswith("|"))
    short = {Capability.PRICES: "prices"}
    assert all(short.get(what, what.value) in table for what in NEEDED)
