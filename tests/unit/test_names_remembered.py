"""Texts found right are remembered while they come again, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import codec
from shared.messages.bounds import INSTRUMENT, NAME, ORDER_ID, Syntax
from shared.messages.checks import names_of
from shared.streams import SYS_HEALTH
from tests.decision_builders import T0, make_beat

FEW = 2_100
HOURS_OF_BEATS = 20_000


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """Each test begins, and leaves the others, with nothing remembered."""
    every = [names_of(syntax) for syntax in (INSTRUMENT, NAME, ORDER_ID)]
    for names in every:
        names.known.clear()
    yield
    for names in every:
        names.known.clear()


def test_hours_of_heartbeats_leave_no_entry_ids_behind() -> None:
    known = names_of(NAME).known
    for second in range(HOURS_OF_BEATS):
        beat = make_beat("risk", T0, 1, inputs={"{arb}:exec.event": f"{T0 + second}-0"})
        (read,) = codec.decode(SYS_HEALTH, codec.encode(SYS_HEALTH, [beat]))
        assert read == beat
        assert len(known) <= FEW
    assert {"risk", beat.instance} <= known, "what comes with every heartbeat is remembered"


@pytest.mark.parametrize("syntax", [NAME, ORDER_ID])
def test_texts_that_come_once_do_not_crowd_out_those_that_come_later(syntax: Syntax) -> None:
    names = names_of(syntax)
    for number in range(HOURS_OF_BEATS):
        assert names(f"ab{number:020}", 0) == ""
        assert len(names.known) <= FEW
    assert names("late", 0) == ""
    assert "late" in names.known


def test_every_instrument_of_many_venues_stays_known() -> None:
    names = names_of(INSTRUMENT)
    instruments = [f"A{number}/USDT" for number in range(10_000)]
    for instrument in instruments:
        assert names(instrument, 0) == ""
    assert names.known >= set(instruments)
