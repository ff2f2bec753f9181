"""Live books compared with the REST books of the simulated venues."""

from __future__ import annotations

from collections import Counter

import pytest

from shared import streams
from shared.bus.port import Input
from shared.messages.base import BookState
from shared.messages.book_audit import AuditVerdict
from shared.venues.registry import EVERY, load_book_audit
from tests.integration.test_ingestor_venuesim import INSTRUMENTS, running, venuesim
from tests.support import eventually

__all__ = ["venuesim"]

AUDITED = [venue for venue in EVERY if load_book_audit(venue) is not None]
UNPROVED = [venue for venue in AUDITED if venue != "kraken"]
"""A checksum tells at once what an audit tells later."""
OFTEN_S = 0.1


@pytest.mark.timeout(150)
async def test_true_books_of_every_venue_agree(venuesim, tmp_path, monkeypatch):
    async with running(venuesim, tmp_path, monkeypatch, audit_every_s=OFTEN_S) as (run, _):
        wanted = [Input(streams.MD_AUDIT, start="first")]
        inbox = await run.bus.open_inbox(wanted, service="t", instance="t")
        agreed: Counter = Counter()
        told = []

        async def all_agree() -> bool:
            for audited in (await inbox.read(0.1)).messages:
                told.append(audited)
                agreed[audited.venue] += audited.verdict is AuditVerdict.AGREES
            return all(agreed[venue] >= 1 for venue in AUDITED) and agreed.total() >= 12

        await eventually(all_agree, timeout_s=120)
        assert not [each for each in told if each.verdict is AuditVerdict.DIFFERS]
        assert all(each.compared for each in told if each.verdict is AuditVerdict.AGREES)
        assert run.counters["audits_unanswered"] == 0
        assert run.counters["snapshots_failed"] == 0
        await inbox.close()


@pytest.mark.parametrize("venue", UNPROVED)
async def test_a_wrong_level_that_no_number_shows_is_found_and_healed(
    venuesim, tmp_path, monkeypatch, venue
):
    async with running(venuesim, tmp_path, monkeypatch, audit_every_s=OFTEN_S) as (run, control):
        instrument = INSTRUMENTS[venue][0]
        states = run.reader.states

        async def is_found() -> bool:
            if BookState.AUDIT_FAILED.value in states[venue, instrument]:
                return True
            await control.fault("wrong_qty", venue, instrument=instrument, count=5)
            return False

        await eventually(is_found, timeout_s=45, what="AUDIT_FAILED")
        assert run.counters["gaps"] == run.counters["checksums_failed"] == 0
        await control.clear_faults()
        await eventually(control.books_are_right, timeout_s=20)
        failed = {name for name, seen in states.items() if "AUDIT_FAILED" in seen}
        assert failed == {(venue, instrument)}
