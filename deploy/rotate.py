"""Changes Redis' passwords, and the signing keys, while everything runs: docs/rotation.md.

``begin`` gives every user a second password, has Redis accept both, and hands out the new ones.
Services take them up when they are restarted, one after the other. ``finish`` drops the old ones.
``keys begin``, ``keys switch`` and ``keys finish`` do the same for the keys that plans and commands
are signed with. Each may be repeated where it was broken off.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence

import msgspec

from deploy import signing
from deploy.acl import OPERATOR, RELOAD, REPLICA, USERS
from deploy.passwords import (
    ACL_FILE,
    ROTATION,
    RUN,
    Rotation,
    alone,
    digest,
    group_password,
    new_password,
    next_file,
    password_file,
    password_of,
    read_rotation,
    replace,
    write,
    write_acl,
    write_rotation,
)
from deploy.servers import HEARD_MS, Server, servers_of
from shared.errors import ConfigError
from shared.store.manifest import sync_directory

USAGE = (
    "usage: python -m deploy.rotate begin | finish [--anyway] | status | "
    "keys begin | keys switch | keys finish"
)
ANYWAY = "--anyway"
AGE_ROUNDED_S = 1
"""Redis tells the age of a connection in whole seconds."""
LAST_HEARD_S = HEARD_MS / 1_000 + 0.5
"""So much later nothing is heard any more of a process that has ended."""


def begin() -> str:
    """Have Redis accept a new password of each user beside the old one, and hand the new one out.

    Returns:
        What was done and what comes next.

    Raises:
        ConfigError: A change is under way already, or Redis does not take part.
    """
    rotation = read_rotation()
    if rotation is not None and rotation.handed_out_s:
        raise ConfigError(
            "a change of passwords is under way already: restart every service, then "
            "deploy.rotate finish; a third password would shut out who has the first one"
        )
    servers = _servers()
    if rotation is None:
        rotation = Rotation({user: digest(password_of(user)) for user in USERS})
        write_rotation(rotation)
    for user in USERS:
        if _has_previous(user, rotation) and not next_file(user).exists():
            write(next_file(user), new_password(), 0o400)
    _load(servers)
    fresh = {user: next_file(user) for user in USERS if next_file(user).exists()}
    _check(servers, {u: p.read_text(encoding="utf-8").strip() for u, p in fresh.items()})
    for user, path in fresh.items():
        replace(path, password_file(user))
    write_rotation(msgspec.structs.replace(rotation, handed_out_s=time.time()))
    return (
        f"{len(USERS)} users have a new password, and Redis accepts both; restart the services one "
        "after the other, then deploy.rotate finish"
    )


def finish(*, anyway: bool = False) -> str:
    """Have Redis accept only the new passwords.

    Args:
        anyway: Also while connections of before stand.

    Returns:
        What was done.

    Raises:
        ConfigError: No change is under way, services are to be restarted first, or Redis does not
            take part.
    """
    rotation = read_rotation()
    if rotation is None:
        raise ConfigError("no change of passwords is under way; deploy.rotate begin starts one")
    if not rotation.handed_out_s:
        raise ConfigError("deploy.rotate begin was broken off; repeat it first")
    servers = _servers()
    if not (anyway or rotation.drops) and (old := _not_restarted(servers, rotation)):
        raise ConfigError(
            f"not started again since there are new passwords: {old}; restart these, then repeat "
            f"this ({ANYWAY}: they stay connected, and end where they would connect again)"
        )
    write_rotation(msgspec.structs.replace(rotation, drops=True))
    _load(servers)
    _check(servers, {user: password_of(user) for user in USERS})
    for server in servers:
        asyncio.run(server.check_dropped(rotation.previous.values()))
    ROTATION.unlink()
    sync_directory(ROTATION.parent)
    return f"Redis accepts the new passwords of {len(USERS)} users and no others"


def status() -> str:
    """Return how far a change of the passwords is.

    Raises:
        ConfigError: Redis cannot be asked.
    """
    rotation = read_rotation()
    if rotation is None:
        return "no change of passwords is under way"
    if not rotation.handed_out_s:
        return "deploy.rotate begin was broken off; repeat it"
    if rotation.drops:
        return "deploy.rotate finish was broken off; repeat it"
    old = _not_restarted(_servers(), rotation)
    since = f"new passwords since {time.strftime('%FT%TZ', time.gmtime(rotation.handed_out_s))}"
    return f"{since}; still to be restarted: {old}" if old else f"{since}; finish may follow"


def _servers() -> Sequence[Server]:
    return servers_of(group_password(RELOAD))


def _has_previous(user: str, rotation: Rotation) -> bool:
    return digest(password_of(user)) == rotation.previous.get(user)


def _load(servers: Sequence[Server]) -> None:
    write_acl(is_group=(RUN / "acl" / f"{REPLICA}_password").exists())
    for server in servers:
        asyncio.run(server.load_acl())


def _check(servers: Sequence[Server], passwords: dict[str, str]) -> None:
    for server in servers:
        asyncio.run(server.check_logins(passwords))


def _not_restarted(servers: Sequence[Server], rotation: Rotation) -> str:
    """Return who may have the old password still: by what services say, and by connections.

    Redis does not tell with which password a connection was made. A service says since when it
    runs; of others, as ``arb top``, a connection from before is all there is to see.
    """

    def look() -> set[str]:
        since_s = time.time() - rotation.handed_out_s + AGE_ROUNDED_S
        found = _started_before(servers, rotation.handed_out_s)
        for server in servers:
            ages = asyncio.run(server.ages_s())
            found |= {user for user, age_s in ages if user in rotation.previous and age_s > since_s}
        return found

    return ", ".join(sorted(_twice(look)))


def _started_before(servers: Sequence[Server], moment_s: float) -> set[str]:
    beats = [b for server in servers for b in asyncio.run(server.heartbeats(password_of(OPERATOR)))]
    return {beat.service for beat in beats if beat.ts_started_ns < moment_s * 1e9}


def _twice(look: Callable[[], set[str]]) -> set[str]:
    """Return who is found again: a service that was just restarted said before that it runs."""
    found = look()
    if not found:
        return found
    time.sleep(LAST_HEARD_S)
    return found & look()


def switch() -> str:
    """Have the new signing keys sign.

    Raises:
        ConfigError: It is not next, or a holder does not know the new keys yet.
    """
    return signing.switch_keys(_after_restarts(signing.ADDED, "switch"))


def drop() -> str:
    """Drop the old signing keys.

    Raises:
        ConfigError: It is not next, or a holder signs with the old keys still.
    """
    return signing.drop_keys(_after_restarts(signing.SWITCHED, "finish"))


def _after_restarts(step: str, command: str) -> signing.KeyChange:
    change = signing.changing(step, command)
    if change.written_s:
        servers = _servers()
        old = _twice(lambda: _started_before(servers, change.written_s) & {*signing.HOLDERS})
        if old:
            who = ", ".join(sorted(old))
            raise ConfigError(f"not started again since the step before: {who}; restart these")
    return change


def _check_prepared() -> None:
    if not ACL_FILE.exists():
        raise ConfigError(
            f"{ACL_FILE.parent} has no users.acl; run deploy.prepare first (ARB_RUN_DIR)"
        )


COMMANDS: dict[tuple[str, ...], Callable[[], str]] = {
    ("begin",): begin,
    ("finish",): finish,
    ("finish", ANYWAY): lambda: finish(anyway=True),
    ("status",): status,
    ("keys", "begin"): signing.add_keys,
    ("keys", "switch"): switch,
    ("keys", "finish"): drop,
}


def main(arguments: Sequence[str]) -> int:
    """Carry out one step, saying in one line what was done or what is wrong."""
    command = COMMANDS.get(tuple(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        _check_prepared()
        with alone():
            print(f"rotate: {command()}")
    except (OSError, ConfigError) as error:
        print(f"rotate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
