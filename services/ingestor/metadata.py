"""The trading rules of the configured instruments: read in the background, repeated for latecomers.

A failure never touches the feed: it is logged, counted and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from services.ingestor.driver import MessageSink
from services.ingestor.markets import Answer, Job
from shared.backoff import Backoff
from shared.clock import Clock
from shared.domain.instrument import InstrumentRules
from shared.messages.control import Alert, Severity
from shared.messages.market import InstrumentInfo
from shared.observe import Observer

log = logging.getLogger(__name__)

CHILD = (sys.executable, "-m", "services.ingestor.markets")
CHILD_TIMEOUT_S = 60.0
BACKOFF_S = 2.0
BACKOFF_S_MAX = 60.0
REREAD_S = 3600.0
"""Rules change rarely (ticks, minimums, delistings), but they do."""
REPEAT_S = 3.0


class MetadataReader:
    """Rules of all venues.

    Args:
        jobs: What to read, per venue.
        taker_fees_bps: Venue -> the configured fee, which overrides what the venue reports.
        sink: Where rules go.
        on_missing: Told about instruments a venue does not list: (venue, instrument, reason).
        observer: Counters.
        clock: Time.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        taker_fees_bps: Mapping[str, Decimal],
        sink: MessageSink,
        on_missing: Callable[[str, str, str], None],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._jobs, self._taker_fees_bps = jobs, taker_fees_bps
        self._sink, self._on_missing = sink, on_missing
        self._observer, self._clock = observer, clock
        self._rules: dict[str, list[InstrumentRules]] = {}
        self._said: dict[tuple[str, str], str] = {}

    async def run(self) -> None:
        """Read now and then, for ever; a venue that fails is tried again, the others stand."""
        backoff = Backoff(BACKOFF_S, BACKOFF_S_MAX)
        while True:
            left = list(self._jobs)
            while left:
                failed = {job.venue: job for job in left}
                for answer in await read_in_child(left):
                    if answer.error:
                        self._note_failure(answer)
                    else:
                        self._take(answer)
                        del failed[answer.venue]
                left = list(failed.values())
                if left:
                    await asyncio.sleep(backoff.next_s())
            backoff.reset()
            await asyncio.sleep(REREAD_S)

    def repeat(self) -> None:
        """Publish the rules known."""
        for venue in self._rules:
            self._publish(venue)

    def _publish(self, venue: str) -> None:
        now_ns = self._clock.now_ns()
        for rules in self._rules[venue]:
            self._sink.put(InstrumentInfo(rules=rules, ts_ns=now_ns))

    def _take(self, answer: Answer) -> None:
        fee_bps = self._taker_fees_bps.get(answer.venue)
        self._rules[answer.venue] = [
            rules if fee_bps is None else msgspec.structs.replace(rules, taker_fee_bps=fee_bps)
            for rules in answer.rules
        ]
        self._publish(answer.venue)
        for rules in answer.rules:
            self._say_if_not_traded(rules)
        for instrument, reason in answer.missing.items():
            self._on_missing(answer.venue, instrument, reason)

    def _say_if_not_traded(self, rules: InstrumentRules) -> None:
        """Alert once for each reason why an instrument is not traded."""
        place, reason = (rules.venue, rules.instrument), rules.reason
        if self._said.get(place, "") == reason:
            return
        self._said[place] = reason
        if not reason:
            return
        text = f"{rules.venue} {rules.instrument} is not traded: {reason}"
        log.warning("instrument_not_traded", extra={"venue": rules.venue, "reason": text})
        self._sink.put(
            Alert(
                service="ingestor",
                severity=Severity.WARNING,
                code="INSTRUMENT_NOT_TRADED",
                text=text,
                ts_ns=self._clock.now_ns(),
            )
        )

    def _note_failure(self, answer: Answer) -> None:
        self._observer.count("metadata_failures")
        log.warning("metadata_failed", extra={"venue": answer.venue, "error": answer.error})


async def read_in_child(jobs: Sequence[Job]) -> list[Answer]:
    """Run the child for these jobs and return its answers, one per job."""
    child = await asyncio.create_subprocess_exec(
        *CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdin and child.stdout and child.stderr
    # Not communicate(): that would close the child's input, which tells it that we died.
    child.stdin.write(msgspec.json.encode(jobs) + b"\n")
    error = ""
    try:
        async with asyncio.timeout(CHILD_TIMEOUT_S):
            output, errors = await asyncio.gather(child.stdout.read(), child.stderr.read())
        return msgspec.json.decode(output, type=list[Answer])
    except TimeoutError:
        error = f"no answer within {CHILD_TIMEOUT_S} s"
    except msgspec.DecodeError:
        last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
        error = f"the reader failed: {' '.join(last)}"
    finally:
        if child.returncode is None:
            try:
                child.kill()
            except ProcessLookupError:
                pass
        await child.wait()
    return [Answer(job.venue, error=error) for job in jobs]
