"""`arb record`: venues into a store for a while, with nothing else of the system."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from services.cli import settings
from services.cli.output import note
from services.cli.settings import config_for_venues
from services.cli.stack import Stack, open_stack, seconds_since
from services.cli.supervisor import tail
from shared.clock import SystemClock
from shared.config_sections import Config, RecorderConfig
from shared.errors import ConfigError
from shared.store.extra import must_have
from shared.store.segments import segments_in

RECORDING = ("ingestor", "recorder")
BEGINS_WITHIN_S = 60.0
POLL_S = 0.1
UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
SECONDS_MAX = 7 * 86_400


def parse_seconds(text: str) -> float:
    """Return the seconds that a text like ``60s``, ``10m`` or ``2h`` says.

    Raises:
        ConfigError: It says none.
    """
    number, unit = text[:-1], UNITS.get(text[-1:])
    if unit is None:
        number, unit = text, 1.0
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= SECONDS_MAX:
        raise ConfigError(f"--for {text}: a time like 60s, 10m or 2h, at most seven days")
    return seconds


async def run_record(
    seconds: float, out: Path, config_path: str | None, demo_seed: int | None
) -> dict[str, Any]:
    """Record, and return what happened and the ``problems``.

    Args:
        seconds: How long.
        out: The store, an absolute path.
        config_path: Of the venues' configuration.
        demo_seed: Of simulated venues instead.

    Raises:
        ConfigError: The configuration is wrong, or the extra is missing.
        StackError: Something did not start.
    """
    must_have("pyarrow")
    config = settings.check(config_path) if demo_seed is None else None
    events: list[str] = []
    problems: list[str] = []
    async with open_stack(events.append) as stack:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopped.set)
        await stack.start_bus()
        await _start(stack, config, out, demo_seed)
        began = await _wait(stack, stopped, BEGINS_WITHIN_S, lambda: any(segments_in(out)))
        if not began and not stopped.is_set():
            problems.append(f"nothing came within {BEGINS_WITHIN_S:g} s: {_last_lines(stack)}")
        elif began:
            note(f"arb record: recording into {out} for {seconds:g} s; Ctrl-C ends it before")
            await _wait(stack, stopped, seconds, lambda: False)
        await stack.supervisor.stop()
        stack.keep = bool(problems)
    return {"events": events[-50:], "problems": problems}


async def _start(stack: Stack, config: Config | None, out: Path, demo_seed: int | None) -> None:
    recorder = RecorderConfig(enabled=True, dir=str(out))
    if config is not None:
        given = msgspec.structs.replace(config, recorder=recorder, strategies=[])
        await stack.start_services(given, None, {}, RECORDING)
        return
    addresses = await stack.start_venues(("--seed", str(demo_seed)))
    names = ((one.venue, one.instrument) for one in addresses.instruments)
    made = config_for_venues(names, addresses.http, addresses.ws, stack.url, recorder=recorder)
    await stack.start_services(made, addresses, {}, RECORDING)


async def _wait(
    stack: Stack, stopped: asyncio.Event, within_s: float, condition: Callable[[], bool]
) -> bool:
    """Wait for a condition until the user stops or the time is over; return whether it came.

    Raises:
        ConfigError: A program refuses its configuration.
    """
    began = SystemClock.monotonic_ns()
    while not stopped.is_set() and seconds_since(began) < within_s:
        if stack.supervisor.gave_up.is_set():
            raise ConfigError(stack.supervisor.reason)
        if condition():
            return True
        await asyncio.sleep(POLL_S)
    return False


def _last_lines(stack: Stack) -> str:
    lines = [(name, tail(stack.log(name), 1)) for name in RECORDING]
    return "; ".join(f"{name}: {last[0][:300]}" for name, last in lines if last)
