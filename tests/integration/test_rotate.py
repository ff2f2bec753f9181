"""``deploy.rotate`` on a real server: two passwords, then the new one; broken off and refused."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from deploy.acl import RELOAD, USERS
from shared import codec
from shared.clock import SystemClock
from shared.streams import SYS_HEALTH
from tests.decision_builders import make_beat
from tests.rotation import AclServer, Deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(tmp_path) as running:
        yield running


def test_both_passwords_are_accepted_until_the_old_ones_are_dropped(deployment: Deployment) -> None:
    before = deployment.passwords()
    assert deployment.rotate("begin") == (
        0,
        f"rotate: {len(USERS)} users have a new password, and Redis accepts both; restart the "
        "services one after the other, then deploy.rotate finish",
    )
    after = deployment.passwords()
    assert not set(before.values()) & set(after.values())
    assert all(deployment.accepts(user, before[user]) for user in USERS)
    assert all(deployment.accepts(user, after[user]) for user in USERS)
    for path in deployment.run.glob("secrets/*/*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o400, path
    assert deployment.rotate("finish")[0] == 0
    assert not any(deployment.accepts(user, before[user]) for user in USERS)
    assert all(deployment.accepts(user, after[user]) for user in USERS)
    assert sorted(path.name for path in deployment.run.rglob("*redis_password*")) == [
        "redis_password"
    ] * len(USERS)
    code, said = deployment.rotate("finish")
    assert (code, said) == (
        2,
        "rotate: no change of passwords is under way; deploy.rotate begin starts one",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change files of others")
def test_root_leaves_files_to_the_users_who_read_them(deployment: Deployment) -> None:
    names = ("redis_password", "plan_key", "command_key")
    files = [deployment.secret("risk", name) for name in names]
    for path in files:
        os.chown(path, 4321, 4322)
    deployment.rotate("begin")
    deployment.rotate("keys", "begin")
    for path in files:
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4321, 4322, 0o400)
    assert deployment.secret("scanner", "redis_password").stat().st_uid == 0


def test_a_third_password_is_refused(deployment: Deployment) -> None:
    deployment.rotate("begin")
    after = deployment.passwords()
    code, said = deployment.rotate("begin")
    assert code == 2
    assert said.startswith("rotate: a change of passwords is under way already: restart every")
    assert deployment.passwords() == after


def test_whoever_is_connected_since_before_is_named_and_stays_connected(
    deployment: Deployment,
) -> None:
    """On Redis 7.0 nobody is: it closes all connections to read its ACL file."""
    old = deployment.client("operator", deployment.passwords()["operator"])
    old.ping()
    deployment.age_connections()
    deployment.rotate("begin")
    old.ping()
    code, said = deployment.rotate("finish")
    assert code == 2
    assert "not started again since there are new passwords: operator; restart these" in said
    assert deployment.rotate("status")[1].endswith("still to be restarted: operator")
    code, said = deployment.rotate("finish", "--anyway")
    assert code == 0, said
    old.ping()
    old.connection_pool.disconnect()
    with pytest.raises(redis.exceptions.AuthenticationError):
        old.ping()


def test_a_service_that_was_not_restarted_is_named_however_new_its_connection(
    deployment: Deployment,
) -> None:
    def say(service: str, ts_started_ns: int) -> None:
        beat = make_beat(service, SystemClock.now_ns(), ts_started_ns)
        with deployment.client(service, deployment.passwords()[service]) as client:
            client.xadd(SYS_HEALTH.key(), {codec.FIELD: codec.encode(SYS_HEALTH, [beat])})

    began_ns = SystemClock.now_ns()
    deployment.rotate("begin")
    say("risk", SystemClock.now_ns())
    say("scanner", began_ns)
    code, said = deployment.rotate("finish")
    assert code == 2
    assert "since there are new passwords: scanner; restart these" in said


def test_a_service_that_was_restarted_just_now_is_not_named(deployment: Deployment) -> None:
    """What its former process said last is seconds old, and it says nothing more."""
    began_ns, over = SystemClock.now_ns(), threading.Event()
    deployment.rotate("begin")

    def say(instance: str, ts_started_ns: int) -> None:
        beat = make_beat("risk", SystemClock.now_ns(), ts_started_ns, instance=instance)
        with deployment.client("risk", deployment.passwords()["risk"]) as client:
            client.xadd(SYS_HEALTH.key(), {codec.FIELD: codec.encode(SYS_HEALTH, [beat])})

    def run(started_ns: int) -> None:
        while not over.wait(0.2):
            say("second", started_ns)

    say("first", began_ns)
    second = threading.Thread(target=run, args=[SystemClock.now_ns()])
    second.start()
    try:
        code, said = deployment.rotate("finish")
    finally:
        over.set()
        second.join()
    assert code == 0, said


def test_what_was_prepared_again_meanwhile_keeps_both(deployment: Deployment) -> None:
    before = deployment.passwords()
    deployment.rotate("begin")
    deployment.prepare()
    deployment.server.stop()
    deployment.server.start()
    assert all(deployment.accepts(user, before[user]) for user in USERS)
    assert all(deployment.accepts(user, word) for user, word in deployment.passwords().items())


def test_two_that_write_the_same_files_do_so_one_after_the_other(deployment: Deployment) -> None:
    """Each would take away the other's half-written users.acl, or put it in place."""
    with (deployment.run / "acl" / "rotation.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = deployment.rotate("begin")
        assert (code, said) == (2, "rotate: another deploy.rotate is at work here; wait for it")
        acl = deployment.run / "acl" / "users.acl"
        acl.unlink()
        with ThreadPoolExecutor(1) as pool:
            prepared = pool.submit(deployment.prepare)
            with pytest.raises(TimeoutError):
                prepared.result(timeout=5)
            assert not acl.exists()
            fcntl.flock(lock, fcntl.LOCK_UN)
            prepared.result()
        assert acl.exists()


def test_without_redis_nothing_is_handed_out_and_it_is_repeated(deployment: Deployment) -> None:
    before = deployment.passwords()
    deployment.server.stop()
    code, said = deployment.rotate("begin")
    assert code == 2
    assert said.startswith("rotate: Redis at unix://")
    assert deployment.passwords() == before
    assert deployment.rotate("finish") == (
        2,
        "rotate: deploy.rotate begin was broken off; repeat it first",
    )
    offered = {path: path.read_text() for path in deployment.run.rglob("*.next")}
    assert len(offered) == len(USERS)
    deployment.server.start()
    assert deployment.rotate("begin")[0] == 0
    assert set(deployment.passwords().values()) == {text.strip() for text in offered.values()}


def test_handed_out_in_part_it_is_repeated_without_a_third_password(
    deployment: Deployment,
) -> None:
    before = deployment.passwords()
    deployment.rotate("begin")
    after = deployment.passwords()
    folder = deployment.run / "secrets" / "scanner"
    (folder / "redis_password").rename(folder / "redis_password.next")
    (folder / "redis_password").write_text(before["scanner"] + "\n")
    record = deployment.run / "acl" / "rotation.json"
    told = json.loads(record.read_text())
    record.unlink()
    record.write_text(json.dumps({**told, "handed_out_s": 0}))
    assert deployment.rotate("begin")[0] == 0
    assert deployment.passwords() == after
    assert all(deployment.accepts(user, before[user]) for user in USERS)


def test_a_server_that_does_not_know_who_reloads_is_to_be_restarted_once(
    deployment: Deployment,
) -> None:
    acl = deployment.run / "acl" / "users.acl"
    whole = acl.read_text()
    acl.chmod(0o644)
    acl.write_text("".join(s for s in whole.splitlines(True) if not s.startswith("user reload")))
    deployment.server.stop()
    deployment.server.start()
    code, said = deployment.rotate("begin")
    assert code == 2
    assert f"does not know the user {RELOAD} of acl/users.acl yet: restart Redis once" in said
    deployment.server.stop()
    deployment.server.start()
    assert deployment.rotate("begin")[0] == 0


def test_a_server_with_another_acl_file_is_told(deployment: Deployment) -> None:
    aside = deployment.run / "aside.acl"
    aside.write_text((deployment.run / "acl" / "users.acl").read_text())
    deployment.server.acl = aside
    deployment.server.stop()
    deployment.server.start()
    before = deployment.passwords()
    code, said = deployment.rotate("begin")
    assert code == 2
    assert "its aclfile is not this deployment's acl/users.acl" in said
    assert deployment.passwords() == before


def test_a_server_with_a_copy_of_the_file_is_not_said_to_have_dropped_passwords(
    deployment: Deployment,
) -> None:
    """Redis on another machine: the file is brought there by hand, twice."""
    copy, before = deployment.run / "copy.acl", deployment.passwords()

    def bring() -> None:
        copy.write_text((deployment.run / "acl" / "users.acl").read_text())

    bring()
    deployment.server.acl = copy
    deployment.server.stop()
    deployment.server.start()
    for step in ("begin", "finish"):
        code, said = deployment.rotate(step)
        assert code == 2, said
        assert "its aclfile is not this deployment's acl/users.acl; bring that there" in said
        bring()
        code, said = deployment.rotate(step)
        assert code == 0, said
    assert not any(deployment.accepts(user, before[user]) for user in USERS)


def test_every_server_of_a_group_takes_part(deployment: Deployment, tmp_path: Path) -> None:
    code, said = deployment.python("deploy.prepare", ARB_REDIS_FIRST="127.0.0.1")
    assert code == 0, said
    deployment.server.stop()
    deployment.server.start()
    before = deployment.passwords()
    second = AclServer(tmp_path / "second", deployment.run / "acl" / "users.acl")
    both = f"{deployment.server.url} {second.url}"
    assert deployment.rotate("begin", ARB_REDIS_SERVERS=both)[0] == 2, "one is away"
    assert deployment.passwords() == before
    with second:
        assert deployment.rotate("begin", ARB_REDIS_SERVERS=both)[0] == 0
        assert deployment.rotate("finish", ARB_REDIS_SERVERS=both)[0] == 0
        for server in (second, deployment.server):
            deployment.server = server
            assert deployment.accepts("risk", deployment.passwords()["risk"])
            assert not deployment.accepts("risk", before["risk"])
    assert "user replica on" in (deployment.run / "acl" / "users.acl").read_text()


@pytest.mark.parametrize(
    ("arguments", "environ", "text"),
    [
        (("turn",), {}, "usage: python -m deploy.rotate"),
        (("begin",), {"ARB_RUN_DIR": "/nowhere"}, "has no users.acl; run deploy.prepare first"),
        (("begin",), {"ARB_REDIS_SERVERS": "redis+sentinel://a:1/arb/0"}, "each server has an ACL"),
        (("begin",), {"ARB_REDIS_SERVERS": "nonsense"}, "not a Redis URL"),
        (("begin",), {"ARB_REDIS_SERVERS": ""}, "no Redis at /run/redis/redis.sock or"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    deployment: Deployment, arguments: tuple[str, ...], environ: dict[str, str], text: str
) -> None:
    code, said = deployment.rotate(*arguments, **environ)
    assert code == 2
    assert text in said
    assert "\n" not in said
