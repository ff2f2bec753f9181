"""A loss cap that does not pay the fees of trading a leg back is refused with the configuration."""

from __future__ import annotations

import pytest

from shared.config import parse_config
from shared.errors import ConfigError

CONFIG = """
[venues.alpha]
instruments = ["BTC/USD"]
taker_fee_bps = 40
trade = {trade}

[risk]
loss_cap_bps = {cap}
"""


def test_loss_cap_below_twice_a_taker_fee_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"taker_fee_bps = 40; give at least 80$"):
        parse_config(CONFIG.format(cap="79.9", trade="true"), "arb.toml")


@pytest.mark.parametrize(("cap", "trade"), [("80", "true"), ("79.9", "false")])
def test_loss_cap_that_pays_for_what_is_traded_is_taken(cap: str, trade: str) -> None:
    parse_config(CONFIG.format(cap=cap, trade=trade), "arb.toml")
