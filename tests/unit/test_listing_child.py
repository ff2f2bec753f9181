"""The child that reads the venues' lists: its answers are passed on, and every job gets one."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal

import msgspec
import pytest

from services.ingestor import listing_child, markets
from services.ingestor.engine.requests import ListingAnswered, ListingJob
from shared.messages.rules import InstrumentRules

JOBS = [
    ListingJob("binance", "a", "", ["BTC/USDT"]),
    ListingJob("kraken", "b", "", ["BTC/USD"]),
]
LISTED = ListingAnswered(
    "a",
    [
        InstrumentRules(
            venue="a",
            instrument="BTC/USDT",
            tick_size=Decimal("0.1"),
            lot_size=Decimal("0.1"),
            qty_min=Decimal(0),
            notional_min=Decimal(0),
            taker_fee_bps=Decimal(1),
            maker_fee_bps=Decimal(1),
        )
    ],
)


def child(*answers: ListingAnswered, then: str = "pass") -> tuple[str, ...]:
    """A reader that says these lines and then does something else."""
    lines = b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers)
    code = f"import sys, time; input(); sys.stdout.buffer.write({lines!r}); sys.stdout.flush(); "
    return (sys.executable, "-S", "-c", code + then)


async def test_answers_come_as_they_are_read(monkeypatch):
    failed = ListingAnswered("b", error="NetworkError: no route")
    monkeypatch.setattr(listing_child, "CHILD", child(LISTED, failed))
    assert [answer async for answer in listing_child.read_in_child(JOBS)] == [LISTED, failed]


async def test_a_venue_that_hangs_does_not_hold_up_the_others(monkeypatch):
    monkeypatch.setattr(listing_child, "CHILD", child(LISTED, then="time.sleep(100)"))
    answers = listing_child.read_in_child(JOBS)
    assert await anext(answers) == LISTED
    last = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0)
    assert not last.done()
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)


async def test_a_venue_that_never_answers_has_failed_in_the_end(monkeypatch):
    monkeypatch.setattr(listing_child, "CHILD", child(LISTED, then="time.sleep(100)"))
    monkeypatch.setattr(listing_child, "CHILD_TIMEOUT_S", 0.5)
    answers = [answer async for answer in listing_child.read_in_child(JOBS)]
    assert [(answer.venue, bool(answer.error)) for answer in answers][-1] == ("b", True)


@pytest.mark.parametrize("then", ["print('nonsense')", "sys.exit('no ccxt here')"])
async def test_a_reader_that_breaks_is_a_failure_of_what_it_did_not_answer(monkeypatch, then):
    monkeypatch.setattr(listing_child, "CHILD", child(LISTED, then=then))
    first, second = [answer async for answer in listing_child.read_in_child(JOBS)]
    assert first == LISTED
    assert second.venue == "b" and second.error.startswith("the reader failed")


@pytest.mark.parametrize(
    ("then", "error"),
    [
        (
            "import os; os.kill(os.getpid(), 9)",
            "the reader failed, killed by SIGKILL, without a word",
        ),
        ("import os; os._exit(3)", "the reader failed, exit code 3, without a word"),
        ("sys.exit('no ccxt here')", "the reader failed, exit code 1: no ccxt here"),
        ("import os; os._exit(0)", "the reader failed, exit code 0, without a word"),
        (
            "sys.stderr.write('odd'); sys.stderr.flush(); print('no', flush=True); time.sleep(100)",
            "the reader failed: it said something that is no answer: odd",
        ),
        (
            "import os; os.close(1); time.sleep(100)",
            "the reader failed: it closed its output and did not end, without a word",
        ),
    ],
)
async def test_how_a_reader_ended_is_told(monkeypatch, then, error):
    """An end without a word (killed for its memory, say) was told as one without a cause."""
    monkeypatch.setattr(listing_child, "CHILD", child(LISTED, then=then))
    monkeypatch.setattr(listing_child, "LAST_OUTPUT_S", 1.0)
    first, second = [answer async for answer in listing_child.read_in_child(JOBS)]
    assert (first, second.error) == (LISTED, error)


async def test_what_breaks_at_one_venue_is_the_answer_of_that_venue_alone(monkeypatch, capfdbinary):
    async def read(job: ListingJob) -> ListingAnswered:
        if job.venue == "b":
            raise KeyError("id")  # nobody expected this of the venue's list
        await asyncio.sleep(0.01)
        return LISTED

    monkeypatch.setattr(markets, "read_rules", read)
    await markets.answer_all(JOBS)
    output = capfdbinary.readouterr().out.splitlines()
    answers = [msgspec.json.decode(line, type=ListingAnswered) for line in output]
    assert answers == [ListingAnswered("b", error="KeyError: 'id'"), LISTED]
