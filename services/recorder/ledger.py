"""Writes the ledger: follows the streams of decisions and commits what they add.

Everything is read again from the position in the ledger itself, so whatever fails (the file, the
disk, Redis) is tried again until it works; only what Redis has trimmed meanwhile is missing, and
that is on record as a gap. Trading never waits. At most ``ENTRIES_PER_READ`` entries of each stream
are in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.messages.control import Alert, Severity
from shared.observe import Observer
from shared.services import SERVICE_OF
from shared.sql_ledger.address import LedgerAddress
from shared.sql_ledger.database import Ledger, LedgerError, open_to_write
from shared.sql_ledger.take_in import Gap, Position, Taken, take_in
from shared.streams import ALERT, BY_NAME
from shared.watch.link import Link, Target, open_link

log = logging.getLogger(__name__)

NAME: Final = "recorder"
CODE: Final = "LEDGER"
ENTRIES_PER_READ: Final = 200
POLL_S: Final = 0.2
RETRY_S: Final = 1.0
FOLLOWED: Final = {BY_NAME[name].key(): BY_NAME[name] for name in SERVICE_OF[NAME].follows}

T = TypeVar("T")


class LedgerWriter:
    """Follows the streams and writes; an app of the runner.

    Args:
        place: The ledger's file, or the URL of its database.
        target: The Redis to follow.
        clock: Tells when a gap was seen.
        observer: Of the process.
    """

    def __init__(
        self, address: LedgerAddress, target: Target, clock: Clock, observer: Observer
    ) -> None:
        self._address, self._target, self._clock, self._observer = address, target, clock, observer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._ledger: Ledger | None = None
        self._positions: dict[str, Position] = {}
        self._problem = ""
        self._alerts: list[Alert] = []
        self._is_ending = self._has_caught_up = False
        self._working: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow until canceled, or told to end; a step under way is finished."""
        self._working = asyncio.create_task(self._follow(), name="ledger")
        await asyncio.shield(self._working)

    async def drain(self) -> None:
        """Write what the streams hold now, and close the file."""
        self._is_ending = True
        try:
            if self._working is not None:
                await self._working
        finally:
            if self._working is not None:
                self._working.cancel()
            if self._ledger is not None:
                await self._in_thread(self._ledger.close)
            self._thread.shutdown(wait=False)

    def readiness(self) -> tuple[bool, str]:
        """Tell whether the ledger is written, and if not, why."""
        if self._problem:
            return False, f"the ledger is not written: {self._problem}"
        return self._has_caught_up, "" if self._has_caught_up else "the ledger is catching up"

    async def _follow(self) -> None:
        backoff = Backoff(0.1, 2.0)
        while not self._is_done():
            try:
                async with open_link(self._target) as link:
                    while not self._is_done():
                        await self._turn(link)
                        backoff = Backoff(0.1, 2.0)
            except BusUnavailable as error:
                if self._is_ending:
                    return
                self._observer.count("ledger_bus_lost")
                log.warning("bus_lost", extra={"reason": str(error)})
                self._observer.advance()
                await asyncio.sleep(backoff.next_s())

    def _is_done(self) -> bool:
        """Tell whether there is nothing left to do before the end."""
        return self._is_ending and (self._has_caught_up or bool(self._problem))

    async def _turn(self, link: Link) -> None:
        """Read and commit once, and wait if there was no more."""
        self._observer.advance()
        try:
            if self._ledger is None:
                self._ledger = await self._in_thread(lambda: open_to_write(self._address))
                for notice in self._ledger.notices:
                    self._say(Severity.WARNING, notice)
                self._positions = await self._in_thread(self._ledger.positions)
            taken = await self._take(link)
        except LedgerError as fault:
            await self._on_fault(str(fault))
            await self._tell(link)
            if not self._is_ending:
                await asyncio.sleep(RETRY_S)
            return
        if self._problem:
            self._say(Severity.INFO, f"the ledger is written again ({self._problem})")
            self._problem = ""
        for gap in taken.gaps:
            self._observer.count("ledger_gaps")
            self._say(Severity.WARNING, gap_text(gap))
        await self._tell(link)
        self._has_caught_up = not taken.entries
        if self._has_caught_up and not self._is_ending:
            await asyncio.sleep(POLL_S)

    async def _take(self, link: Link) -> Taken:
        after = {
            key: (spec, self._positions.get(key, Position()).entry_id)
            for key, spec in FOLLOWED.items()
        }
        pages = await link.pages(after, ENTRIES_PER_READ)
        taken = take_in(pages, self._positions, self._clock.now_ns())
        if taken.positions or taken.gaps:
            ledger = self._ledger
            assert ledger is not None
            changed = await self._in_thread(
                lambda: ledger.write(taken.rows, taken.positions, taken.gaps)
            )
            self._positions.update(taken.positions)
            self._observer.count("ledger_rows", changed)
            self._observer.count("ledger_entries", taken.entries)
        return taken

    async def _on_fault(self, text: str) -> None:
        """Note it once, and begin with the file again."""
        self._observer.count("ledger_failures")
        if self._ledger is not None:
            await self._in_thread(self._ledger.close)
            self._ledger = None
        self._has_caught_up = False
        if not self._problem:
            self._say(Severity.WARNING, f"the ledger is not written: {text}; trading goes on")
        self._problem = text

    def _say(self, severity: Severity, text: str) -> None:
        log.log(
            logging.INFO if severity is Severity.INFO else logging.ERROR,
            "ledger",
            extra={"reason": text},
        )
        now_ns = self._clock.now_ns()
        self._alerts.append(
            Alert(service=NAME, severity=severity, code=CODE, text=text, ts_ns=now_ns)
        )

    async def _tell(self, link: Link) -> None:
        while self._alerts:
            await link.publish(self._alerts[0], ALERT)
            del self._alerts[0]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def gap_text(gap: Gap) -> str:
    """Return a gap as text."""
    what = "an unknown number of entries" if gap.entries is None else f"{gap.entries} entries"
    return f"{what} of {gap.stream} after {gap.after_id} are not in the ledger: {gap.reason}"
