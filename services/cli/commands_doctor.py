"""`arb doctor`: whether the set-up is right; nothing is changed."""

from __future__ import annotations

import asyncio
import os

import typer

from services.cli.commands_look import AsJson, RedisUrl
from services.cli.commands_operate import ConfigPath
from services.cli.doctor.check import Check, Level
from services.cli.doctor.fee_checks import check_fees
from services.cli.doctor.key_checks import check_keys
from services.cli.doctor.limit_checks import check_limits
from services.cli.doctor.machine_checks import check_clocks, check_machine, check_set_up
from services.cli.doctor.network_checks import check_network
from services.cli.doctor.network_reading import read_network
from services.cli.doctor.reading import (
    BusFacts,
    read_keys,
    read_machine,
    read_redis,
    read_set_up,
)
from services.cli.doctor.redis_checks import RedisFacts, check_redis
from services.cli.output import emit_json
from services.cli.settings import target
from services.cli.why_text import paragraph
from shared.bus.address import Endpoint
from shared.clock import SystemClock
from shared.config_limits import RiskConfig
from shared.errors import ConfigError
from shared.watch.link import Target
from shared.wording import counted

EXIT_FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor")(doctor)


def doctor(config: ConfigPath = None, redis: RedisUrl = None, as_json: AsJson = False) -> None:
    """Check the set-up: configuration, files, keys, Redis, network, clocks, fees, machine.

    Exit 1 where one failed.
    """
    environ = dict(os.environ)
    set_up, loaded = read_set_up(config, environ)
    checks = list(check_set_up(set_up))
    if loaded is not None:
        told = asyncio.run(read_keys(loaded, environ))
        checks += check_keys(told, SystemClock.now_ns() // 1_000_000)
    on_bus, endpoint = BusFacts(), None
    try:
        asked = target(redis)
        if loaded is not None and redis is None:  # --config may name another than target() reads
            asked = Target(loaded.bus, f"{set_up.path}: bus.url (or ARB_REDIS_URL)")
        endpoint = Endpoint(asked.bus, asked.setting)
        facts, on_bus = asyncio.run(read_redis(asked))
    except ConfigError as error:
        facts = RedisFacts(where="", away=str(error))
    checks += check_redis(facts, set_up.mode)
    risk = loaded.risk if loaded is not None else RiskConfig()
    checks += check_clocks(on_bus.late_ms, risk.clock_skew_ms_max)
    if loaded is not None:
        if not facts.away:
            checks.append(check_limits(loaded, on_bus.risk))
        traded = [name for name, venue in loaded.venues.items() if venue.trade]
        checks += check_fees(on_bus.fees, traded, set_up.mode)
        reached = read_network(loaded, endpoint)
        checks += check_network(reached, set_up.mode, SystemClock.now_ns() / 1e9)
    checks += check_machine(read_machine(loaded), has_redis=facts.is_here and not facts.away)
    counts = {level: sum(each.level is level for each in checks) for level in Level}
    if as_json:
        rows = [each._asdict() for each in checks]
        emit_json({"schema": 1, "is_right": not counts[Level.FAILED], "checks": rows, **counts})
    else:
        print("\n".join(lines_of(checks)))
    raise typer.Exit(EXIT_FAILED if counts[Level.FAILED] else 0)


def lines_of(checks: list[Check]) -> list[str]:
    """Return the checks in lines of 80 columns, and how many failed."""
    lines = []
    for each in checks:
        lines += paragraph(each.name, f"{each.level}: {each.text}")
        if each.level is not Level.OK and each.right:
            lines += paragraph("", f"right: {each.right}")
    failed = sum(each.level is Level.FAILED for each in checks)
    warned = sum(each.level is Level.WARNING for each in checks)
    return [*lines, f"{counted(len(checks), 'check')}: {failed} failed, {warned} with a warning"]
