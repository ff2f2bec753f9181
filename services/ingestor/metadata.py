"""The trading rules of the configured instruments: read in the background, repeated for latecomers.

A failure never touches the feed: it is logged, counted and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from services.ingestor.markets import Answer, Job
from services.ingestor.refusals import MessageSink, alert
from shared.backoff import Backoff
from shared.clock import Clock
from shared.messages.control import Severity
from shared.messages.market import InstrumentInfo
from shared.messages.rules import InstrumentRules
from shared.observe import Observer

log = logging.getLogger(__name__)

CHILD = (sys.executable, "-m", "services.ingestor.markets")
CHILD_TIMEOUT_S = 60.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
BACKOFF_S = 2.0
BACKOFF_S_MAX = 60.0
REREAD_S = 300.0
"""Rules change rarely (ticks, minimums), but an instrument may be halted at any time."""
REREAD_ODD_S = 20.0
"""Where the list lacks an instrument that it had: perhaps it was cut short."""
REPEAT_S = 3.0


class MetadataReader:
    """Rules of all venues.

    Args:
        jobs: What to read, per venue.
        taker_fees_bps: Venue -> the configured fee, which overrides what the venue reports.
        sink: Where rules go.
        on_listing: Told what a venue lists: (venue, rules, instrument -> why it has none).
        observer: Counters.
        clock: Time.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        taker_fees_bps: Mapping[str, Decimal],
        sink: MessageSink,
        on_listing: Callable[[str, Sequence[InstrumentRules], Mapping[str, str]], None],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._jobs, self._taker_fees_bps = jobs, taker_fees_bps
        self._sink, self._on_listing = sink, on_listing
        self._observer, self._clock = observer, clock
        self._rules: dict[str, list[InstrumentRules]] = {}
        self._failing: set[str] = set()
        self._said: dict[tuple[str, str], str] = {}

    async def run(self) -> None:
        """Read every venue now and then, for ever; one that fails is tried again on its own."""
        backoffs = {job.venue: Backoff(BACKOFF_S, BACKOFF_S_MAX) for job in self._jobs}
        loop = asyncio.get_running_loop()
        due_s = dict.fromkeys(backoffs, loop.time())
        while True:
            jobs = [job for job in self._jobs if due_s[job.venue] <= loop.time()]
            async for answer in read_in_child(jobs):
                venue = answer.venue
                if answer.error:
                    self._note_failure(answer)
                    due_s[venue] = loop.time() + backoffs[venue].next_s()
                else:
                    known = {rules.instrument for rules in self._rules.get(venue, ())}
                    self._take(answer)
                    backoffs[venue].reset()
                    is_odd = not known.isdisjoint(answer.missing)
                    due_s[venue] = loop.time() + (REREAD_ODD_S if is_odd else REREAD_S)
            await asyncio.sleep(max(0.0, min(due_s.values()) - loop.time()))

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
        self._failing.discard(answer.venue)
        self._rules[answer.venue] = [
            rules if fee_bps is None else msgspec.structs.replace(rules, taker_fee_bps=fee_bps)
            for rules in answer.rules
        ]
        # First what forbids a book, then the rules that would let it be traded.
        self._on_listing(answer.venue, answer.rules, answer.missing)
        self._publish(answer.venue)
        for rules in answer.rules:
            self._say_if_not_traded(rules)

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
        now_ns, subject = self._clock.now_ns(), f"{rules.venue}|{rules.instrument}"
        alert(self._sink, Severity.WARNING, "INSTRUMENT_NOT_TRADED", text, now_ns, subject)

    def _note_failure(self, answer: Answer) -> None:
        self._observer.count("metadata_failures")
        log.warning("metadata_failed", extra={"venue": answer.venue, "error": answer.error})
        if answer.venue in self._failing:
            return
        self._failing.add(answer.venue)
        since = "; the rules known stay" if answer.venue in self._rules else ": nothing is traded"
        text = f"{answer.venue}: its list of instruments cannot be read{since}: {answer.error}"
        now_ns = self._clock.now_ns()
        alert(self._sink, Severity.WARNING, "LISTING_UNREAD", text, now_ns, answer.venue)


async def _reaped(child: asyncio.subprocess.Process) -> None:
    """Wait for a killed child, also when canceled meanwhile: it leaves its pipes behind else."""
    waiting = asyncio.ensure_future(child.wait())
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting
        raise


async def read_in_child(jobs: Sequence[Job]) -> AsyncIterator[Answer]:
    """Run the child for these jobs and yield its answers as they come, one per job."""
    left = {job.venue: job for job in jobs}
    if not left:
        return
    child = await asyncio.create_subprocess_exec(
        *CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=ANSWER_BYTES_MAX,
    )
    assert child.stdin and child.stdout and child.stderr
    errors = asyncio.ensure_future(child.stderr.read())
    error = ""
    try:
        # Not communicate(): that would close the child's input, which tells it that we died.
        child.stdin.write(msgspec.json.encode(jobs) + b"\n")
        deadline_s = asyncio.get_running_loop().time() + CHILD_TIMEOUT_S
        while left:
            async with asyncio.timeout_at(deadline_s):
                line = await child.stdout.readline()
            answer = msgspec.json.decode(line, type=Answer)
            if left.pop(answer.venue, None) is not None:
                yield answer
    except TimeoutError:
        error = f"no answer within {CHILD_TIMEOUT_S:.0f} s"
    except (msgspec.DecodeError, ValueError):  # it ended, or said something else
        last = (await errors).decode("utf-8", "replace").strip().splitlines()[-1:]
        error = f"the reader failed: {' '.join(last)}"
    finally:
        if child.returncode is None:
            try:
                child.kill()
            except ProcessLookupError:
                pass
        await _reaped(child)
        errors.cancel()
    for venue in left:
        yield Answer(venue, error=error)
