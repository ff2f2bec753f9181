"""The kill switch by hand: ``python -m services.sentinel.kill``, which is what ``arb kill`` runs.

It needs a configuration and keys of the venues, and nothing that is alive: HALT is written to Redis
where that answers, and at the same time every order at every venue is canceled. An executor that is
alive, by its messages in Redis, gets FLATTEN to close positions; else they are closed here, by the
spot holdings last on record that hedge them. Exit codes: 0 done, 1 not all of
it (the text says what), 2 a mistake in the configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import socket
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from services.sentinel.facts import ENDED, spot_of
from services.sentinel.gateways import open_gateways
from services.sentinel.kill_switch import KillReport, KillSwitch, traded_of
from services.sentinel.transport import VenueGateways
from shared.cancel import cancel_and_wait
from shared.clock import SystemClock
from shared.config import load_config
from shared.config_sections import Config
from shared.engine import Action, Result
from shared.errors import ArbError, ConfigError
from shared.messages.control import Command, CommandKind, Heartbeat
from shared.messages.execution import Fill, OrderEvent, RiskReport
from shared.streams import CTL_COMMAND, EXEC_EVENT, RISK_EVENT, SYS_HEALTH
from shared.watch.link import Link, Target, open_link
from shared.watch.operate import signing_keys
from shared.wording import counted

REDIS_WITHIN_S: Final = 2.0
LIFE_POLL_S, LIFE_LOOKS = 0.1, 25
"""An executor that lives is heard every second."""
ON_RECORD_S: Final = REDIS_WITHIN_S + LIFE_POLL_S * LIFE_LOOKS
ENTRIES_BACK: Final = 500
EXIT_NOT_DONE, EXIT_CONFIG = 1, 2


class Killed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    ``command`` is HALT, or FLATTEN where the executor lives to carry it out; ``not_written`` says
    why it is not on Redis, empty where it is.
    """

    command: str
    not_written: str
    venues: KillReport

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do by hand."""
        return not self.not_written and self.venues.is_done

    def lines(self) -> list[str]:
        """Return it as lines of text."""
        lines = [
            f"{self.command}: is on Redis; a service that is down carries it out once it is back"
        ]
        if self.not_written:
            lines = [f"{self.command}: NOT written ({self.not_written}): stop the executor by hand"]
        if not self.venues.orders:
            return [*lines, "orders are on paper: there is nothing at any venue"]
        for venue, each in self.venues.orders.items():
            what = "none left" if each.clear_ms is not None else "NOT known to be none"
            when = "" if each.clear_ms is None else f" after {each.clear_ms:.0f} ms"
            why = f"no cancel-all ({each.cancel_all})" if each.cancel_all else "cancel-all taken"
            found = counted(each.found, "working order")
            lines.append(f"{venue}: {why}, {found} found after it, {what}{when}")
        for position in self.venues.positions or ():
            held = f"{position.before:f} {position.instrument}"
            why = f" ({position.reason})" if position.reason else ""
            lines.append(f"{position.venue}: held {held}, holds {position.left:f}{why}")
        if self.command == CommandKind.FLATTEN:
            lines.append("positions: the executor lives and closes them; arb status shows it")
        return [*lines, *(f"NOT done: {each}" for each in self.venues.not_done)]


class OnRecord(msgspec.Struct, frozen=True):
    """What Redis says: whether the executor lives, and what spot is open (``None``: unknown)."""

    executor_lives: bool
    spot: dict[str, Decimal] | None


async def press(config: Config, gateways: VenueGateways, reason: str, *, flatten: bool) -> Killed:
    """Write HALT and clear the venues, both at once; then close positions, or let the executor.

    Orders are canceled while the executor is asked for a sign of life: it may have died just now.
    """
    writing = asyncio.create_task(_write(config, CommandKind.HALT, reason))
    clearing = asyncio.create_task(_clear(config, gateways, reason, flatten=False, spot=None))
    if not flatten:
        return Killed(command=CommandKind.HALT, not_written=await writing, venues=await clearing)
    found = await _on_record(config)
    cleared, not_written = await clearing, await writing
    if found.executor_lives and _can_sign():  # an unsigned FLATTEN is ignored
        not_written = await _write(config, CommandKind.FLATTEN, reason)
        return Killed(command=CommandKind.FLATTEN, not_written=not_written, venues=cleared)
    closed = await _clear(config, gateways, reason, flatten=True, spot=found.spot)
    if cleared.is_done:
        closed = msgspec.structs.replace(
            closed,
            orders=cleared.orders,
            zero_orders_ms=cleared.zero_orders_ms,
            took_ms=cleared.took_ms + closed.took_ms,
        )
    return Killed(command=CommandKind.HALT, not_written=not_written, venues=closed)


async def _clear(
    config: Config,
    gateways: VenueGateways,
    reason: str,
    *,
    flatten: bool,
    spot: Mapping[str, Decimal] | None,
) -> KillReport:
    """Let the switch decide, and carry out what it asks, until it ends."""
    clock, results = SystemClock(), asyncio.Queue[Result]()
    switch = KillSwitch(
        traded_of(config),
        reason,
        clock.now_ns(),
        flatten=flatten,
        spot=spot,
        within_ns=config.sentinel.kill_within_ms * 1_000_000,
        slippage_bps_max=config.sentinel.slippage_bps_max,
    )
    tasks: dict[asyncio.Task[None], None] = {}

    async def carry_out(action: Action) -> None:
        results.put_nowait(await gateways.carry_out(action))

    actions = switch.on_time(clock.now_ns())
    while not switch.has_ended:
        for action in actions:
            task = asyncio.create_task(carry_out(action))
            tasks[task] = None
            task.add_done_callback(lambda done: tasks.pop(done, None))
        due_ns = switch.next_deadline_ns()
        wait_s = max(0.0, ((due_ns or 0) - clock.now_ns()) / 1e9)
        try:
            async with asyncio.timeout(wait_s):
                result = await results.get()
        except TimeoutError:
            actions = switch.on_time(clock.now_ns())
        else:
            actions = switch.on_result(result, clock.now_ns())
    await cancel_and_wait(tasks)
    return switch.report(clock.now_ns())


def _can_sign() -> bool:
    try:
        signing_keys(CommandKind.FLATTEN)
    except ConfigError:
        return False
    return True


def _target(config: Config) -> Target:
    return Target(config.bus, "bus.url", "start it, or set bus.url or ARB_REDIS_URL")


async def _write(config: Config, kind: CommandKind, reason: str) -> str:
    """Write the command; return why it could not be, empty where it was."""
    now_ns = SystemClock.now_ns()
    command = Command(
        ts_ns=now_ns,
        command_id=f"kill-{kind.lower()}-{now_ns}",
        kind=kind,
        operator=_operator(),
        reason=reason,
    )
    try:
        async with asyncio.timeout(REDIS_WITHIN_S), open_link(_target(config)) as link:
            await link.publish(command, CTL_COMMAND, signing_keys(kind))
    except ArbError as error:
        return str(error)
    except TimeoutError:
        return f"Redis did not answer within {REDIS_WITHIN_S:g} s"
    return ""


async def _on_record(config: Config) -> OnRecord:
    try:
        async with asyncio.timeout(ON_RECORD_S), open_link(_target(config)) as link:
            lives = await _lives(link, config.sentinel.heartbeat_ms_max * 1_000_000)
            return OnRecord(executor_lives=lives, spot=await read_spot(link))
    except (ArbError, TimeoutError):
        return OnRecord(executor_lives=False, spot=None)


async def _lives(link: Link, age_ns_max: int) -> bool:
    """Wait for a new heartbeat of an executor; not where its last one is older than that."""
    first_ns = await _beat_ns(link)
    if SystemClock.now_ns() - first_ns > age_ns_max:
        return False
    for _ in range(LIFE_LOOKS):
        await asyncio.sleep(LIFE_POLL_S)
        if await _beat_ns(link) > first_ns:
            return True
    return False


async def _beat_ns(link: Link) -> int:
    """Return when the executor was heard last, 0 if never."""
    beats = [each.message for each in await link.newest(SYS_HEALTH, count=ENTRIES_BACK)]
    heard = [b.ts_ns for b in beats if isinstance(b, Heartbeat) and b.service == "executor"]
    return max(heard, default=0)


async def read_spot(link: Link) -> dict[str, Decimal] | None:
    """Return what spot is open; ``None``, unknown, where an order or a fill came later."""
    told = [each.message for each in await link.newest(RISK_EVENT, count=ENTRIES_BACK)]
    reports = [each for each in told if isinstance(each, RiskReport)]
    working: dict[str, None] = {}
    is_later = False
    for item in await link.newest(EXEC_EVENT, count=ENTRIES_BACK):
        message = item.message
        if isinstance(message, OrderEvent):
            working.pop(message.client_order_id, None)
            if message.status not in ENDED:
                working[message.client_order_id] = None
        elif isinstance(message, Fill) and reports:
            is_later |= message.ts_ns > reports[-1].ts_ns
    is_known = bool(reports) and not working and not is_later
    return spot_of(reports[-1]) if is_known else None


def _operator() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id may have no name
        user = "operator"
    return f"{user}@{socket.gethostname()}"


async def _run(config: Config, reason: str, *, flatten: bool) -> Killed:
    environ = os.environ  # tidy-ok: handed on to shared.config
    gateways = open_gateways(config, SystemClock(), environ)
    try:
        return await press(config, gateways, reason, flatten=flatten)
    finally:
        await gateways.close()


def main(arguments: list[str]) -> int:
    """Press the switch and say what it did."""
    parser = argparse.ArgumentParser(prog="arb kill", description=__doc__)
    parser.add_argument("--flatten", action="store_true", help="close positions as well")
    parser.add_argument("--reason", default="arb kill")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        config = load_config()
        killed = asyncio.run(_run(config, given.reason, flatten=given.flatten))
    except ConfigError as error:
        sys.stderr.write(f"arb: {error}\n")
        return EXIT_CONFIG
    if given.json:
        record = msgspec.to_builtins(killed) | {"is_done": killed.is_done}
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    else:
        sys.stdout.write("\n".join(killed.lines()) + "\n")
    return 0 if killed.is_done else EXIT_NOT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
