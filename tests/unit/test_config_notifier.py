"""The section [notifier]: what is refused, and that no secret is shown."""

from __future__ import annotations

import pytest

from services.cli.settings import secret_names, secrets_set, to_toml
from services.cli.stack import service_program
from shared.config import parse_config
from shared.errors import ConfigError

PHONE = '[[notifier.channels]]\nname = "phone"\nkind = "telegram"\nchat = "-100123"\n'


def test_a_channel_reads_back_as_it_was_written() -> None:
    config = parse_config(PHONE, "arb.toml")
    assert parse_config(to_toml(config), "again") == config
    assert config.notifier.channels[0].severities == ("critical", "warning")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (PHONE.replace("-100123", "my chat"), "notifier.channels.phone.chat"),
        (PHONE.replace('"phone"', '"My Phone"'), "lower-case letters"),
        (PHONE.replace('"phone"', '"heartbeat"'), "is not heartbeat"),
        (PHONE + PHONE, "two channels have this name"),
        (PHONE + "severities = []\n", "severities is empty"),
        (PHONE + 'severities = ["loud"]\n', "loud"),
        (PHONE + 'colour = "red"\n', "colour"),
        (PHONE.replace("telegram", "pager"), "pager"),
        (PHONE.replace("telegram", "webhook"), "phone.url is missing"),
        (PHONE.replace("telegram", "slack") + 'url = "https://h"\n', "ARB_NOTIFY_PHONE_SECRET"),
        (PHONE + 'url = "ftp://h"\n', "not an address"),
        (PHONE.replace("telegram", "email"), "host is missing"),
        (PHONE.replace("telegram", "email") + 'host = "h"\n', "sender"),
        (
            PHONE.replace("telegram", "email") + 'host = "h"\nsender = "a@b"\nto = ["x y"]\n',
            "phone.to",
        ),
        ("[notifier]\nexposure_notional_max = 0\n", "exposure_notional_max"),
        ('[notifier]\nsystem = ""\n', "notifier.system"),
        ('[notifier]\nheartbeat_url = "peer"\n', "notifier.heartbeat_url"),
    ],
)
def test_what_could_tell_nobody_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "arb.toml")
    assert problem in str(caught.value)


def test_secrets_are_named_and_masked() -> None:
    config = parse_config('[notifier]\nheartbeat_url = "http://peer/ping"\n' + PHONE, "arb.toml")
    names = ("ARB_NOTIFY_PHONE_SECRET", "ARB_NOTIFY_HEARTBEAT_SECRET")
    assert set(names) <= set(secret_names(config))
    shown = secrets_set(config, {names[0]: "123:token", f"{names[1]}_FILE": "/run/x"})
    assert (shown[names[0]], shown[names[1]]) == ("*** (environment)", "*** (file /run/x)")


def test_only_the_notifier_is_given_them() -> None:
    given = {"ARB_NOTIFY_PHONE_SECRET": "t", "ARB_KRAKEN_API_KEY": "k"}
    held = {name: service_program(name, given, log=None).env for name in ("notifier", "executor")}
    assert "ARB_NOTIFY_PHONE_SECRET" in held["notifier"]
    assert "ARB_KRAKEN_API_KEY" not in held["notifier"]
    assert "ARB_NOTIFY_PHONE_SECRET" not in held["executor"]
