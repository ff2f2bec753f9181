"""Reads the keys that `arb init` is given, asks the venues what they may do, and stores them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from services.cli.init.answers import Answers, instruments_of
from shared.clock import SystemClock
from shared.config import read_secret
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.errors import ConfigError, Rejected, VenueError
from shared.venues.key_rights import UNTOLD, KeyRights

ANSWER_S = 15


def check_keys(answers: Answers, secrets: Mapping[str, str], where: str) -> dict[str, KeyRights]:
    """Ask each venue what its key may do.

    Args:
        answers: Whose venues.
        secrets: ``ARB_<VENUE>_API_KEY`` and ``_SECRET`` -> text.
        where: Begins the text of an error.

    Raises:
        ConfigError: The venue refuses the key, or it may withdraw.
        VenueError: The venue cannot be asked, so nothing is known of the key.
    """
    return asyncio.run(_check(answers, secrets, where))


async def _check(answers: Answers, secrets: Mapping[str, str], where: str) -> dict[str, KeyRights]:
    found = {}
    for venue in answers.venues:
        if variable_of(venue, "KEY") not in secrets:
            continue
        rights = await _ask(answers, venue, secrets, where)
        if rights.may_withdraw:
            raise ConfigError(
                f"{where}: the key of {venue} may withdraw; make one that may read and trade only"
            )
        found[venue] = rights
    return found


async def _ask(answers: Answers, venue: str, secrets: Mapping[str, str], where: str) -> KeyRights:
    from shared.accounts.opening import open_account  # loads ccxt

    place = answers.addresses.get(venue)
    url = place.rest_url if place is not None else ""
    config = Config(
        venues={venue: VenueConfig(instruments=instruments_of(answers)[venue], rest_url=url)},
        executor=ExecutorConfig(mode="live"),  # to ask at any address: no order is sent
    )
    gateway = open_account(venue, config, SystemClock(), secrets)
    try:
        async with asyncio.timeout(ANSWER_S):
            rights = await gateway.key_rights()
            if rights == UNTOLD:  # nothing was asked that takes a key
                await gateway.balances()
            return rights
    except Rejected as error:
        raise ConfigError(f"{where}: {venue} refuses the key: {error}") from error
    except TimeoutError as error:
        raise VenueError(f"{venue}: no answer within {ANSWER_S} s; nothing was written") from error
    finally:
        await gateway.close()


def variable_of(venue: str, part: str) -> str:
    """Return where services look for a part of a venue's key: KEY or SECRET."""
    return f"ARB_{venue.upper()}_API_{part}"


def read_keys(files: Mapping[str, str]) -> dict[str, str]:
    """Return variable -> secret, read from files.

    Raises:
        ConfigError: A file cannot be read, or holds none.
    """
    secrets = {}
    for name, path in files.items():
        secret = read_secret(name, {f"{name}_FILE": path})
        if not secret:
            raise ConfigError(f"{path}: empty; the text of {name} belongs there")
        secrets[name] = secret.reveal()
    return secrets


def store(folder: Path, secrets: Mapping[str, str]) -> dict[str, Path]:
    """Write each secret into a file that its owner alone may read; return where."""
    stored = {}
    for name, secret in secrets.items():
        path = folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
        stored[name] = path
    return stored
