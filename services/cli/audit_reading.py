"""Reads what is on record of who did what: the stream ``sys.audit`` and the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from services.cli.ledger.file import opened
from services.cli.settings import target
from shared.errors import BusUnavailable, ConfigError
from shared.messages.control import Audited
from shared.sql_ledger.rows import message_of
from shared.streams import SYS_AUDIT
from shared.watch.link import open_link

STREAM, LEDGER = "stream", "ledger"


@dataclass(slots=True)
class OnRecord:
    """Entries by their hash; how many each source holds, or why it was not read."""

    entries: dict[str, Audited] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    not_read: dict[str, str] = field(default_factory=dict)

    def in_order(self) -> list[Audited]:
        """Return the entries by their time."""
        return sorted(self.entries.values(), key=lambda each: (each.ts_ns, each.seq))


def read_record(redis: str | None, ledger: str | None) -> OnRecord:
    """Return what the stream and the ledger hold.

    Raises:
        BusUnavailable: The Redis that was given is away.
        ConfigError: The ledger that was given cannot be read.
    """
    found = OnRecord()
    try:
        told = asyncio.run(_of_stream(redis))
    except (BusUnavailable, ConfigError) as error:
        if redis is not None:
            raise
        found.not_read[STREAM] = str(error)
    else:
        found.counts[STREAM] = len(told)
        found.entries |= {each.hash: each for each in told}
    try:
        with opened(ledger) as there:
            rows = there.query("SELECT * FROM audit")
            told = [message_of(Audited, row) for row in rows]
    except ConfigError as error:
        if ledger is not None:
            raise
        found.not_read[LEDGER] = str(error)
    else:
        found.counts[LEDGER] = len(told)
        found.entries |= {each.hash: each for each in told}
    return found


async def _of_stream(redis: str | None) -> list[Audited]:
    async with open_link(target(redis)) as link:
        items = [item.message async for item in link.whole(SYS_AUDIT)]
    return [each for each in items if isinstance(each, Audited)]
