"""Keys that plans and commands are signed with, in a deployment's folder, also while they change.

A key's file has one line, or two while it changes: the first one signs, both are accepted.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from deploy.acl import USERS
from deploy.passwords import RUN, digest, write
from shared.bus.keys import new_key
from shared.errors import ConfigError
from shared.services import SERVICE_NAMES
from shared.store.manifest import sync_directory
from shared.streams import SIGNED, keys_of

NAMES = tuple(sorted({spec.signed_with for spec in SIGNED}))
HOLDERS = (*(service for service in SERVICE_NAMES if keys_of(service)), "dashboard")
"""Services that read keys when they start: the dashboard, where it may command, the operator's."""
CHANGE = RUN / "acl" / "signing.json"
ADDED, SWITCHED = "added", "switched"
RESTART = f"restart {', '.join(HOLDERS)}"


class KeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a change of the signing keys is; its file is there while one is under way.

    Attributes:
        old: Name of a key -> SHA-256 in hex of the one that is to go.
        step: ``added``: the old one signs, ``switched``: the new one.
        written_s: Since when every file is as the step says, UNIX seconds; 0: not yet.
    """

    old: dict[str, str]
    step: str = ADDED
    written_s: float = 0.0


def write_missing_keys() -> None:
    """Give every user the keys it signs or verifies with; one that is missing is made."""
    for name in NAMES:
        paths = _files(name)
        known = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
        text = known[0] if known else new_key() + "\n"
        for path in paths:
            if not path.exists():
                write(path, text, 0o400)


def read_change() -> KeyChange | None:
    """Return the change of the keys that is under way.

    Raises:
        ConfigError: Its file is not one of ours.
    """
    try:
        return msgspec.json.decode(CHANGE.read_bytes(), type=KeyChange)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{CHANGE}: {error}; put back the file as it was written") from error


def add_keys() -> str:
    """Give every holder a second key that is accepted; the old one signs.

    Raises:
        ConfigError: A change is under way, or the files differ.
    """
    change = read_change()
    if change is not None and (change.step != ADDED or change.written_s):
        raise ConfigError(f"a change of the signing keys is under way already: {_next(change)}")
    change = change or KeyChange({name: digest(_only_key(name)) for name in NAMES})
    _write_step(change, ADDED)
    return f"new keys are accepted beside the old ones; {RESTART}, then deploy.rotate keys switch"


def switch_keys(change: KeyChange) -> str:
    """Have the new keys sign; the old ones are accepted."""
    _write_step(change, SWITCHED)
    return f"the new keys sign; {RESTART}, then deploy.rotate keys finish"


def drop_keys(change: KeyChange) -> str:
    """Leave the new keys alone in the files."""
    for name in NAMES:
        _write(name, _pair(name, change)[1:])
    CHANGE.unlink()
    sync_directory(CHANGE.parent)
    return f"the files have the new keys alone; {RESTART}: until then the old ones are accepted"


def changing(step: str, command: str) -> KeyChange:
    """Return the change that a command goes on with, after a step or from where it was broken off.

    Raises:
        ConfigError: Another command is next.
    """
    change = read_change()
    if change is None:
        raise ConfigError("no change of the signing keys is under way; deploy.rotate keys begin")
    broken_off = change.step == SWITCHED and not change.written_s and command == "switch"
    if not broken_off and (change.step != step or not change.written_s):
        raise ConfigError(f"keys {command} is not next: {_next(change)}")
    return change


def _next(change: KeyChange) -> str:
    if change.written_s:
        return f"{RESTART}, then keys {'switch' if change.step == ADDED else 'finish'}"
    return f"keys {'begin' if change.step == ADDED else 'switch'} was broken off; repeat it"


def _write_step(change: KeyChange, step: str) -> None:
    change = msgspec.structs.replace(change, step=step, written_s=0.0)
    _record(change)
    for name in NAMES:
        old, new = _pair(name, change)
        _write(name, [old, new] if step == ADDED else [new, old])
    _record(msgspec.structs.replace(change, written_s=time.time()))


def _record(change: KeyChange) -> None:
    write(CHANGE, msgspec.json.encode(change).decode() + "\n", 0o400)


def _files(name: str) -> list[Path]:
    users = [user for user in USERS if name in keys_of(user)]
    return [RUN / "secrets" / user / f"{name}_key" for user in users]


def _write(name: str, lines: list[str] | tuple[str, ...]) -> None:
    for path in _files(name):
        write(path, "\n".join(lines) + "\n", 0o400)


def _only_key(name: str) -> str:
    """Return the key that every holder has.

    Raises:
        ConfigError: They have different ones, or two.
    """
    texts = {path.read_text(encoding="utf-8").strip() for path in _files(name)}
    if len(texts) != 1 or len((text := texts.pop()).split()) != 1:
        raise ConfigError(
            f"the files {name}_key of {RUN / 'secrets'} are to have the same one key, but have "
            "not; finish by hand what was begun by hand"
        )
    return text


def _pair(name: str, change: KeyChange) -> tuple[str, str]:
    """Return the old and the new key; the first is gone already where ``finish`` was broken off.

    A new one is made where no file has any: when a change begins.

    Raises:
        ConfigError: There is none though the change has begun.
    """
    lines = {s: None for p in _files(name) for s in p.read_text(encoding="utf-8").split()}
    old = [line for line in lines if digest(line) == change.old[name]]
    new = [line for line in lines if line not in old]
    if not new and (change.step != ADDED or change.written_s):
        raise ConfigError(f"no file {name}_key has the new key; remove {CHANGE} and begin again")
    return (old[0] if old else "", new[0] if new else new_key())
