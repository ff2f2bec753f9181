"""The trading rules of the configured instruments: read in the background, repeated for latecomers.

A failure never touches the feed: it is logged, counted and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from decimal import Decimal

import msgspec

from services.ingestor.driver import MessageSink
from services.ingestor.markets import Answer, Job
from shared.backoff import Backoff
from shared.clock import Clock
from shared.domain.instrument import InstrumentRules
from shared.messages.market import InstrumentInfo
from shared.observe import Observer

log = logging.getLogger(__name__)

CHILD = (sys.executable, "-m", "services.ingestor.markets")
CHILD_TIMEOUT_S = 60.0
BACKOFF_S = 1.0
BACKOFF_S_MAX = 60.0
REREAD_S = 3600.0
"""Rules change rarely (ticks, minimums, delistings), but they do."""
REPEAT_S = 3.0


class MetadataReader:
    """Rules of one venue.

    Args:
        job: What to read.
        taker_fee_bps: The configured fee, which overrides what the venue reports.
        sink: Where rules go.
        on_missing: Told about instruments the venue does not list: (instrument, reason).
        observer: Counters.
        clock: Time.
    """

    def __init__(
        self,
        job: Job,
        *,
        taker_fee_bps: Decimal | None,
        sink: MessageSink,
        on_missing: Callable[[str, str], None],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._job, self._taker_fee_bps = job, taker_fee_bps
        self._sink, self._on_missing = sink, on_missing
        self._observer, self._clock = observer, clock
        self._rules: list[InstrumentRules] = []

    async def run(self) -> None:
        """Read now and then, for ever."""
        backoff = Backoff(BACKOFF_S, BACKOFF_S_MAX)
        while True:
            answer = await self._read()
            if answer.error:
                self._observer.count("metadata_failures")
                extra = {"venue": self._job.venue, "error": answer.error}
                log.warning("metadata_failed", extra=extra)
                await asyncio.sleep(backoff.next_s())
                continue
            backoff.reset()
            self._rules = [self._with_fee(rules) for rules in answer.rules]
            self.repeat()
            for instrument, reason in answer.missing.items():
                self._on_missing(instrument, reason)
            await asyncio.sleep(REREAD_S)

    def repeat(self) -> None:
        """Publish the rules known."""
        now_ns = self._clock.now_ns()
        for rules in self._rules:
            self._sink.put(InstrumentInfo(rules=rules, ts_ns=now_ns))

    def _with_fee(self, rules: InstrumentRules) -> InstrumentRules:
        if self._taker_fee_bps is None:
            return rules
        return msgspec.structs.replace(rules, taker_fee_bps=self._taker_fee_bps)

    async def _read(self) -> Answer:
        child = await asyncio.create_subprocess_exec(
            *CHILD,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert child.stdin and child.stdout and child.stderr
        # Not communicate(): that would close the child's input, which tells it that we died.
        child.stdin.write(msgspec.json.encode(self._job) + b"\n")
        try:
            async with asyncio.timeout(CHILD_TIMEOUT_S):
                output, errors = await asyncio.gather(child.stdout.read(), child.stderr.read())
            return msgspec.json.decode(output, type=Answer)
        except TimeoutError:
            return Answer(error=f"no answer within {CHILD_TIMEOUT_S} s")
        except msgspec.DecodeError:
            last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
            return Answer(error=f"the reader failed: {' '.join(last)}")
        finally:
            if child.returncode is None:
                try:
                    child.kill()
                except ProcessLookupError:
                    pass
            await child.wait()
