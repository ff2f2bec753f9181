"""The lists of instruments: every venue is read on its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from decimal import Decimal

import msgspec
import pytest

from services.ingestor import metadata
from services.ingestor.markets import Answer, Job
from services.ingestor.metadata import MetadataReader
from shared.clock import SystemClock
from shared.messages.control import Alert
from shared.messages.rules import InstrumentRules
from shared.observe import Observer
from tests.support import eventually

JOBS = [Job("binance", "a", "", ["BTC/USDT"]), Job("kraken", "b", "", ["BTC/USD"])]


def listed(venue: str, instrument: str) -> Answer:
    rules = InstrumentRules(
        venue=venue, instrument=instrument, tick_size=Decimal("0.1"), lot_size=Decimal("0.1"),
        qty_min=Decimal(0), notional_min=Decimal(0), taker_fee_bps=Decimal(1),
        maker_fee_bps=Decimal(1),
    )  # fmt: skip
    return Answer(venue, [rules])


def child(*answers: Answer, then: str = "") -> tuple[str, ...]:
    """A reader that says these lines and then does something else."""
    lines = b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers)
    code = f"import sys, time; input(); sys.stdout.buffer.write({lines!r}); sys.stdout.flush(); "
    return (sys.executable, "-S", "-c", code + (then or "pass"))


class Sink(list):
    put = list.append

    def alerts(self) -> list[Alert]:
        return [message for message in self if isinstance(message, Alert)]


@contextlib.asynccontextmanager
async def reading(monkeypatch, script: tuple[str, ...]):
    monkeypatch.setattr(metadata, "CHILD", script)
    monkeypatch.setattr(metadata, "BACKOFF_S", 0.01)
    monkeypatch.setattr(metadata, "BACKOFF_S_MAX", 0.02)
    sink, said = Sink(), []
    reader = MetadataReader(
        JOBS, taker_fees_bps={}, sink=sink, observer=(observer := Observer("ingestor", "i")),
        on_listing=lambda venue, rules, missing: said.append((venue, len(rules), missing)),
        clock=SystemClock(),
    )  # fmt: skip
    task = asyncio.create_task(reader.run())
    try:
        yield sink, said, observer
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_venue_that_hangs_does_not_hold_up_the_others(monkeypatch):
    script = child(listed("a", "BTC/USDT"), then="time.sleep(100)")
    async with reading(monkeypatch, script) as (_, said, _):
        await eventually(lambda: said)
        assert said[0][:2] == ("a", 1)


async def test_a_venue_that_fails_is_named_once_and_tried_again_alone(monkeypatch):
    script = child(listed("a", "BTC/USDT"), Answer("b", error="NetworkError: no route"))
    async with reading(monkeypatch, script) as (sink, said, observer):
        await eventually(lambda: observer.counters.get("metadata_failures", 0) >= 3)
        (alert,) = sink.alerts()
        assert alert.code == "LISTING_UNREAD"
        assert "b" in alert.text and "no route" in alert.text
        assert [venue for venue, _, _ in said] == ["a"]


@pytest.mark.parametrize("then", ["print('nonsense')", "sys.exit('no ccxt here')"])
async def test_a_reader_that_breaks_is_a_failure_of_what_it_did_not_answer(monkeypatch, then):
    script = child(listed("a", "BTC/USDT"), then=then)
    async with reading(monkeypatch, script) as (sink, said, observer):
        await eventually(lambda: observer.counters.get("metadata_failures", 0) >= 1)
        assert said[0][0] == "a"
        assert sink.alerts()[0].text.startswith("b:")


async def test_an_instrument_that_the_list_lost_is_looked_for_again_soon(monkeypatch):
    monkeypatch.setattr(metadata, "REREAD_S", 0.01)
    monkeypatch.setattr(metadata, "REREAD_ODD_S", 0.02)
    gone = Answer("a", missing={"BTC/USDT": "the venue does not list this instrument"})
    script = child(listed("a", "BTC/USDT"), listed("b", "BTC/USD"))
    async with reading(monkeypatch, script) as (_, said, _):
        await eventually(lambda: len(said) >= 2)
        monkeypatch.setattr(metadata, "CHILD", child(gone, listed("b", "BTC/USD")))
        await eventually(lambda: ("a", 0, gone.missing) in said)
        monkeypatch.setattr(metadata, "CHILD", script)
        seen = len(said)
        await eventually(lambda: ("a", 1, {}) in said[seen:])
