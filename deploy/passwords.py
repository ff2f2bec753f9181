"""Redis' users and their passwords in a deployment's folder, also while they are changed.

``deploy.prepare`` makes what is missing, ``deploy.rotate`` changes it; both write Redis' ACL file
here. While passwords change, the file has two of each user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deploy.acl import RELOAD, REPLICA, USERS, WATCHER, render
from shared.errors import ConfigError
from shared.store.manifest import sync_directory

RUN = Path(os.environ.get("ARB_RUN_DIR", "/run/arb"))
ACL_FILE = RUN / "acl" / "users.acl"
ROTATION = RUN / "acl" / "rotation.json"
PASSWORD_BYTES = 32
NEXT = ".next"
"""Behind the name of a file whose content is to replace that of the file without it."""


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a change of the passwords is; its file is there while one is under way.

    Attributes:
        previous: User -> SHA-256 in hex of the password that is to be dropped.
        handed_out_s: Since when every file has the new password, UNIX seconds; 0: not yet.
        drops: Whether the ACL file has lost the previous ones already.
    """

    previous: dict[str, str]
    handed_out_s: float = 0.0
    drops: bool = False


@contextmanager
def alone(*, waits: bool = False) -> Iterator[None]:
    """Keep a second process from writing here: it waits for its turn, or is refused.

    Raises:
        ConfigError: Another one is at work, and ``waits`` is false.
    """
    folder = ACL_FILE.parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rotation.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError("another deploy.rotate is at work here; wait for it") from error
        yield


def write(path: Path, text: str, mode: int) -> None:
    """Replace a file at once and durably, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(mode)
    replace(fresh, path)


def replace(fresh: Path, path: Path) -> None:
    """Put a file in the place of another one, durably, and leave it its owner.

    Root may change what belongs to a service's own user, which reads it when it starts.
    """
    if path.exists() and os.geteuid() == 0:
        was = path.stat()
        os.chown(fresh, was.st_uid, was.st_gid)
    fresh.replace(path)
    sync_directory(path.parent)


def new_password() -> str:
    """Return a password as a file holds it: one line."""
    return secrets.token_urlsafe(PASSWORD_BYTES) + "\n"


def password_file(user: str) -> Path:
    """Return where a user's password lies."""
    return RUN / "secrets" / user / "redis_password"


def next_file(user: str) -> Path:
    """Return where the password lies that is to replace it."""
    path = password_file(user)
    return path.with_name(path.name + NEXT)


def password_of(user: str) -> str:
    """Return the user's password, made on first use."""
    return _kept(password_file(user))


def group_password(name: str) -> str:
    """Return a password that no service has, made on first use."""
    return _kept(RUN / "acl" / f"{name}_password")


def _kept(path: Path) -> str:
    if not path.exists():
        write(path, new_password(), 0o400)
    return path.read_text(encoding="utf-8").strip()


def digest(password: str) -> str:
    """Return what an ACL file has in place of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


def read_rotation() -> Rotation | None:
    """Return the change of passwords that is under way.

    Raises:
        ConfigError: Its file is not one of ours.
    """
    try:
        return msgspec.json.decode(ROTATION.read_bytes(), type=Rotation)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{ROTATION}: {error}; put back the file as deploy.rotate wrote it"
        ) from error


def write_rotation(rotation: Rotation) -> None:
    """Put on record how far a change of the passwords is."""
    write(ROTATION, msgspec.json.encode(rotation).decode() + "\n", 0o400)


def accepted(user: str, rotation: Rotation | None) -> tuple[str, ...]:
    """Return the digests of the passwords that Redis is to accept of a user."""
    found = [digest(password_of(user))]
    if rotation is not None and not rotation.drops:
        if (path := next_file(user)).exists():
            found.append(digest(path.read_text(encoding="utf-8").strip()))
        found.append(rotation.previous.get(user, found[0]))
    return tuple(dict.fromkeys(found))


def write_acl(*, is_group: bool) -> None:
    """Write Redis' users; the file holds digests, not passwords."""
    rotation = read_rotation()
    digests = {user: accepted(user, rotation) for user in USERS}
    for user in (RELOAD, REPLICA, WATCHER) if is_group else (RELOAD,):
        digests[user] = (digest(group_password(user)),)
    write(ACL_FILE, render(digests), 0o444)
