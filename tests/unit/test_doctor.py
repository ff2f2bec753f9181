"""`arb doctor`: each check with what is wrong in it, and what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.commands_doctor import lines_of
from services.cli.doctor.check import Check, Level
from services.cli.doctor.key_checks import check_keys
from services.cli.doctor.machine_checks import (
    Machine,
    SetUp,
    check_clocks,
    check_machine,
    check_set_up,
)
from services.cli.doctor.reading import read_machine, read_set_up
from services.cli.doctor.redis_checks import RedisFacts, check_redis
from shared.venues.key_rights import UNTOLD, KeyRights
from tests.support import ROOT

GOOD_INFO: dict[str, Any] = {
    "redis_version": "7.2.4",
    "maxmemory": 1_000_000_000,
    "maxmemory_policy": "noeviction",
    "used_memory": 400_000_000,
    "evicted_keys": 0,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
}


def redis(mode: str = "live", *, here: bool = True, **changes: Any) -> dict[str, Check]:
    """The checks of a Redis that is right but for the changes of INFO, by name."""
    facts = RedisFacts(where="redis://r", info={**GOOD_INFO, **changes}, is_here=here)
    facts.has_password, facts.offset_ms = True, 3.0
    return {each.name: each for each in check_redis(facts, mode)}


def test_a_redis_that_is_right_has_nothing_to_mend():
    checks = redis()
    assert {each.level for each in checks.values()} == {Level.OK}
    assert checks["redis"].text == "redis 7.2.4 answers at redis://r"
    assert checks["redis memory"].text == "400 of 1,000 MB used"


@pytest.mark.parametrize(
    ("name", "changes", "level", "part"),
    [
        ("redis eviction", {"maxmemory_policy": "allkeys-lru"}, Level.FAILED, "allkeys-lru"),
        ("redis evicted", {"evicted_keys": 3}, Level.FAILED, "3 keys were evicted"),
        ("redis memory", {"maxmemory": 0}, Level.WARNING, "no bound"),
        ("redis memory", {"used_memory": 900_000_000}, Level.WARNING, "900 of 1,000 MB"),
        ("redis AOF", {"aof_enabled": 0}, Level.FAILED, "no append-only file"),
        ("redis AOF", {"aof_last_write_status": "err"}, Level.FAILED, "aof_last_write_status"),
        ("redis AOF", {"rdb_last_bgsave_status": "err"}, Level.FAILED, "rdb_last_bgsave"),
    ],
)
def test_what_is_wrong_with_redis(name, changes, level, part):
    found = redis(**changes)[name]
    assert (found.level, part in found.text) == (level, True)
    assert found.right


def test_without_a_file_of_its_own_only_live_fails():
    assert redis("paper", aof_enabled=0)["redis AOF"].level is Level.WARNING


def test_what_a_server_does_not_tell_is_no_ok():
    facts = RedisFacts(where="r", info={}, has_password=True)
    checks = {each.name: each for each in check_redis(facts, "live")}
    for name in ("redis eviction", "redis memory", "redis AOF", "redis clock"):
        assert checks[name].level is Level.WARNING
        assert checks[name].text.startswith("cannot be checked")


def test_the_rest_of_redis():
    facts = RedisFacts(where="r", info=GOOD_INFO, no_writes="Redis is a read-only replica")
    facts.dead, facts.offset_ms = {"exec.plan": 2}, -900.0
    checks = {each.name: each for each in check_redis(facts, "paper")}
    assert checks["redis writes"] == Check(
        "redis writes", Level.FAILED, "Redis is a read-only replica", "docs/runbook.md, Redis"
    )
    assert checks["dead letters"].text == "entries were not handled: 2 of exec.plan"
    assert (checks["redis clock"].level, checks["redis clock"].text) == (
        Level.WARNING,
        "900 ms behind ours",
    )
    assert (checks["redis users"].level, "network" in checks["redis users"].text) == (
        Level.FAILED,
        True,
    )
    facts.is_here = True
    checks = {each.name: each for each in check_redis(facts, "paper")}
    assert checks["redis users"].level is Level.WARNING
    (away,) = check_redis(RedisFacts(where="r", away="cannot reach Redis at r"), "paper")
    assert (away.level, away.text) == (Level.FAILED, "cannot reach Redis at r")


@pytest.mark.parametrize(
    ("late", "level", "part"),
    [
        (40.0, Level.OK, "arrive 40 ms after"),
        (600.0, Level.WARNING, "arrive 600 ms after"),
        (1_200.0, Level.FAILED, "arrive 1,200 ms after"),
        (-1_200.0, Level.FAILED, "is 1,200 ms ahead of ours"),
    ],
)
def test_clocks_of_venues(late, level, part):
    (found,) = check_clocks({"alpha": late}, 1_000)
    assert (found.level, part in found.text) == (level, True)


def test_clocks_that_nobody_tells_are_no_ok():
    (found,) = check_clocks({}, 1_000)
    assert found.level is Level.WARNING


def test_a_configuration_that_is_right(tmp_path):
    path = tmp_path / "arb.toml"
    path.write_bytes((ROOT / "arb.example.toml").read_bytes())
    path.chmod(0o644)
    secret = tmp_path / "password"
    secret.write_text("abc")
    secret.chmod(0o600)
    environ = {"ARB_REDIS_PASSWORD_FILE": str(secret)}
    found, config = read_set_up(str(path), environ)
    assert config is not None
    assert [(each.name, each.level) for each in check_set_up(found)] == [
        ("config", Level.OK),
        ("limits", Level.OK),
        ("keys", Level.OK),
        ("secret files", Level.OK),
    ]
    path.chmod(0o666)
    secret.chmod(0o640)
    found, _ = read_set_up(str(path), environ)
    wrong = [each for each in check_set_up(found) if each.level is not Level.OK]
    assert [(each.name, each.level, each.right) for each in wrong] == [
        ("config file", Level.FAILED, f"chmod go-w {path}"),
        ("secret files", Level.WARNING, f"chmod 600 {secret}, unless only this container sees it"),
    ]
    assert "abc" not in str(found)


def test_a_configuration_that_is_wrong_or_missing(tmp_path):
    path = tmp_path / "arb.toml"
    for text in (None, "[risk]\nx = 1\n"):
        if text is not None:
            path.write_text(text)
        found, config = read_set_up(str(path), {})
        assert config is None
        checks = list(check_set_up(found))
        assert (checks[-1].name, checks[-1].level) == ("config", Level.FAILED)


def test_live_needs_keys():
    found = SetUp(path="arb.toml", mode="live", keyless=["alpha"], without_limits=["EUR"])
    checks = {each.name: each for each in check_set_up(found)}
    assert (checks["keys"].level, checks["keys"].text) == (Level.FAILED, "not set for alpha")
    assert "ARB_ALPHA_API_KEY" in checks["keys"].right
    assert (checks["limits"].level, "EUR" in checks["limits"].text) == (Level.WARNING, True)
    found.keyless = []
    assert {each.name: each.level for each in check_set_up(found)}["keys"] is Level.OK


def test_the_machine():
    found = Machine(disks={"/data": (1_000_000_000, 100_000_000_000)}, open_files=256)
    found.huge_pages, found.overcommit = "always", "0"
    checks = {each.name: each.level for each in check_machine(found, has_redis=True)}
    assert checks == dict.fromkeys(
        ("disk", "open files", "huge pages", "overcommit"), Level.WARNING
    )
    assert len(list(check_machine(found, has_redis=False))) == 2
    found.disks["/data"] = (0, 100_000_000_000)
    assert next(check_machine(found, has_redis=False)).level is Level.FAILED
    here = read_machine(None)
    assert here.disks[str(Path.cwd())][0] >= 0
    assert here.open_files > 0


def test_lines_fit_80_columns_and_count():
    checks = [Check("a", Level.FAILED, "x " * 90, "y" * 120), Check("b", Level.OK, "fine", "no")]
    lines = lines_of(checks)
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1] == "2 checks: 1 failed, 0 with a warning"
    assert not any("right: no" in line for line in lines)
    assert json.dumps([each._asdict() for each in checks])


DAY_MS = 86_400_000
NOW_MS = 1_795_000_000_000


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (KeyRights(False, True, 0), ["ok: it may not withdraw"]),
        (
            KeyRights(True, False, 0),
            [
                "failed: it may withdraw, so it is refused for trading",
                "warning: it works from every address",
            ],
        ),
        (UNTOLD, ["warning: the venue does not tell whether it may withdraw"]),
        (
            KeyRights(False, True, NOW_MS + 3 * DAY_MS),
            ["ok: it may not withdraw", "warning: it ends on 2026-11-21"],
        ),
        (
            KeyRights(False, True, NOW_MS),
            ["ok: it may not withdraw", "failed: it ended on 2026-11-18"],
        ),
        (KeyRights(False, True, NOW_MS + 15 * DAY_MS), ["ok: it may not withdraw"]),
        (
            "alpha: no connection",
            ["warning: what it may do could not be asked: alpha: no connection"],
        ),
    ],
)
def test_keys_that_are_a_danger_are_named(told: KeyRights | str, expected: list[str]) -> None:
    found = list(check_keys({"alpha": told}, NOW_MS))
    assert [f"{each.level}: {each.text}" for each in found] == expected
    assert {each.name for each in found} == {"key of alpha"}
    assert all(each.right for each in found if each.level is not Level.OK)
