"""The ledger that a command looks at, and how its questions are narrowed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.cli.export import time_ns
from shared.clock import SystemClock
from shared.config import DEFAULT_CONFIG, load_config
from shared.errors import ConfigError
from shared.sql_ledger.address import LedgerAddress, configured_address, parse_address
from shared.sql_ledger.database import Ledger, LedgerError, open_to_read

LIMIT: Final = 50
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_COMPARED: Final = {"since_ns": ">=", "until_ns": "<"}


@contextmanager
def opened(given: str | None) -> Iterator[Ledger]:
    """Open a ledger to look at: the given file or URL, else that of the configuration.

    Raises:
        ConfigError: Nobody says where it is, or it cannot be read.
    """
    try:
        ledger = open_to_read(_configured() if given is None else parse_address(given))
    except LedgerError as fault:
        raise ConfigError(str(fault)) from fault
    try:
        yield ledger
    except LedgerError as fault:
        raise ConfigError(str(fault)) from fault
    finally:
        ledger.close()


def _configured() -> LedgerAddress:
    path = os.environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    if not Path(path).exists():
        raise ConfigError(f"there is no {path} that names a ledger; give one with --ledger PLACE")
    return configured_address(load_config(None, os.environ).recorder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of a table is asked for; ``None`` is all. ``limit`` are the newest so many.

    Times are UNIX ns: from ``since_ns`` on, and before ``until_ns``.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    strategy: str | None = None
    venue: str | None = None
    instrument: str | None = None
    plan: str | None = None
    reason: str | None = None
    limit: int = LIMIT

    def where(
        self, *, any_leg: Callable[[str], str] | None = None, **columns: str
    ) -> tuple[str, list[Any]]:
        """Return the condition and its arguments.

        Args:
            any_leg: Makes the condition on a field of any leg, where venue and instrument are those
                of legs.
            columns: Filter -> the column that it is about, for those that the table has; ``time``
                is what ``since_ns`` and ``until_ns`` are about.

        Raises:
            ConfigError: Something is asked for that the table does not have.
        """
        asked = {"since_ns": self.since_ns, "until_ns": self.until_ns, "strategy": self.strategy}
        asked |= {"venue": self.venue, "instrument": self.instrument, "plan": self.plan}
        asked |= {"reason": self.reason}
        parts, arguments = ["1 = 1"], []
        for name, value in asked.items():
            if value is None:
                continue
            column = columns.get("time" if name in _COMPARED else name)
            if column is not None:
                parts.append(f"{column} {_COMPARED.get(name, '=')} ?")
            elif any_leg is not None and name in {"venue", "instrument"}:
                parts.append(any_leg(name))
            else:
                option = name.removesuffix("_ns")
                raise ConfigError(f"--{option} does not narrow this table; leave it out")
            arguments.append(value)
        return " AND ".join(parts), arguments


def parse_times(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """Return the moments that ``--since`` and ``--until`` name.

    Raises:
        ConfigError: One is no time, or nothing can be between them.
    """
    since_ns, until_ns = parse_time("--since", since), parse_time("--until", until)
    if since_ns is not None and until_ns is not None and since_ns >= until_ns:
        raise ConfigError(f"--since {since} is not before --until {until}")
    return since_ns, until_ns


def parse_time(option: str, text: str | None) -> int | None:
    """Return the moment that an option names, like ``90m``, ``7d`` or ``2026-11-26T07:30:00Z``.

    Raises:
        ConfigError: It names none.
    """
    if text is None:
        return None
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is not None and number.isdecimal() and len(number) <= 6:
        return SystemClock.now_ns() - int(number) * unit * 1_000_000_000
    try:
        return time_ns(option, text)
    except ConfigError as error:
        raise ConfigError(f"{error}, or how long ago, like 90m, 12h or 7d") from error
