"""Runs before the containers: passwords where there are none, Redis' users, the configuration.

Idempotent: what exists is kept, so starting again changes no password. Everything is written under
``/run/arb``, into volumes of which each service sees only its own.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from deploy.acl import USERS, render
from shared.config import parse_config
from shared.errors import ConfigError

RUN = Path(os.environ.get("ARB_RUN_DIR", "/run/arb"))
ETC = Path(__file__).resolve().parents[1] / "etc"
PASSWORD_BYTES = 32


def write(path: Path, text: str, mode: int) -> None:
    """Replace a file at once, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(mode)
    fresh.replace(path)


def password_of(user: str) -> str:
    """Return the user's password, made on first use."""
    path = RUN / "secrets" / user / "redis_password"
    if not path.exists():
        write(path, secrets.token_urlsafe(PASSWORD_BYTES) + "\n", 0o400)
    return path.read_text(encoding="utf-8").strip()


def write_acl() -> None:
    """Write Redis' users; the file holds digests, not passwords."""
    digests = {user: hashlib.sha256(password_of(user).encode()).hexdigest() for user in USERS}
    write(RUN / "acl" / "users.acl", render(digests), 0o444)


def demo_host() -> str:
    """Return the simulated venues' host where the project runs them, else an empty string."""
    host = os.environ.get("ARB_DEMO_HOST", "")
    if not host:
        return ""
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror:
        return ""
    return host


def write_config(demo: bool) -> str:
    """Choose and check arb.toml; return what it is."""
    source = ETC / "demo.toml" if demo else RUN / "given.toml"
    if not source.exists():  # outside containers the services are told another place
        return "no configuration given, none written"
    text = source.read_text(encoding="utf-8")
    config = parse_config(text, str(source))
    write(RUN / "config" / "arb.toml", text, 0o444)
    venues = ", ".join(config.venues) or "no venue"
    return f"{source.name}: {venues}; executor.mode {config.executor.mode}"


def write_venue_keys(host: str, venues: list[str]) -> None:
    """Give the executor the simulated accounts' keys; without them its key files are empty."""
    keys: dict[str, dict[str, str]] = {}
    if host:
        with urllib.request.urlopen(f"http://{host}:8090/control/credentials", timeout=5) as answer:
            keys = msgspec.json.decode(answer.read(), type=dict[str, dict[str, str]])
    for venue in venues:
        known = keys.get(venue, {})
        for part, field in (("key", "apiKey"), ("secret", "secret")):
            path = RUN / "secrets" / "executor" / f"{venue}_api_{part}"
            write(path, known.get(field, ""), 0o400)


def main() -> int:
    """Prepare everything, saying in one line what was done or what is wrong."""
    given = os.environ.get("ARB_TOML", "")
    host = "" if given else demo_host()
    try:
        write_acl()
        write_venue_keys(host, os.environ.get("ARB_VENUES", "").split())
        chosen = write_config(demo=bool(host))
    except (OSError, urllib.error.URLError, ConfigError, msgspec.DecodeError) as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    print(f"prepare: {len(USERS)} Redis users; {chosen}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
