"""Saves what must survive into one file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from services.cli.backup.archive import (
    AOF,
    CONFIG,
    FORMAT,
    LEDGER,
    Manifest,
    key_of,
    part_of,
)
from services.cli.backup.reading import database_of, ledger_id_of, read_all
from shared.clock import SystemClock
from shared.config import load_config
from shared.config_masked import secret_urls
from shared.errors import ArbError, ConfigError
from shared.sql_ledger.address import configured_address
from shared.sql_ledger.ledger import LedgerError
from shared.sql_ledger.sqlite import read_file
from shared.watch.link import Link, Target, open_redis
from shared.watch.server_info import version_of

NEVER_IN_IT = (
    "secrets of variables and files: venue keys, signing keys, passwords",
    "strategy files of your own",
    "market data: it is made again",
)


async def save(
    target: Target,
    folder: Path,
    config: Path | None,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[Manifest, dict[str, Path]]:
    """Write the parts of a backup into a folder; return its manifest and where they are.

    Redis is read last: whatever the ledger's file has is in the streams as well.

    Raises:
        ConfigError: The configuration cannot be read, or Redis holds nothing of ours.
        BusUnavailable: Redis cannot be read.
    """
    parts: dict[str, Path] = {}
    left_out = list(NEVER_IN_IT)
    if config is None:
        left_out.append("a configuration: there is none here")
    else:
        parts[CONFIG] = folder / CONFIG
        shutil.copyfile(config, parts[CONFIG])
        if text := _secrets_in(config):
            note(text)
        if text := _save_ledger(config, folder / LEDGER):
            left_out.append(text)
        else:
            parts[LEDGER] = folder / LEDGER
    async with open_redis(target) as (redis, where):
        kept = await read_all(redis, where)
        ts_ns = SystemClock.now_ns()
        server = version_of(await Link(redis, where).info("server"))
        database = database_of(redis)
    if not kept:
        raise ConfigError(f"Redis at {where} holds nothing of arbstream; is it the right one?")
    parts[AOF] = folder / AOF
    with parts[AOF].open("wb") as file:
        file.writelines(each.data for each in kept)
    for text in left_out:
        note(f"not in it: {text}")
    manifest = Manifest(
        format=FORMAT,
        ts_ns=ts_ns,
        code=_code(),
        server=server,
        database=database,
        ledger_id=ledger_id_of(kept),
        keys=[key_of(each) for each in kept],
        parts={name: part_of(path) for name, path in parts.items()},
        left_out=left_out,
    )
    return manifest, {name: parts[name] for name in (AOF, CONFIG, LEDGER) if name in parts}


def _secrets_in(config: Path) -> str:
    """Return what secrets a configuration may hold, and the backup with it; empty: none."""
    try:
        names = secret_urls(load_config(str(config), {}))
    except ConfigError as error:
        return f"{CONFIG} is saved as it is, and may hold secrets: it cannot be read: {error}"
    return f"secrets are in it, as in {CONFIG}: {', '.join(names)}" if names else ""


def _save_ledger(config: Path, place: Path) -> str:
    """Copy the ledger's file as it is at one moment; return why it was not, empty where it was."""
    try:
        address = configured_address(load_config(str(config)).recorder)
    except ArbError as error:
        return f"a ledger: {error}"
    if not isinstance(address, Path):
        return "the ledger: it is in PostgreSQL, save it with pg_dump"
    if not address.exists():
        return f"a ledger: there is no {address}"
    try:
        ledger = read_file(address)
        try:
            ledger.copy_to(place)
        finally:
            ledger.close()
    except LedgerError as error:
        raise ConfigError(f"the ledger cannot be copied: {error}") from error
    return ""


def _code() -> str:
    try:
        return version("arbstream")
    except PackageNotFoundError:
        return "unknown"
