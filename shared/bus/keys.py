"""The keys that a process signs and verifies with: read, or made where none is configured.

``ARB_PLAN_KEY`` and ``ARB_COMMAND_KEY``, each also as ``*_FILE``, hold one key a line, at most two:
the first one signs, both are accepted. Where neither is set they lie in a folder of the user who
runs the system on this machine, made by the first process that needs them.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from shared.bus.signing import KEY_BYTES, SigningKeys
from shared.config import ENVIRON, read_secret
from shared.config_sections import BusConfig
from shared.errors import ConfigError
from shared.streams import CTL_COMMAND, keys_of

OPERATOR = CTL_COMMAND.producer
OPERATOR_KEY = CTL_COMMAND.signed_with


def variable_of(name: str) -> str:
    """Return the environment variable that holds a key."""
    return f"ARB_{name.upper()}_KEY"


def new_key() -> str:
    """Return a new key: one line of text."""
    return secrets.token_urlsafe(KEY_BYTES[0])


def keys_directory(environ: Mapping[str, str] = ENVIRON) -> Path:
    """Return where signing keys lie that were not given: a folder of this user on this machine."""
    if given := environ.get("ARB_KEYS_DIR"):
        return Path(given)
    state = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "arbstream" / "keys"


def load_keys(service: str, bus: BusConfig, environ: Mapping[str, str] = ENVIRON) -> SigningKeys:
    """Return the keys that a service holds, made on this machine where none are given.

    Raises:
        ConfigError: A key is wrong, or can be neither read nor made.
    """
    keys = {name: _read(name, environ) or _own(name, environ) for name in keys_of(service)}
    return SigningKeys(keys, accept_unsigned_until_ns(bus))


def notes_of_second_keys(service: str, environ: Mapping[str, str] = ENVIRON) -> dict[str, str]:
    """Return what an operator should know of a service's keys: which one is being changed.

    Raises:
        ConfigError: A key cannot be read.
    """
    changing = [name for name in keys_of(service) if len(_read(name, environ)) > 1]
    return {f"{name} key": "it is being changed: a second one is accepted" for name in changing}


def find_command_keys(environ: Mapping[str, str] = ENVIRON) -> SigningKeys:
    """Return the operator's key; none where there is none. Nothing is made.

    Raises:
        ConfigError: A key is wrong, or cannot be read.
    """
    keys = {}
    for name in keys_of(OPERATOR):
        path = _path(name, environ)
        if found := _read(name, environ) or (_read_own(path) if path.exists() else ()):
            keys[name] = found
    return SigningKeys(keys)


def accept_unsigned_until_ns(bus: BusConfig) -> int:
    """Return until when what is not signed is accepted, UNIX ns; 0: never.

    Raises:
        ConfigError: It is no moment.
    """
    text = bus.accept_unsigned_until
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise ConfigError(
            f"bus.accept_unsigned_until = {text!r} is no moment; give one like 2026-12-01T00:00:00Z"
        )
    return int(moment.timestamp()) * 1_000_000_000


def _read(name: str, environ: Mapping[str, str]) -> Sequence[bytes]:
    return read_secret(variable_of(name), environ).reveal().encode().split()


def _path(name: str, environ: Mapping[str, str]) -> Path:
    return keys_directory(environ) / f"{name}_key"


def _own(name: str, environ: Mapping[str, str]) -> Sequence[bytes]:
    """Return the key in this user's folder, made if it is not there."""
    path = _path(name, environ)
    try:
        if not path.exists():
            _make(path)
        return _read_own(path)
    except OSError as error:
        raise ConfigError(
            f"no {name} key: {variable_of(name)} and {variable_of(name)}_FILE are not set, and "
            f"{path} can be neither read nor made: {error.strerror}"
        ) from error


def _read_own(path: Path) -> Sequence[bytes]:
    if mode := stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path} may be used by others (mode {mode:03o}); chmod 600 it")
    found = path.read_bytes().split()
    if not found:
        raise ConfigError(f"{path} is empty; remove it, and a new key is made")
    return found


def _make(path: Path) -> None:
    """Write a new key; of several processes that do so at once one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(new_key() + "\n")
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        Path(fresh).unlink()
