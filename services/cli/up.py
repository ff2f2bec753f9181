"""`arb up`: the services of a configuration under one supervisor, on this machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from services.cli import settings
from services.cli.output import emit_json, note
from services.cli.stack import (
    BUS,
    BUS_READY_WITHIN_S,
    DASHBOARD,
    INGESTOR,
    STOP_RANK,
    has_two_feeds,
    second_ingestor,
    service_program,
)
from services.cli.supervisor import Program, Supervisor
from shared.clock import SystemClock
from shared.config import DEFAULT_CONFIG
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable, ConfigError
from shared.services import SERVICE_NAMES
from shared.two_feeds import VARIABLE
from shared.watch.link import Target, open_link

EXIT_WELL, EXIT_NOT_WELL = 0, 1
CONNECT_S = 3.0


async def run_up(config_path: str | None, as_json: bool, *, is_embedded: bool = False) -> int:
    """Run until SIGTERM, SIGINT or SIGHUP and return the exit code.

    Args:
        config_path: Of the configuration; ``None``: where it usually is.
        as_json: Print what the services used as JSON.
        is_embedded: Run the bundled server as well, at ``bus.url``.

    Raises:
        ConfigError: The configuration is wrong.
        BusUnavailable: There is no Redis at its URL.
    """
    config = settings.check(config_path)
    place = f"bus.url of {config_path or os.environ.get('ARB_CONFIG') or DEFAULT_CONFIG}"
    setting = "ARB_REDIS_URL" if os.environ.get("ARB_REDIS_URL") else place
    remedy = f"start it, or set {place} or ARB_REDIS_URL"
    target = Target(config.bus, setting, remedy)
    held = ExitStack()
    bundled = _bundled(target, held) if is_embedded else None
    if bundled is not None:
        target = replace(target, remedy=f"{bundled.log} says why")
    environ = {k: v for k, v in os.environ.items() if k != VARIABLE}  # both feeds run here
    if config_path is not None:
        environ["ARB_CONFIG"] = config_path
    wanted = {
        "recorder": config.recorder.enabled or config.recorder.ledger,
        "sentinel": config.sentinel.enabled,
        "exporter": config.exporter.enabled,
        "notifier": bool(config.notifier.channels),
        "dashboard": config.dashboard.enabled,
    }
    names = tuple(name for name in SERVICE_NAMES if wanted.get(name, True))
    commanding = {DASHBOARD} if config.dashboard.operator else set()
    programs = [
        service_program(name, environ, log=None, gives_commands=name in commanding)
        for name in names
    ]
    if has_two_feeds(config):
        programs.insert(1 + names.index(INGESTOR), second_ingestor(environ, log=None))
    supervisor = Supervisor([bundled] if bundled else (), lambda line: note(f"arb up: {line}"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        await supervisor.start()
        where = await _where(target, BUS_READY_WITHIN_S if bundled else 0)
        for program in programs:
            await supervisor.add(program)
        note(f"arb up: {', '.join(each.name for each in programs)} on {where}; Ctrl-C stops them")
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.gave_up.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    finally:
        await supervisor.stop()
        supervisor.kill()
        held.close()
    usage = supervisor.usage()
    if as_json:
        emit_json({"services": usage})
    if supervisor.gave_up.is_set():
        note(f"arb up: {supervisor.reason}")
        return EXIT_NOT_WELL
    return EXIT_NOT_WELL if any(used.killed for used in usage.values()) else EXIT_WELL


def _bundled(target: Target, held: ExitStack) -> Program:
    """Return how the bundled server is run at the address of ``target``; ``held`` keeps its folder.

    Raises:
        ConfigError: It is no socket that it can have, or one is there or about to be: a second
            server would take the socket, and write into the same files.
    """
    url = target.bus.url.partition("?")[0]
    path = Path(url.removeprefix("unix://"))
    server = EmbeddedServer(path.parent)
    if server.url != url:
        raise ConfigError(
            f"{target.setting} is {url}, but --embedded serves a unix socket named valkey.sock, "
            "like unix:///var/lib/arbstream/valkey.sock, of at most 100 characters"
        )
    if _is_served(path):
        raise ConfigError(f"a server has {url} already; leave out --embedded")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT, 0o600)
    held.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"another arb up --embedded is using {path.parent}") from error
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}
    argv = tuple(server.command())
    return Program(BUS, argv, environ, STOP_RANK[BUS], log=path.parent / "valkey.log")


def _is_served(path: Path) -> bool:
    """Tell whether a process has the socket, whatever it says: it may load data or refuse us."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_S)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


async def _where(target: Target, within_s: float) -> str:
    """Return Redis' address once it answers."""
    clock = SystemClock()
    until_ns = clock.monotonic_ns() + int(within_s * 1e9)
    while True:
        try:
            async with open_link(target) as link:
                return link.where
        except BusUnavailable:
            if clock.monotonic_ns() >= until_ns:
                raise
            await asyncio.sleep(0.05)
