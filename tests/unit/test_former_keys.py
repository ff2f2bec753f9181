"""The key that an account was traded with before: named for a while, told, and the executor's."""

from __future__ import annotations

import pytest

from services.cli.stack import service_program
from services.executor.accounts import former_accounts
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.errors import ConfigError
from shared.ledger import account_digest

KEYS = {"ARB_ALPHA_API_KEY": "second", "ARB_BETA_API_KEY": "other"}
FORMER = "ARB_ALPHA_API_KEY_FORMER"


def config(mode: str = "simulated") -> Config:
    venue = VenueConfig(instruments=["BTC/USDT"], trade=True)
    return Config(venues={"alpha": venue, "beta": venue}, executor=ExecutorConfig(mode=mode))


def test_only_the_account_whose_former_key_is_named_has_one() -> None:
    assert former_accounts(config(), KEYS) == {}
    found = former_accounts(config(), {**KEYS, FORMER: "first"})
    assert found == {"account:alpha": account_digest("first")}
    assert former_accounts(config("paper"), {**KEYS, FORMER: "first"}) == {}


def test_the_key_itself_is_no_former_one() -> None:
    with pytest.raises(ConfigError, match=f"{FORMER} is the key itself; give the one"):
        former_accounts(config(), {**KEYS, FORMER: "second"})


def test_who_does_not_trade_is_not_given_it() -> None:
    environ = {**KEYS, FORMER: "first", f"{FORMER}_FILE": "x"}
    given = service_program("executor", environ, log=None).env
    assert given.items() >= environ.items()
    assert not service_program("risk", environ, log=None).env.keys() & environ.keys()
