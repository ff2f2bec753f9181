"""The section ``[inventory]``: what it means, and what is refused with what would be right."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from services.cli.settings import to_toml
from shared.config import parse_config
from shared.errors import ConfigError

VENUES = """
[venues.alpha]
instruments = ["BTC/USDT"]
[venues.beta]
instruments = ["BTC/USDT"]
[venues.watched]
instruments = ["BTC/USDT"]
trade = false
"""
SHARES = "target_share = 0.5\nband_share = 0.1"
UNITS = "target_qty = 2\nband_qty = 0.5"


def target(venue: str = "alpha", asset: str = "BTC", what: str = SHARES) -> str:
    return f'[[inventory.targets]]\nvenue = "{venue}"\nasset = "{asset}"\n{what}\n'


def transfer(**keys: object) -> str:
    lines = [f"{k} = {v if isinstance(v, int | float) else repr(v)}" for k, v in keys.items()]
    return "[[inventory.transfers]]\n" + "\n".join(lines) + "\n"


BOTH = target() + target("beta")


def test_what_is_given_is_what_is_meant_and_reads_back() -> None:
    text = VENUES + BOTH + transfer(asset="BTC", from_venue="alpha", fee_qty=0.0001)
    config = parse_config(text, "arb.toml")
    first = config.inventory.targets[0]
    assert (first.target_share, first.band_share, first.target_qty) == (D("0.5"), D("0.1"), None)
    (row,) = config.inventory.transfers
    assert (row.fee_qty, row.minutes, row.to_venue) == (D("0.0001"), None, "")
    assert parse_config(to_toml(config), "again") == config


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (target("gamma"), "venue 'gamma' is not configured; venues are: alpha, beta, watched"),
        (target("watched"), "has trade = false, so that its balances are never read"),
        (target(asset="B TC"), "is no name of an asset; give one, like BTC"),
        (target() + target(), "number 2: BTC at alpha has a target already; give it one"),
        (target(what="target_share = 0.5"), "give target_share and band_share, or target_qty"),
        (target(what=SHARES + "\n" + UNITS), "give target_share and band_share, or target_qty"),
        (target(what="target_qty = -1\nband_qty = 1"), "target_qty = -1; give a number of 0"),
        (target(what="target_qty = 1\nband_qty = nan"), "band_qty = NaN; give a number of 0"),
        (target(what="target_share = 2\nband_share = 0"), "give a number from 0 to 1"),
        (target() + target("beta", what=UNITS), "BTC has targets by share and by quantity"),
        (target(), "the shares of BTC sum up to 0.5, and their bands do not make up for it"),
        (BOTH + transfer(asset="ETH"), "ETH has no target; add one in inventory.targets"),
        (BOTH + transfer(asset="BTC", to_venue="gamma"), "to_venue 'gamma' is not configured"),
        (BOTH + transfer(asset="BTC", fee_qty=-1), "fee_qty = -1; give a number of 0 or more"),
        (
            BOTH + transfer(asset="BTC", from_venue="beta", to_venue="beta"),
            "from_venue and to_venue are the same; give two venues",
        ),
        (BOTH + transfer(asset="BTC", fee=1), "unknown"),
        ("[inventory]\nskew_bps_max = 5\n", "but there are no [[inventory.targets]] to keep to"),
        ("[inventory]\nskew_bps_max = -1\n" + BOTH, "skew_bps_max = -1; give a number from 0"),
        ("[inventory]\nreward_bps_max = 1\n" + BOTH, "give no more than skew_bps_max, 0"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(VENUES + text, "arb.toml")
    assert str(caught.value).startswith("arb.toml: inventory")
    assert told in str(caught.value)
