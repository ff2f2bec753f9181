"""What `arb init` takes for an answer, and what it makes of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from services.cli import commands_init
from services.cli.init.answers import Answers, read_answers, split_list
from services.cli.init.rendering import render
from shared.config import parse_config
from shared.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('venues = ["mtgox"]', "no venue 'mtgox'; there are: binance,"),
        ("venues = []", "venues: at least one, and each once"),
        ("venues = 3", "Expected `array`, got `int` - at `$.venues`"),
        ('assets = ["BTC", "BTC"]', "assets: at least one, and each once"),
        ('assets = ["btc"]', "'btc' is no asset, such as BTC"),
        ('quote = "BTC"', "BTC cannot be traded for itself"),
        ("order_size = -1", "order_size: -1 is not above 0"),
        ("order_size = inf", "order_size: Infinity is not above 0"),
        ("order_size = 20000", "an order of 20000 is more than the capital, 10000"),
        ("nonsense = 1", "unknown field `nonsense`"),
        ("venues = [", "Invalid value"),
        ('[keys.bybit]\nkey_file = "k"\nsecret_file = "s"', "bybit is not among the venues"),
    ],
)
def test_an_answer_that_is_none_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_answers(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert expected in str(refused.value)


def test_lists_are_typed_with_commas_or_spaces() -> None:
    assert split_list(" BTC, ETH  SOL,") == ("BTC", "ETH", "SOL")
    assert split_list(" ") == ()


def test_spaces_that_were_pasted_around_a_key_are_not_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = {"Venues": "kraken", "API key": " key ", "API secret": "secret\t"}

    def prompt(text: str, default: str = "", **options: bool) -> str:
        return next((said for name, said in typed.items() if text.startswith(name)), default)

    monkeypatch.setattr(commands_init.typer, "prompt", prompt)
    answers, secrets = commands_init._asked()
    assert answers.venues == ("kraken",)
    assert secrets == {"ARB_KRAKEN_API_KEY": "key", "ARB_KRAKEN_API_SECRET": "secret"}


def test_limits_follow_from_size_and_capital() -> None:
    answers = Answers(venues=("kraken", "gateio"), order_size=Decimal("0.50"), capital=Decimal(20))
    config = parse_config(render(answers, "redis://r:6379/0"), "made")
    risk = config.risk
    limits = (risk.order_notional_max, risk.instrument_notional_max, risk.venue_notional_max)
    assert limits == (Decimal("0.5"), Decimal("2.5"), 20)
    assert (risk.total_notional_max, risk.daily_loss_max) == (40, Decimal("0.8"))
    assert (config.executor.mode, config.executor.paper_balance) == ("paper", 20)
