"""`arb backup` and `arb restore`: what must survive comes back as it was, and a drill can fail."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest
import redis
import redis.asyncio

from services.cli.app import run
from services.cli.backup import archive
from services.cli.backup.reading import read_all
from services.cli.backup.restoring import restore
from shared.bus.tuning import LEDGER_KEY, POSITION_KEY, checkpoint_key, lease_key
from shared.embedded import EmbeddedServer
from shared.messages.control import CommandKind
from shared.streams import CTL_COMMAND, EXEC_EVENT, EXEC_PLAN, MD_STATUS, RISK_EVENT
from shared.watch.link import open_redis
from tests.integration.processes import ServiceProcess
from tests.integration.test_acl import GuardedServer
from tests.integration.test_drills import CONFIG, say
from tests.support import ROOT, eventually, eventually_sync

EVENTS, PLANS = EXEC_EVENT.key(), EXEC_PLAN.key()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "bus") as running:
        yield running


def client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2)


def arb(
    *arguments: object, folder: Path, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("ARB_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", *map(str, arguments)],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT), **(more or {})},
        capture_output=True,
        timeout=120,
        check=False,
    )


def saved(server: EmbeddedServer, folder: Path) -> Path:
    done = arb("backup", "b.tgz", "--redis", server.url, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "b.tgz"


def fill_in(server: EmbeddedServer) -> None:
    bus = client(server)
    for number in range(1, 8):
        bus.xadd(EVENTS, {"m": b"event \xff\r\n%d" % number}, id=f"{number}-0")
    bus.xtrim(EVENTS, maxlen=5, approximate=False)
    bus.xgroup_create(EVENTS, "risk", "0")
    bus.xgroup_create(EVENTS, "done", "0")
    for group in ("risk", "done"):
        bus.xreadgroup(group, "a", {EVENTS: ">"}, count=4)
    bus.xack(EVENTS, "done", "3-0", "4-0", "5-0", "6-0")
    bus.xack(EVENTS, "risk", "3-0", "5-0")
    bus.xadd(PLANS, {"m": "gone", "s": "signature"}, id="5-5")
    bus.xdel(PLANS, "5-5")
    bus.set(checkpoint_key("risk"), b"\x00state")
    bus.hset(POSITION_KEY, mapping={f"risk:1:{n}": f"{n}-0" for n in range(1_200)})
    bus.set(lease_key("risk"), "risk-1", px=60_000)
    bus.xadd(MD_STATUS.key(), {"m": "market data"})


def test_everything_that_must_survive_comes_back_as_it_was(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    fill_in(server)
    place = saved(server, tmp_path)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    done = arb("restore", place, "--dir", tmp_path / "new", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with EmbeddedServer(tmp_path / "new") as restored:
        bus, was = client(restored), client(server)
        assert {key.decode() for key in bus.scan_iter()} == {
            EVENTS,
            PLANS,
            checkpoint_key("risk"),
            POSITION_KEY,
        }
        assert bus.xrange(EVENTS) == was.xrange(EVENTS) and bus.xlen(EVENTS) == 5
        assert bus.get(checkpoint_key("risk")) == b"\x00state"
        assert bus.hgetall(POSITION_KEY) == was.hgetall(POSITION_KEY)
        for key in (EVENTS, PLANS):
            told, before = bus.xinfo_stream(key), was.xinfo_stream(key)
            for name in ("last-generated-id", "entries-added", "max-deleted-entry-id", "length"):
                assert told[name] == before[name], name
        again = bus.xreadgroup("risk", "b", {EVENTS: ">"})
        assert [at for at, _ in again[0][1]] == [b"4-0", b"5-0", b"6-0", b"7-0"], (
            "what was not acknowledged, and all after it"
        )
        assert [at for at, _ in bus.xreadgroup("done", "b", {EVENTS: ">"})[0][1]] == [b"7-0"]
        groups = {each["name"]: each for each in was.xinfo_groups(EVENTS)}
        done_group = next(g for g in bus.xinfo_groups(EVENTS) if g["name"] == b"done")
        assert done_group["entries-read"] == groups[b"done"]["entries-read"] + 1


def has_reported(server: EmbeddedServer) -> bool:
    told = client(server).xrevrange(RISK_EVENT.key(), count=20)
    return any(b"risk_report" in fields[b"m"] for _, fields in told)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Take a port, as a service that goes on running has its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def test_risk_starts_halted_on_it_with_the_same_accounts(
    server: EmbeddedServer, tmp_path: Path, taken_port: int
) -> None:
    config = CONFIG.format(url=server.url)
    taken = f"[observe]\nhttp_port = {taken_port}\n[process]\nprocessors = {{ risk = [4095] }}\n"
    (tmp_path / "arb.toml").write_text(config + taken)
    with ServiceProcess("risk", tmp_path, config) as risk:
        await eventually(lambda: client(server).hget(LEDGER_KEY, "risk"), timeout_s=30)
        await say(server, CommandKind.HALT)
        await eventually(lambda: has_reported(server), timeout_s=30)
        place = saved(server, tmp_path)
        assert risk.process.poll() is None, "a backup is made while everything runs"
    tried = arb("restore", place, "--drill", "--json", folder=tmp_path)
    found = json.loads(tried.stdout)
    assert tried.returncode == 0 and found["well"], found
    texts = " | ".join(line["text"] for line in found["lines"])
    assert "risk starts on it: HALTED, DATA_LOST: Redis was restored from the backup of" in texts
    assert "its accounts are those of the last report" in texts
    assert client(server).xlen(CTL_COMMAND.key()) == 1


def test_a_drill_objects_to_what_is_not_as_it_was(server: EmbeddedServer, tmp_path: Path) -> None:
    fill_in(server)
    place = saved(server, tmp_path)
    with archive.opened(place) as (manifest, parts):
        wrong = [
            msgspec.structs.replace(each, sha256="0" * 64) if each.key == EVENTS else each
            for each in manifest.keys
        ]
        wrong.append(msgspec.structs.replace(wrong[0], key="{arb}:checkpoint:gone"))
        archive.write(tmp_path / "w.tgz", msgspec.structs.replace(manifest, keys=wrong), parts)
    done = arb("restore", "w.tgz", "--drill", folder=tmp_path)
    assert done.returncode == 1
    text = done.stdout.decode()
    assert f"BAD  {EVENTS} is another stream" in text
    assert "BAD  {arb}:checkpoint:gone is missing" in text
    assert "CANNOT be restored" in text


def test_a_drill_says_that_redis_cannot_load_it(server: EmbeddedServer, tmp_path: Path) -> None:
    fill_in(server)
    with archive.opened(saved(server, tmp_path)) as (manifest, parts):
        commands = parts[archive.AOF]
        commands.write_bytes(commands.read_bytes() + b"*1\r\n$5\r\nWRONG\r\n")
        told = {**manifest.parts, archive.AOF: archive.part_of(commands)}
        archive.write(tmp_path / "w.tgz", msgspec.structs.replace(manifest, parts=told), parts)
    done = arb("restore", "w.tgz", "--drill", folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "BAD  Redis cannot load it" in done.stdout.decode()


def test_a_drill_that_is_ended_leaves_nothing(server: EmbeddedServer, tmp_path: Path) -> None:
    fill_in(server)
    client(server).hset(LEDGER_KEY, "id", "ledger-1")
    (tmp_path / "arb.toml").write_text(CONFIG.format(url=server.url))
    place, used = saved(server, tmp_path), tmp_path / "used"
    used.mkdir()
    drill = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "restore", str(place), "--drill"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(used)},
    )
    eventually_sync(lambda: list(used.glob("arb-drill-*/redis/valkey.log")), timeout_s=60)
    drill.terminate()
    assert drill.wait(30) == 128 + signal.SIGTERM
    assert not list(used.iterdir())
    assert str(used) not in "".join(map(command_line, Path("/proc").glob("[0-9]*")))


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command in this process; it ends with 2 and one line that holds a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARB_CONFIG", raising=False)

    def ask(text: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["arb", *map(str, arguments)])
        capsys.readouterr()
        assert run() == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert text in error, error

    return ask


def test_nothing_that_exists_is_replaced(server: EmbeddedServer, tmp_path: Path, refused) -> None:
    fill_in(server)
    place = saved(server, tmp_path)
    before = place.read_bytes()
    refused("is there already", "backup", "b.tgz", "--redis", server.url)
    assert place.read_bytes() == before
    refused("holds data already", "restore", place, "--dir", server.directory)
    refused("has no ledger", "restore", place, "--dir", "d", "--ledger", "l")
    (tmp_path / "arb.toml").write_text(CONFIG.format(url=server.url))
    assert arb("backup", "c.tgz", folder=tmp_path).returncode == 0
    again = ("restore", "c.tgz", "--dir", "d", "--config", "arb.toml")
    refused("arb.toml is there already", *again)
    assert not (tmp_path / "d").exists(), "a refused restore writes nothing"


@pytest.mark.parametrize("how", ["torn", "changed", "other", "empty", "format", "stranger"])
def test_a_damaged_backup_is_one_clear_line(
    server: EmbeddedServer, tmp_path: Path, refused, how: str
) -> None:
    fill_in(server)
    place = saved(server, tmp_path)
    raw = place.read_bytes()
    with archive.opened(place) as (manifest, parts):
        if how == "torn":
            place.write_bytes(raw[: len(raw) // 2])
        elif how in {"other", "empty"}:
            place.write_bytes(b"not a backup" if how == "other" else b"")
        else:
            place.unlink()
            if how == "changed":
                parts[archive.AOF].write_bytes(parts[archive.AOF].read_bytes()[::-1])
            elif how == "format":
                manifest = msgspec.structs.replace(manifest, format=99)
            archive.write(place, manifest, parts)
            if how == "stranger":
                with tarfile.open(place, "w:gz") as tar:
                    tar.add(ROOT / "README.md", "../README.md")
    for arguments in (("--drill",), ("--dir", "d")):
        refused("b.tgz", "restore", place, *arguments)
    assert not (tmp_path / "d").exists()


def test_what_was_asked_for_wrongly_is_one_clear_line(
    server: EmbeddedServer, tmp_path: Path, refused
) -> None:
    ask = ["--redis", server.url]
    refused("holds nothing of arbstream", "backup", "b.tgz", *ask)
    refused("standard output", "backup", "-", "--json", *ask)
    refused("no.toml", "backup", "b.tgz", "--config", "no.toml", *ask)
    refused("no.tgz", "restore", "no.tgz", "--drill")
    refused("--dir DIR", "restore", "no.tgz")
    refused("leaves nothing", "restore", "n", "--drill", "--ledger", "l")
    client(server).zadd("{arb}:odd", {"a": 1})
    refused("{arb}:odd is a zset", "backup", "b.tgz", *ask)
    assert [path.name for path in tmp_path.iterdir()] == ["bus"]


def test_the_operator_of_a_deployment_may_save_all_of_it(tmp_path: Path) -> None:
    with GuardedServer(tmp_path / "bus") as guarded:
        services = redis.Redis(
            unix_socket_path=guarded.url.removeprefix("unix://"), username="risk", password="risk"
        )
        services.hset(LEDGER_KEY, "id", "ledger-1")
        services.set(checkpoint_key("risk"), b"state")
        login = {"ARB_REDIS_USERNAME": "operator", "ARB_REDIS_PASSWORD": "operator"}
        done = arb("backup", "b.tgz", "--redis", guarded.url, "--json", folder=tmp_path, more=login)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["ledger_id"] == "ledger-1"
        tried = arb("restore", "b.tgz", "--drill", folder=tmp_path, more=login)
        assert b"ok   Redis loads it: 2 keys" in tried.stdout, tried.stderr
        login = {"ARB_REDIS_USERNAME": "exporter", "ARB_REDIS_PASSWORD": "exporter"}
        done = arb("backup", "c.tgz", "--redis", guarded.url, folder=tmp_path, more=login)
        assert done.returncode == 1 and b"this user may not read all" in done.stderr, done.stderr


async def test_keys_that_go_while_they_are_read_are_left_out(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_in(server)
    bus, begin = client(server), redis.asyncio.Redis.pipeline

    def pipeline(asked: redis.asyncio.Redis, *, transaction: bool) -> object:
        if transaction:
            bus.delete(EVENTS, POSITION_KEY, checkpoint_key("risk"))
        return begin(asked, transaction=transaction)

    monkeypatch.setattr(redis.asyncio.Redis, "pipeline", pipeline)
    async with open_redis(server.url) as (asked, where):
        assert [each.key for each in await read_all(asked, where)] == [PLANS]


def test_a_line_says_which_secrets_the_configuration_holds(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    fill_in(server)
    config = CONFIG.format(url="redis://operator:sesame@127.0.0.1:6379/0")
    config += '[notifier]\nheartbeat_url = "https://example.com/a-secret"\n'
    (tmp_path / "arb.toml").write_text(config)
    done = arb("backup", "b.tgz", "--redis", server.url, folder=tmp_path)
    assert done.returncode == 0
    assert b"secrets are in it, as in arb.toml: bus.url, notifier.heartbeat_url\n" in done.stderr
    assert b"sesame" not in done.stderr
    (tmp_path / "arb.toml").write_text(CONFIG.format(url=server.url))
    assert b"secrets are in it" not in arb("backup", "c.tgz", folder=tmp_path).stderr


def test_a_restore_that_fails_leaves_nothing(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_in(server)
    (tmp_path / "arb.toml").write_text(CONFIG.format(url=server.url))
    place = saved(server, tmp_path)

    def full(given: BinaryIO, file: BinaryIO) -> None:
        file.write(given.read(100))
        if "aof" in str(given.name):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    target, config = tmp_path / "new", tmp_path / "new.toml"
    with archive.opened(place) as (manifest, parts), pytest.raises(OSError, match="No space"):
        restore(manifest, parts, target, config=config)
    assert list(target.iterdir()) == [] and not config.exists()


def test_a_backup_goes_where_files_have_no_links(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_in(server)
    place, again = saved(server, tmp_path), tmp_path / "usb" / "b.tgz"

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with archive.opened(place) as (manifest, parts):
        archive.write(again, manifest, parts)
    assert list(again.parent.iterdir()) == [again]
    assert stat.S_IMODE(again.stat().st_mode) == 0o600
    with archive.opened(again) as (copied, _):
        assert copied == manifest


def test_a_backup_can_be_piped_on(server: EmbeddedServer, tmp_path: Path) -> None:
    fill_in(server)
    done = arb("backup", "-", "--redis", server.url, folder=tmp_path)
    assert done.returncode == 0 and b"not in it: secrets" in done.stderr
    (tmp_path / "p.tgz").write_bytes(done.stdout)
    tried = arb("restore", "p.tgz", "--drill", folder=tmp_path)
    assert tried.returncode == 0, tried.stdout
    assert b"no service has begun a ledger yet" in tried.stdout
