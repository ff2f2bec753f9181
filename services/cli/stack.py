"""The whole system as processes on one machine: bus, simulated venues, the five services."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from services.cli.output import note
from services.cli.settings import to_toml
from services.cli.supervisor import Program, Supervisor, tail
from services.cli.venues import Addresses, read_addresses
from shared.bus.keys import find_command_keys, variable_of
from shared.bus.signing import SigningKeys
from shared.clock import SystemClock
from shared.config_sections import Config
from shared.embedded import EmbeddedServer
from shared.errors import ArbError, BusUnavailable, ConfigError
from shared.messages.base import FeedName
from shared.services import ALL_SERVICES, SERVICE_OF, SERVICES
from shared.streams import CTL_COMMAND, SIGNED, keys_of
from shared.two_feeds import VARIABLE
from shared.watch.link import open_link

BUS, VENUES = "valkey", "venuesim"
DASHBOARD = "dashboard"
INGESTOR, SECOND_INGESTOR = "ingestor", "ingestor-b"
NOT_NEEDED = frozenset((DASHBOARD, "notifier"))
"""Services that are only looked at: where one cannot start, trading goes on without it."""
STOP_RANK = {
    **{spec.name: spec.stop_rank for spec in ALL_SERVICES},
    VENUES: 4,
    BUS: 5,
}
"""Who stops first: what makes new work, then what finishes it, then what that needed."""
DRAIN_MARGIN_S = 3.0
"""From the end of a drain to the end of the process."""
GRACE_S_DEFAULT = 8.0
VENUES_READY_WITHIN_S = 40.0
BUS_READY_WITHIN_S = 20.0
_SECRETS = ("_API_KEY", "_API_SECRET", "_API_KEY_FORMER")
_SECRET_SUFFIXES = (*_SECRETS, *(f"{suffix}_FILE" for suffix in _SECRETS))


class StackError(ArbError):
    """A part of the stack did not come up; the text holds the end of its log."""


def service_program(
    name: str,
    environ: Mapping[str, str],
    *,
    log: Path | None,
    secrets: Mapping[str, str] | None = None,
    gives_commands: bool = False,
) -> Program:
    """Return how one service is run: with the credentials and keys only that it is to hold.

    ``gives_commands``: it is also given the key that an operator signs with.
    """
    spec = SERVICE_OF[name]
    held_keys = keys_of(name) + (keys_of(CTL_COMMAND.producer) if gives_commands else ())
    foreign = [variable_of(s.signed_with) for s in SIGNED if s.signed_with not in held_keys]
    foreign += [f"{variable}_FILE" for variable in foreign]
    others = tuple(s.own_secrets for s in ALL_SERVICES if s.own_secrets and s.name != name)
    foreign += [key for key in environ if others and key.startswith(others)]
    env = {k: v for k, v in environ.items() if not (_is_venue_secret(k) or k in foreign)}
    env["ARB_INSTANCE"] = environ.get("ARB_INSTANCE") or f"{name}-1"
    if spec.holds_secrets:
        held = {k: v for k, v in environ.items() if _is_venue_secret(k)} | dict(secrets or {})
        env.update({k: v for k, v in held.items() if not _is_of_another(k, name)})
    return Program(
        name=name,
        argv=(sys.executable, "-m", f"services.{name}"),
        env=env,
        stop_rank=spec.stop_rank,
        grace_s=spec.drain_timeout_s + DRAIN_MARGIN_S,
        log=log,
        is_needed=name not in NOT_NEEDED,
    )


def second_ingestor(environ: Mapping[str, str], *, log: Path | None) -> Program:
    """Return how the ingestor is run that is feed b of the venues with ``two_feeds``."""
    instance = f"{environ['ARB_INSTANCE']}-b" if environ.get("ARB_INSTANCE") else SECOND_INGESTOR
    own = {**environ, VARIABLE: FeedName.B.value, "ARB_INSTANCE": instance}
    return replace(service_program(INGESTOR, own, log=log), name=SECOND_INGESTOR)


def has_two_feeds(config: Config) -> bool:
    """Tell whether two ingestors are to follow any venue."""
    return any(venue.two_feeds for venue in config.venues.values())


def _is_venue_secret(name: str) -> bool:
    return name.startswith("ARB_") and name.endswith(_SECRET_SUFFIXES)


def _is_of_another(key: str, service: str) -> bool:
    """Tell whether a key is named for one service (``ARB_SENTINEL_...``), and not for this one."""
    owner = key.removeprefix("ARB_").partition("_")[0].lower()
    return owner in SERVICE_OF and owner != service


def free_port() -> int:
    """Return a port that is free now, so that a restarted program can have the same again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """One run in one directory; everything it starts is supervised, also the bus."""

    def __init__(self, directory: Path, on_event: Callable[[str], None]) -> None:
        self.directory = directory
        self.keep = False
        self.supervisor = Supervisor((), on_event)
        self._server = EmbeddedServer(directory)
        # Nothing of the operator's own set-up may leak into a simulated run.
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}

    @property
    def command_keys(self) -> SigningKeys:
        """What commands are signed with here."""
        return find_command_keys(self._environ)

    @property
    def url(self) -> str:
        """The bus's URL: another terminal can look in there."""
        return self._server.url

    async def start_bus(self) -> None:
        """Start the embedded server and wait until it answers.

        Raises:
            StackError: It did not.
        """
        await self.supervisor.add(
            Program(
                name=BUS,
                argv=tuple(self._server.command()),
                env=self._environ,
                stop_rank=STOP_RANK[BUS],
                log=self.log(BUS),
            )
        )
        try:
            await asyncio.wait_for(self._bus_answers(), BUS_READY_WITHIN_S)
        except TimeoutError as error:
            raise self._failed(BUS, BUS_READY_WITHIN_S) from error

    async def _bus_answers(self) -> None:
        while True:
            try:
                async with open_link(self.url):
                    return
            except BusUnavailable:
                await asyncio.sleep(0.02)

    @property
    def venue_state(self) -> tuple[str, str]:
        """The argument by which simulated venues keep their accounts over restarts."""
        return "--state", str(self.directory / "venues")

    async def start_venues(self, arguments: Sequence[str]) -> Addresses:
        """Start the simulated venues on a port they keep over restarts; return their addresses.

        Raises:
            StackError: They did not become ready.
        """
        ready = self.directory / "venuesim.ready.json"
        port = str(free_port())
        await self.supervisor.add(
            Program(
                name=VENUES,
                argv=(
                    sys.executable,
                    "-m",
                    "services.venuesim",
                    "--port",
                    port,
                    "--json",
                    *arguments,
                ),
                env=self._environ,
                stop_rank=STOP_RANK[VENUES],
                grace_s=GRACE_S_DEFAULT,
                log=self.log(VENUES),
                out=ready,
            )
        )
        waiting = asyncio.create_task(read_addresses(ready))
        gave_up = asyncio.create_task(self.supervisor.gave_up.wait())
        try:
            await asyncio.wait(
                (waiting, gave_up),
                timeout=VENUES_READY_WITHIN_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if waiting.done():
                return waiting.result()
            raise self._failed(VENUES, VENUES_READY_WITHIN_S)
        finally:
            waiting.cancel()
            gave_up.cancel()

    async def start_services(
        self,
        config: Config,
        addresses: Addresses | None,
        extra: Mapping[str, str],
        names: Sequence[str] = SERVICES,
    ) -> None:
        """Write the configuration and start services on it, all five if none is named."""
        path = self.directory / "arb.toml"
        path.write_text(to_toml(config), encoding="utf-8")
        environ = {**self._environ, "ARB_CONFIG": str(path), "ARB_REDIS_URL": self.url, **extra}
        secrets = {}
        for venue, credentials in addresses.credentials.items() if addresses else ():
            if not credentials.api_key:
                continue
            secrets[f"ARB_{venue.upper()}_API_KEY"] = credentials.api_key
            secrets[f"ARB_{venue.upper()}_API_SECRET"] = credentials.secret
            if credentials.second_key:
                secrets[f"ARB_SENTINEL_{venue.upper()}_API_KEY"] = credentials.second_key
                secrets[f"ARB_SENTINEL_{venue.upper()}_API_SECRET"] = credentials.secret
        for name in names:
            await self.supervisor.add(
                service_program(name, environ, log=self.log(name), secrets=secrets)
            )
            if name == INGESTOR and has_two_feeds(config):
                await self.supervisor.add(second_ingestor(environ, log=self.log(SECOND_INGESTOR)))

    def log(self, name: str) -> Path:
        """Return where a program's log is."""
        return self.directory / f"{name}.log"

    def _failed(self, name: str, within_s: float) -> ArbError:
        if self.supervisor.gave_up.is_set():
            return ConfigError(self.supervisor.reason)
        last = " | ".join(tail(self.log(name), 3)) or "its log is empty"
        return StackError(f"{name} did not start within {within_s:g} s: {last}")


@asynccontextmanager
async def open_stack(on_event: Callable[[str], None]) -> AsyncIterator[Stack]:
    """Make a stack in a directory of its own; stop everything and remove it at the end.

    The directory is kept, and named on stderr, when the body fails or asks for it with ``keep``:
    its logs say why.
    """
    directory = Path(tempfile.mkdtemp(prefix="arb-"))
    stack = Stack(directory, on_event)
    try:
        yield stack
    except ConfigError:
        raise  # its one line says everything
    except BaseException:
        stack.keep = True
        raise
    finally:
        try:
            await stack.supervisor.stop()
        finally:
            stack.supervisor.kill()
            if stack.keep:
                note(f"logs are kept in {directory}")
            else:
                shutil.rmtree(directory, ignore_errors=True)


def seconds_since(monotonic_ns: int) -> float:
    """Return the seconds passed since a monotonic time."""
    return (SystemClock.monotonic_ns() - monotonic_ns) / 1e9
