"""Reads what `arb doctor` judges: configuration, files, Redis, machine. Changes nothing."""

from __future__ import annotations

import asyncio
import resource
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from services.cli import settings
from services.cli.doctor.fee_checks import FeesPaid, fees_paid
from services.cli.doctor.machine_checks import Machine, SetUp
from services.cli.doctor.redis_checks import RedisFacts
from services.cli.look import newest_views
from shared.bus.address import Endpoint
from shared.bus.tuning import dead_key
from shared.clock import SystemClock
from shared.config import DEFAULT_CONFIG
from shared.config_sections import Config
from shared.errors import BusUnavailable, ConfigError, VenueError
from shared.messages.execution import RiskReport
from shared.messages.market import DepthView
from shared.streams import ALL, EXEC_EVENT, MD_DEPTH, MD_INSTRUMENT, Delivery
from shared.venues.key_rights import KeyRights
from shared.watch.link import Link, Target, open_link
from shared.watch.reload import newest_report

HOMES = ("127.0.0.1", "localhost", "[::1]", "::1")
_MS = 1e6
ANSWER_S = 10
SENTINEL = "sentinel"
"""Who may have keys of its own."""
FILLS_BACK, RULES_BACK = 500, 2_000


class BusFacts(NamedTuple):
    """What is on the bus.

    Attributes:
        late_ms: How late messages of each venue came at least, ms.
        fees: What fills paid, by venue.
        risk: What risk reported last; ``None``: it is silent.
    """

    late_ms: Mapping[str, float] = MappingProxyType({})
    fees: Mapping[str, FeesPaid] = MappingProxyType({})
    risk: RiskReport | None = None


def read_set_up(path: str | None, environ: Mapping[str, str]) -> tuple[SetUp, Config | None]:
    """Return what is said of configuration and secrets; no secret is kept."""
    where = path or environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    found = SetUp(path=where, path_mode=_mode_of(where))
    try:
        config = settings.check(path, environ)
    except ConfigError as error:
        found.problem = str(error)
        return found, None
    found.mode = config.executor.mode
    found.without_limits = settings.without_limits(config)
    told = settings.secrets_set(config, environ)
    found.keyless = [
        name
        for name, venue in config.venues.items()
        if venue.trade
        and "not set" in {told[f"ARB_{name.upper()}_API_{part}"] for part in ("KEY", "SECRET")}
    ]
    for name in told:
        file = environ.get(f"{name}_FILE")
        mode = _mode_of(file) if file else None
        if file and mode is not None:
            found.secret_files[name] = file, mode
    return found, config


def _mode_of(path: str) -> int | None:
    try:
        return stat.S_IMODE(Path(path).stat().st_mode) | stat.S_IFREG
    except OSError:
        return None


async def read_keys(config: Config, environ: Mapping[str, str]) -> dict[str, KeyRights | str]:
    """Ask every venue that is traded what each key set for it may do: its own, the sentinel's.

    Returns:
        Whose key -> what the venue tells, or why it could not be asked; nothing on paper.
    """
    if config.executor.mode == "paper":
        return {}
    asked = {}
    for name, venue in config.venues.items():
        if not venue.trade:
            continue
        asked[name] = _key_of(name, config, environ)
        variable = f"ARB_{SENTINEL.upper()}_{name.upper()}_API_KEY"
        if environ.get(variable) or environ.get(f"{variable}_FILE"):
            asked[f"{SENTINEL} at {name}"] = _key_of(name, config, environ, SENTINEL)
    told = await asyncio.gather(*asked.values())
    return {name: each for name, each in zip(asked, told, strict=True) if each is not None}


async def _key_of(
    name: str, config: Config, environ: Mapping[str, str], owner: str = ""
) -> KeyRights | str | None:
    from shared.accounts.opening import open_account  # loads ccxt

    try:
        gateway = open_account(name, config, SystemClock(), environ, owner=owner)
    except ConfigError as error:
        if owner:  # nobody else says so
            return str(error)
        return None  # said where the configuration and the keys are checked
    try:
        async with asyncio.timeout(ANSWER_S):
            return await gateway.key_rights()
    except TimeoutError:
        return f"no answer within {ANSWER_S} s"
    except VenueError as error:
        return " ".join(str(error).split())
    finally:
        await gateway.close()


async def read_redis(target: Target) -> tuple[RedisFacts, BusFacts]:
    """Return what Redis says of itself, and what is on the bus."""
    endpoint = Endpoint(target.bus, target.setting)
    facts = RedisFacts(where=endpoint.where)
    facts.has_password = "password" in endpoint.arguments
    host = str(endpoint.arguments.get("host", ""))
    facts.is_here = "path" in endpoint.arguments or host in HOMES
    try:
        async with open_link(target) as link:
            await _ask(link, facts)
            late_ms = _lateness(newest_views(await link.recent(MD_DEPTH)))
            items = await link.newest(MD_INSTRUMENT, count=RULES_BACK)
            items += await link.newest(EXEC_EVENT, count=FILLS_BACK)
            fees = fees_paid(item.message for item in items)
            return facts, BusFacts(late_ms, fees, await newest_report(link))
    except BusUnavailable as error:
        facts.away = " ".join(str(error).split())
        return facts, BusFacts()


async def _ask(link: Link, facts: RedisFacts) -> None:
    info: dict[str, Any] = {}
    for section in ("server", "memory", "persistence", "replication", "stats"):
        before_ns = SystemClock.now_ns()
        told = await link.info(section)
        if (theirs_us := told.get("server_time_usec")) is not None:
            middle_ns = (before_ns + SystemClock.now_ns()) / 2
            facts.offset_ms = (int(theirs_us) * 1e3 - middle_ns) / _MS
        info |= told
    facts.info = info
    facts.wrong_types = await link.wrong_types()
    facts.no_writes = await link.why_no_writes()
    durable = [spec.name for spec in ALL if spec.delivery is Delivery.DURABLE]
    streams = await link.measured([dead_key(name) for name in durable])
    lengths = {name: int(streams[dead_key(name)].get("length", 0)) for name in durable}
    facts.dead = {name: count for name, count in lengths.items() if count}


def _lateness(views: list[DepthView]) -> dict[str, float]:
    late_ms: dict[str, float] = {}
    for view in views:
        if view.ts_venue_ns is not None:
            late = (view.ts_recv_ns - view.ts_venue_ns) / _MS
            late_ms[view.venue] = min(late, late_ms.get(view.venue, late))
    return late_ms


def read_machine(config: Config | None) -> Machine:
    """Return what the machine has."""
    folders = ["."]
    if config is not None and (config.recorder.enabled or config.recorder.ledger):
        folders.append(config.recorder.dir)
    found = Machine()
    for folder in folders:
        place = next(
            each for each in (Path(folder), *Path(folder).resolve().parents) if each.exists()
        )
        usage = shutil.disk_usage(place)
        found.disks[str(place.resolve())] = usage.free, usage.total
    found.open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    pages = _text("/sys/kernel/mm/transparent_hugepage/enabled")
    found.huge_pages = pages.partition("[")[2].partition("]")[0]
    found.overcommit = _text("/proc/sys/vm/overcommit_memory")
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
