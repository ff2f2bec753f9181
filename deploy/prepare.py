"""Runs before the containers: passwords and keys where there are none, users, the configuration.

Idempotent: what exists is kept, so starting again changes neither. Everything is written under
``/run/arb``, into volumes of which each service sees only its own.

The demo is chosen by its profile alone: the profile runs ``deploy.prepare demo`` before this, which
leaves a note that holds for one start.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.acl import HEALTH, REPLICA, USERS, WATCHER
from deploy.passwords import RUN, alone, group_password, write, write_acl
from deploy.signing import write_missing_keys
from shared.config import parse_config
from shared.errors import ConfigError
from shared.services import ALL_SERVICES

ETC = Path(__file__).resolve().parents[1] / "etc"
HOLDERS = tuple(spec.name for spec in ALL_SERVICES if spec.holds_secrets)
DEMO, GIVEN = "demo", "given"
DEMO_CHOSEN = RUN / "config" / "demo-chosen"
CHOICE = RUN / "config" / "choice"
"""What the configuration beside it is: ``demo`` or ``given``."""
CHOSEN_FOR_S = 600.0
"""A note of the demo's profile older than this is of a start that was broken off."""
REDIS_SOCKET = Path("/run/redis/redis.sock")
CLIENT = "arb"
"""Who asks the Sentinels, and the name of the service that they watch."""
ASK = "+sentinel|get-master-addr-by-name +sentinel|master"
DOWN_AFTER_MS = 3_000
INSTEAD = {
    DEMO: "repeat this with --profile demo, or stop it first: docker compose --profile demo down",
    GIVEN: "repeat this without --profile demo, or stop it first: docker compose down",
}


def write_group(first: str) -> None:
    """Write what Redis' servers and Sentinels need of each other (deploy/failover.yml).

    Args:
        first: The address of the primary at the very first start.
    """
    login = f"masteruser {REPLICA}\nmasterauth {group_password(REPLICA)}\n"
    write(RUN / "acl" / "replication.conf", login, 0o444)
    peer, client = group_password("peer"), group_password("client")
    lines = [
        "port 26379",
        "user default off",
        f"user peer on >{peer} allchannels +@all",
        f"user {CLIENT} on >{client} -@all +auth +hello +ping +client|setname {ASK}",
        f"user {HEALTH} on nopass -@all +auth +hello +ping +sentinel|get-master-addr-by-name",
        "sentinel sentinel-user peer",
        f"sentinel sentinel-pass {peer}",
        f"sentinel monitor {CLIENT} {first} 6379 2",
        f"sentinel auth-user {CLIENT} {WATCHER}",
        f"sentinel auth-pass {CLIENT} {group_password(WATCHER)}",
        f"sentinel down-after-milliseconds {CLIENT} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {CLIENT} 10000",
        f"sentinel parallel-syncs {CLIENT} 2",
    ]
    write(RUN / "acl" / "sentinel.conf", "\n".join(lines) + "\n", 0o444)
    for user in USERS:
        write(RUN / "secrets" / user / "redis_sentinel_password", client + "\n", 0o400)


def choose_demo() -> None:
    """Leave the note that the demo's profile is on; the start that follows takes it away."""
    write(DEMO_CHOSEN, f"{time.time():.0f}\n", 0o400)


def take_choice() -> str:
    """Return what this start is of, and take the note of the demo's profile away.

    Raises:
        ConfigError: The note is old, or the stack runs on the other choice.
    """
    choice = GIVEN
    if DEMO_CHOSEN.exists():
        age_s = time.time() - float(DEMO_CHOSEN.read_text(encoding="utf-8"))
        DEMO_CHOSEN.unlink()
        if not 0 <= age_s < CHOSEN_FOR_S:
            raise ConfigError("an earlier start of the demo was broken off; start again")
        choice = GIVEN if os.environ.get("ARB_TOML") else DEMO
    before = CHOICE.read_text(encoding="utf-8").strip() if CHOICE.exists() else choice
    if before != choice and redis_answers():
        raise ConfigError(f"the stack is running on the {before} configuration; {INSTEAD[before]}")
    return choice


def redis_answers() -> bool:
    """Tell whether this project's Redis is running."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(REDIS_SOCKET))
        except OSError:
            return False
    return True


def write_config(choice: str) -> str:
    """Check and write arb.toml; return what it is."""
    source = ETC / "demo.toml" if choice == DEMO else RUN / "given.toml"
    if not source.exists():  # outside containers the services are told another place
        return "no configuration given, none written"
    text = source.read_text(encoding="utf-8")
    config = parse_config(text, str(source))
    write(RUN / "config" / "arb.toml", text, 0o444)
    write(CHOICE, choice + "\n", 0o444)
    venues = ", ".join(config.venues) or "no venue"
    return f"{source.name}: {venues}; executor.mode {config.executor.mode}"


def write_venue_keys(host: str, venues: list[str]) -> None:
    """Give the simulated accounts' keys to who trades there; without them the files are empty.

    The sentinel is given a key of its own where the venue counts what each key sends.
    """
    keys: dict[str, dict[str, str]] = {}
    if host:
        with urllib.request.urlopen(f"http://{host}:8090/control/credentials", timeout=5) as answer:
            keys = msgspec.json.decode(answer.read(), type=dict[str, dict[str, str]])
    for venue in venues:
        known = keys.get(venue, {})
        for user in HOLDERS:
            key = known.get("apiKey", "")
            key = key if user == "executor" else known.get("secondKey", key)
            for part, value in (("key", key), ("secret", known.get("secret", ""))):
                write(RUN / "secrets" / user / f"{venue}_api_{part}", value, 0o400)


def main(arguments: Sequence[str] = ()) -> int:
    """Prepare everything, saying in one line what was done or what is wrong."""
    try:
        if list(arguments) == [DEMO]:
            choose_demo()
            print("prepare: the demo's profile is on")
            return 0
        choice = take_choice()
        host = os.environ.get("ARB_DEMO_HOST", "") if choice == DEMO else ""
        first = os.environ.get("ARB_REDIS_FIRST", "")
        with alone(waits=True):
            write_acl(is_group=bool(first))
            if first:
                write_group(first)
            write_missing_keys()
        write_venue_keys(host, os.environ.get("ARB_VENUES", "").split())
        chosen = write_config(choice)
    except (OSError, urllib.error.URLError, ConfigError, msgspec.DecodeError) as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    print(f"prepare: {len(USERS)} Redis users; {chosen}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
