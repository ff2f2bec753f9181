"""`arb up`: the services of a configuration under one supervisor, on this machine."""

from __future__ import annotations

import asyncio
import os
import signal

from services.cli import settings
from services.cli.output import emit_json, note
from services.cli.stack import service_program
from services.cli.supervisor import Supervisor
from shared.config import DEFAULT_CONFIG
from shared.services import SERVICE_NAMES
from shared.watch.link import Target, open_link

EXIT_WELL, EXIT_NOT_WELL = 0, 1


async def run_up(config_path: str | None, as_json: bool) -> int:
    """Run until SIGTERM, SIGINT or SIGHUP and return the exit code.

    Raises:
        ConfigError: The configuration is wrong.
        BusUnavailable: There is no Redis at its URL.
    """
    config = settings.check(config_path)
    place = f"bus.url of {config_path or os.environ.get('ARB_CONFIG') or DEFAULT_CONFIG}"
    setting = "ARB_REDIS_URL" if os.environ.get("ARB_REDIS_URL") else place
    remedy = f"start it, or set {place} or ARB_REDIS_URL"
    async with open_link(Target(config.bus, setting, remedy)) as link:
        where = link.where
    environ = dict(os.environ)
    if config_path is not None:
        environ["ARB_CONFIG"] = config_path
    wanted = {
        "recorder": config.recorder.enabled or config.recorder.ledger,
        "sentinel": config.sentinel.enabled,
        "exporter": config.exporter.enabled,
    }
    names = tuple(name for name in SERVICE_NAMES if wanted.get(name, True))
    programs = [service_program(name, environ, log=None) for name in names]
    supervisor = Supervisor(programs, lambda line: note(f"arb up: {line}"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        await supervisor.start()
        note(f"arb up: {', '.join(names)} on {where}; Ctrl-C stops them")
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.gave_up.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    finally:
        await supervisor.stop()
        supervisor.kill()
    usage = supervisor.usage()
    if as_json:
        emit_json({"services": usage})
    if supervisor.gave_up.is_set():
        note(f"arb up: {supervisor.reason}")
        return EXIT_NOT_WELL
    return EXIT_NOT_WELL if any(used.killed for used in usage.values()) else EXIT_WELL
