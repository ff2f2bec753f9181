"""Where signing keys come from, and who is given them."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.cli.settings import secrets_set
from services.cli.stack import service_program
from shared.bus.keys import (
    accept_unsigned_until_ns,
    find_command_keys,
    load_keys,
    new_key,
    notes_of_second_keys,
)
from shared.bus.signing import SigningKeys
from shared.config_sections import BusConfig, Config
from shared.errors import ConfigError
from shared.messages.control import CommandKind
from shared.streams import CTL_COMMAND, EXEC_PLAN, keys_of
from shared.watch.operate import signing_keys

BUS = BusConfig()


def signature(keys: SigningKeys) -> bytes:
    return keys.sign(EXEC_PLAN, b"payload")


def test_who_holds_which_key() -> None:
    held = {name: keys_of(name) for name in ("risk", "executor", "operator", "sentinel", "scanner")}
    assert held == {
        "risk": ("plan", "command"),
        "executor": ("plan", "command"),
        "operator": ("command",),
        "sentinel": ("command",),
        "scanner": (),
    }


def test_keys_are_made_at_the_first_start(tmp_path: Path) -> None:
    environ = {"ARB_KEYS_DIR": str(tmp_path / "keys")}
    made = load_keys("risk", BUS, environ)
    files = sorted((tmp_path / "keys").iterdir())
    assert [file.name for file in files] == ["command_key", "plan_key"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert signature(load_keys("executor", BUS, environ)) == signature(made) != b""
    command = find_command_keys(environ).sign(CTL_COMMAND, b"payload")
    assert command == made.sign(CTL_COMMAND, b"payload") != signature(made)


def test_a_second_key_that_is_accepted_is_noted_by_who_holds_it() -> None:
    both = {"ARB_PLAN_KEY": f"{new_key()}\n{new_key()}\n", "ARB_COMMAND_KEY": new_key()}
    assert notes_of_second_keys("executor", both).keys() == {"plan key"}
    assert notes_of_second_keys("sentinel", both) == {}
    assert notes_of_second_keys("risk", {"ARB_PLAN_KEY": new_key()}) == {}


def test_those_who_start_at_once_have_the_same_key(tmp_path: Path) -> None:
    environ = {"ARB_KEYS_DIR": str(tmp_path)}
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: signature(load_keys("risk", BUS, environ)), range(8)))
    assert len(set(made)) == 1


def test_a_service_that_needs_none_makes_none(tmp_path: Path) -> None:
    load_keys("scanner", BUS, {"ARB_KEYS_DIR": str(tmp_path / "keys")})
    find_command_keys({"ARB_KEYS_DIR": str(tmp_path / "keys")})
    assert not (tmp_path / "keys").exists()


def test_a_given_key_is_used_and_nothing_is_made(tmp_path: Path) -> None:
    new, old = new_key(), new_key()
    file = tmp_path / "plan"
    file.write_text(f"{new}\n{old}\n", encoding="utf-8")
    environ = {
        "ARB_PLAN_KEY_FILE": str(file),
        "ARB_COMMAND_KEY": old,
        "ARB_KEYS_DIR": str(tmp_path / "keys"),
    }
    keys = load_keys("risk", BUS, environ)
    assert signature(keys) == signature(SigningKeys({"plan": [new.encode()]}))
    from_before = signature(SigningKeys({"plan": [old.encode()]}))
    assert keys.flaw(EXEC_PLAN, b"payload", from_before, 0) == ""
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("short", "a plan key is of 32 to 64 bytes"),
        ("x" * 65, "a plan key is of 32 to 64 bytes"),
        ("\n".join(["x" * 32] * 3), "the plan key has 3 lines"),
    ],
)
def test_a_wrong_key_is_refused_without_showing_it(tmp_path: Path, key: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as error:
        load_keys("risk", BUS, {"ARB_PLAN_KEY": key, "ARB_KEYS_DIR": str(tmp_path)})
    assert key not in str(error.value)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    environ = {"ARB_KEYS_DIR": str(tmp_path)}
    load_keys("risk", BUS, environ)
    (tmp_path / "plan_key").chmod(0o640)
    with pytest.raises(ConfigError, match=r"may be used by others \(mode 040\); chmod 600"):
        load_keys("executor", BUS, environ)


def test_where_none_can_be_made_it_is_said_how_to_give_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="ARB_PLAN_KEY and ARB_PLAN_KEY_FILE are not set"):
        load_keys("risk", BUS, {"ARB_KEYS_DIR": str(tmp_path / "file" / "keys")})


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    """Half a file, of a machine that lost its power, must not become a key that all know."""
    (tmp_path / "plan_key").touch(mode=0o600)
    with pytest.raises(ConfigError, match="is empty"):
        load_keys("risk", BUS, {"ARB_KEYS_DIR": str(tmp_path)})


def test_until_when_unsigned_entries_are_accepted() -> None:
    until = BusConfig(accept_unsigned_until="2026-12-01T00:00:00Z")
    assert accept_unsigned_until_ns(until) == 1_796_083_200_000_000_000
    assert accept_unsigned_until_ns(BUS) == 0
    for wrong in ("tomorrow", "2026-12-01T00:00:00"):
        with pytest.raises(ConfigError, match="is no moment"):
            accept_unsigned_until_ns(BusConfig(accept_unsigned_until=wrong))


def test_the_supervisor_gives_keys_to_their_holders_only() -> None:
    environ = {"ARB_PLAN_KEY": "p", "ARB_COMMAND_KEY_FILE": "c", "PATH": "x"}
    given = {
        name: {
            k for k in service_program(name, environ, log=None).env if k.endswith(("KEY", "FILE"))
        }
        for name in ("risk", "executor", "scanner", "recorder")
    }
    both = {"ARB_PLAN_KEY", "ARB_COMMAND_KEY_FILE"}
    assert given == {"risk": both, "executor": both, "scanner": set(), "recorder": set()}


def test_secrets_are_masked() -> None:
    found = secrets_set(Config(), {"ARB_PLAN_KEY": "sesame", "ARB_COMMAND_KEY_FILE": "/x"})
    assert (found["ARB_PLAN_KEY"], found["ARB_COMMAND_KEY"]) == (
        "*** (environment)",
        "*** (file /x)",
    )


def test_an_operator_without_a_key_can_only_halt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARB_KEYS_DIR", str(tmp_path))
    for name in ("ARB_COMMAND_KEY", "ARB_COMMAND_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert not signing_keys(CommandKind.HALT).has("command")
    for kind in set(CommandKind) - {CommandKind.HALT}:
        with pytest.raises(ConfigError, match=f"{kind} must be signed and there is no key"):
            signing_keys(kind)
    monkeypatch.setenv("ARB_COMMAND_KEY", "short")
    assert not signing_keys(CommandKind.HALT).has("command")
    with pytest.raises(ConfigError, match="is of 32 to 64 bytes"):
        signing_keys(CommandKind.RESUME)
    load_keys("risk", BUS, {"ARB_KEYS_DIR": os.environ["ARB_KEYS_DIR"]})
    monkeypatch.delenv("ARB_COMMAND_KEY")
    assert signing_keys(CommandKind.RESUME).has("command")
