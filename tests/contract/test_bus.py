"""The bus's contract, proved on every implementation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from shared import streams
from shared.alerts import BURST_MAX
from shared.bus.port import Batch, Bus, Inbox, Input
from shared.bus.tuning import DEAD_BYTES_MAX, Tuning
from shared.codec import encode
from shared.errors import BusUnavailable, CodecError
from shared.messages.base import BookState, Message
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.market import DepthView, ResyncRequest
from tests.contract.bus_harness import (
    PATIENT,
    QUICK,
    Harness,
)

CTL = Input(streams.CTL_COMMAND)


def depth(seq: int, instrument: str = "BTC/USDT", venue: str = "binance") -> DepthView:
    return DepthView(
        venue=venue,
        instrument=instrument,
        state=BookState.LIVE,
        epoch=1,
        seq=seq,
        bids=[(100.0, 1.0)],
        asks=[(101.0, 2.0)],
        ts_recv_ns=seq,
        ts_ns=seq,
    )


def resync(seq: int, instrument: str = "BTC/USDT") -> ResyncRequest:
    return ResyncRequest(ts_ns=seq, venue="binance", instrument=instrument, epoch=seq, reason="gap")


def command(number: int) -> Command:
    return Command(ts_ns=number, command_id=f"c{number}", kind=CommandKind.HALT, operator="test")


async def read_all(inbox: Inbox, until: Callable[[list[Any]], bool]) -> list[Any]:
    """Read until the messages so far are enough."""
    messages: list[Any] = []
    async with asyncio.timeout(10):
        while not until(messages):
            messages += (await inbox.read(0.5)).messages
    return messages


async def next_batch(inbox: Inbox, timeout_s: float = 5.0) -> Batch:
    """Return the next batch that is not empty."""
    async with asyncio.timeout(timeout_s):
        while not (batch := await inbox.read(0.5)).last_ids:
            pass
    return batch


async def risk_inbox(bus: Bus, instance: str = "r1", *, exclusive: bool = False) -> Inbox:
    return await bus.open_inbox([CTL], service="risk", instance=instance, exclusive=exclusive)


def ids(messages: list[Any]) -> list[str]:
    return [message.command_id for message in messages]


# ---------------------------------------------------------------- LATEST


async def test_latest_keeps_order(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("executor")
    inbox = await reader.open_inbox(
        [Input(streams.MD_BOOK), Input(streams.ARB_NEARMISS), Input(streams.ALERT)],
        service="executor",
        instance="e1",
    )
    sent = [
        Alert(ts_ns=n, service="x", severity=Severity.INFO, code="C", text="", subject=str(n))
        for n in range(1_500)
    ]
    for start in range(0, len(sent), 3):
        await writer.commit(None, sent[start : start + 3])
    got = await read_all(inbox, lambda messages: len(messages) >= len(sent))
    assert got == sent
    await inbox.close()


async def test_messages_of_one_commit_to_one_stream_are_one_entry(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("orderbook")
    outputs: list[Message] = [depth(1), resync(1), depth(2, "ETH/USDT"), depth(3)]
    await bus.publish(outputs)
    assert await bus_harness.length(streams.MD_DEPTH.key()) == 1
    assert await bus_harness.length(streams.MD_RESYNC.key()) == 1


async def test_a_late_reader_gets_the_newest_per_key_and_the_count_of_the_rest(
    bus_harness: Harness,
) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("scanner")
    inbox = await reader.open_inbox([Input(streams.MD_DEPTH)], service="scanner", instance="s1")
    for seq in range(1, 6):
        await writer.publish([depth(seq), depth(seq * 10, "ETH/USDT")])
    batch = await next_batch(inbox)
    assert [(m.instrument, m.seq) for m in batch.messages] == [("BTC/USDT", 5), ("ETH/USDT", 50)]
    assert batch.skipped == 8
    assert (await reader.stats())["skipped"] == 8
    await inbox.close()


@pytest.mark.parametrize("sampled_ms", [0, 1])
async def test_a_reader_far_behind_gets_the_newest_as_one_that_is_not(
    bus_harness: Harness, sampled_ms: int
) -> None:
    few = replace(PATIENT, read_messages_max=4)
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("scanner", few)
    what = Input(streams.MD_DEPTH, interval_ms=sampled_ms)
    inbox = await reader.open_inbox([what], service="scanner", instance="s1")
    for seq in range(40):
        await writer.publish([depth(seq, f"{base}/USDT") for base in "ABCDEF"[: 1 + seq % 6]])
    newest: dict[str, int] = {}
    read = 0
    while read < 136:
        batch = await next_batch(inbox)
        newest |= {message.instrument: message.seq for message in batch.messages}
        read += len(batch.messages) + batch.skipped
    last = {"A": 39, "B": 39, "C": 39, "D": 39, "E": 35, "F": 35}
    assert newest == {f"{base}/USDT": seq for base, seq in last.items()}
    stats = await reader.stats()
    assert stats["read"] == read == 136
    assert batch.messages == sorted(batch.messages, key=lambda message: message.seq)
    await inbox.close()


async def test_a_stream_without_conflation_delivers_everything(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("risk")
    inbox = await reader.open_inbox([Input(streams.ALERT)], service="risk", instance="r1")
    sent = [
        Alert(ts_ns=n, service="x", severity=Severity.INFO, code="C", text="", subject=str(n))
        for n in range(5)
    ]
    for alert in sent:
        await writer.publish([alert])
    batch = await next_batch(inbox)
    assert (batch.messages, batch.skipped) == (sent, 0)
    await inbox.close()


async def test_backfill_tells_a_newcomer_the_present_state(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("scanner")
    for seq in range(1, 4):
        await writer.publish([depth(seq), resync(seq)])
    inbox = await reader.open_inbox(
        [Input(streams.MD_DEPTH), Input(streams.MD_RESYNC)], service="scanner", instance="s1"
    )
    batch = await next_batch(inbox)
    assert batch.messages == [depth(3)], "newest per book; md.resync has no backfill"
    await writer.publish([depth(4)])
    assert (await next_batch(inbox)).messages == [depth(4)], "nothing twice, nothing left out"
    await inbox.close()


async def test_reading_starts_at_the_first_entry_or_after_a_known_one(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("ingestor")
    for seq in range(1, 4):
        await writer.publish([resync(seq, f"A{seq}/USDT")])
    first = await reader.open_inbox(
        [Input(streams.MD_RESYNC, start="first")], service="ingestor", instance="i1"
    )
    batch = await next_batch(first)
    assert [m.epoch for m in batch.messages] == [1, 2, 3]
    await first.close()
    start = await bus_harness.first_id(streams.MD_RESYNC.key())
    after = await reader.open_inbox(
        [Input(streams.MD_RESYNC, start=start)], service="ingestor", instance="i1"
    )
    assert [m.epoch for m in (await next_batch(after)).messages] == [2, 3]
    await after.close()


async def test_a_sampled_input_takes_the_newest_at_its_interval(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("risk")
    inbox = await reader.open_inbox(
        [Input(streams.MD_DEPTH, interval_ms=50), CTL], service="risk", instance="r1"
    )
    for seq in range(1, 11):
        await writer.publish([depth(seq)])
    messages: list[Any] = []
    batches = 0
    while not messages or messages[-1].seq < 10:
        batch = await next_batch(inbox)
        messages += batch.messages
        batches += 1
    assert batches < 10
    await writer.publish([command(1)])
    assert ids((await next_batch(inbox)).messages) == ["c1"]
    await inbox.close()


async def test_an_empty_batch_after_the_timeout(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    for inputs in ([CTL], [Input(streams.ALERT)], [CTL, Input(streams.ALERT)]):
        inbox = await bus.open_inbox(inputs, service="risk", instance="r1")
        started = time.monotonic()
        assert (await inbox.read(0.05)).messages == []
        assert time.monotonic() - started >= 0.04
        await inbox.close()


async def test_what_was_trimmed_unread_is_counted_as_lost(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("ingestor")
    inbox = await reader.open_inbox([Input(streams.MD_RESYNC)], service="ingestor", instance="i1")
    total = 3 * streams.MD_RESYNC.entries_max
    for seq in range(total):
        await writer.commit(None, [resync(seq)])
    await writer.publish([resync(total)])
    seen = -1
    while seen < total:
        seen = (await next_batch(inbox)).messages[-1].epoch
    async with asyncio.timeout(5):
        while True:
            await inbox.read(0.05)  # the account is exact once the reader has caught up
            stats = await reader.stats()
            if stats["read"] + stats["lost"] == total + 1:
                break
    assert stats["lost"] > 0
    await inbox.close()


async def test_bytes_that_are_no_message_are_counted_and_passed_over(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("scanner")
    inbox = await reader.open_inbox([Input(streams.MD_RESYNC)], service="scanner", instance="s1")
    await bus_harness.add_raw(streams.MD_RESYNC.key(), b"\xff not json")
    await writer.publish([resync(1)])
    got = await read_all(inbox, bool)
    assert got == [resync(1)]
    assert (await reader.stats())["rejected"] == 1
    await inbox.close()


# ---------------------------------------------------------------- DURABLE


async def test_what_was_committed_is_not_delivered_again(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    await bus.publish([command(1), command(2)])
    inbox = await risk_inbox(bus)
    batch = await next_batch(inbox)
    assert ids(batch.messages) == ["c1", "c2"]
    assert not batch.redelivered
    await bus.commit(batch, [])
    await inbox.close()
    inbox = await risk_inbox(bus)
    assert (await inbox.read(0.1)).messages == []
    await inbox.close()


async def test_every_group_gets_every_entry(bus_harness: Harness) -> None:
    bus, other = await bus_harness.bus("risk"), await bus_harness.bus("executor")
    inbox = await risk_inbox(bus)
    other_inbox = await other.open_inbox([CTL], service="executor", instance="e1")
    await bus.publish([command(1)])
    assert ids((await next_batch(inbox)).messages) == ["c1"]
    assert ids((await next_batch(other_inbox)).messages) == ["c1"]
    await inbox.close()
    await other_inbox.close()


async def test_a_consumer_that_crashed_gets_its_entries_again_one_at_a_time(
    bus_harness: Harness,
) -> None:
    bus = await bus_harness.bus("risk")
    await bus.publish([command(1)])
    await bus.publish([command(2)])
    crashed = await risk_inbox(bus)
    assert ids((await next_batch(crashed)).messages) == ["c1", "c2"]
    await crashed.close()
    await bus.publish([command(3)])
    inbox = await risk_inbox(bus)
    batches = [await next_batch(inbox) for _ in range(3)]
    assert [(ids(b.messages), b.redelivered) for b in batches] == [
        (["c1"], True),
        (["c2"], True),
        (["c3"], False),
    ]
    assert (await bus.stats())["redelivered"] == 2
    await inbox.close()


async def test_what_a_dead_consumer_left_is_claimed_after_a_while(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk", QUICK)
    await bus.publish([command(1)])
    dead = await risk_inbox(bus, "r1")
    await next_batch(dead)
    await dead.close()
    inbox = await risk_inbox(bus, "r2")
    batch = await next_batch(inbox)
    assert (ids(batch.messages), batch.redelivered) == (["c1"], True)
    await bus.commit(batch, [])
    assert (await bus.stats())["claimed"] == 1
    await inbox.close()


async def test_our_own_entries_in_work_are_not_claimed_from_us(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk", QUICK)
    await bus.publish([command(1)])
    inbox = await risk_inbox(bus)
    batch = await next_batch(inbox)
    assert (await inbox.read(0.5)).messages == []
    await bus.commit(batch, [])
    assert (await bus.stats())["claimed"] == 0
    await inbox.close()


async def test_an_exclusive_consumer_takes_over_at_once_and_first(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    await bus.publish([command(1)])
    dead = await risk_inbox(bus, "r1")
    await next_batch(dead)
    await dead.close()
    await bus.publish([command(2)])
    inbox = await risk_inbox(bus, "r2", exclusive=True)
    assert [ids((await next_batch(inbox)).messages) for _ in range(2)] == [["c1"], ["c2"]]
    await inbox.close()


async def test_an_entry_that_keeps_killing_its_consumer_is_put_aside(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    await bus.publish([command(1)])
    await bus.publish([command(2)])
    for _ in range(PATIENT.deliveries_max):
        inbox = await risk_inbox(bus)
        assert ids((await next_batch(inbox)).messages)[0] == "c1"
        await inbox.close()  # "crashes" on c1 every time
    inbox = await risk_inbox(bus)
    batch = await next_batch(inbox)
    assert ids(batch.messages) == ["c2"], "the innocent entry behind it goes on"
    (letter,) = await bus_harness.dead("ctl.command")
    assert letter["group"] == b"risk"
    assert b'"c1"' in letter["m"]
    assert b"3 times" in letter["reason"]
    await bus.commit(batch, [])
    assert (await bus.stats())["dead_lettered"] == 1
    await inbox.close()


async def test_poison_bytes_go_to_the_dead_letters_at_once_and_are_told(
    bus_harness: Harness,
) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus)
    alerts = await bus.open_inbox([Input(streams.ALERT)], service="tail", instance="t")
    bad_id = await bus_harness.add_raw(streams.CTL_COMMAND.key(), b"\x00poison")
    await bus.publish([command(1)])
    batch = await next_batch(inbox)
    while not batch.messages:
        batch = await next_batch(inbox)
    await bus.commit(batch, [])
    (letter,) = await bus_harness.dead("ctl.command")
    assert (letter["id"].decode(), letter["m"]) == (bad_id, b"\x00poison")
    assert (await next_batch(alerts)).messages[0].code == "DEAD_LETTER"
    await inbox.close()
    inbox = await risk_inbox(bus)
    assert (await inbox.read(0.1)).messages == [], "nothing of it is left pending"
    await inbox.close()
    await alerts.close()


async def test_trimming_never_passes_the_slowest_group(bus_harness: Harness) -> None:
    spec = replace(streams.CTL_COMMAND, entries_max=200)
    bus = await bus_harness.bus("risk", QUICK)
    key = spec.key()
    for number in range(600):
        await bus.commit(None, [command(number)])
    await bus.publish([command(600)])
    first = await bus_harness.first_id(key)
    inbox = await bus.open_inbox([Input(spec)], service="risk", instance="r1")
    while (batch := await inbox.read(0.3)).messages:
        await bus.commit(batch, [])
    assert await bus_harness.first_id(key) == first, "executor has read nothing yet"
    assert await bus_harness.length(key) == 601
    executor = await bus_harness.bus("executor", QUICK)
    slow = await executor.open_inbox([Input(spec)], service="executor", instance="e1")
    read = 0
    while read < 601:
        batch = await next_batch(slow)
        read += len(batch.messages)
        await executor.commit(batch, [])
    async with asyncio.timeout(5):
        while await bus_harness.length(key) > 300:
            await asyncio.gather(inbox.read(0.05), slow.read(0.05))
    assert await bus_harness.length(key) >= 200, "no more than asked for"
    await inbox.close()
    await slow.close()


async def test_outputs_checkpoint_and_acknowledgement_come_together(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus)
    out = await bus.open_inbox([Input(streams.ALERT)], service="tail", instance="t")
    await bus.publish([command(1)])
    batch = await next_batch(inbox)
    alert = Alert(ts_ns=1, service="risk", severity="info", code="C", text="t")
    await bus.commit(batch, [alert], checkpoints={"risk": b"state 1"})
    assert await bus.load_checkpoint("risk") == b"state 1"
    assert (await next_batch(out)).messages == [alert]
    await inbox.close()
    await out.close()
    inbox = await risk_inbox(bus)
    assert (await inbox.read(0.1)).messages == []
    await inbox.close()


async def test_a_checkpoint_alone_and_positions(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("orderbook")
    assert await bus.load_checkpoint("orderbook:0") is None
    await bus.save_checkpoint("orderbook:0", b"\x00\x01")
    await bus.note_positions({"orderbook:o1:{0}:md.book": "5-0"})
    await bus.publish([depth(1)])
    assert await bus.load_checkpoint("orderbook:0") == b"\x00\x01"
    assert await bus_harness.positions() == {"orderbook:o1:{0}:md.book": "5-0"}


# ---------------------------------------------------------------- losing the server


async def test_nothing_of_a_failed_commit_is_visible(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus)
    await bus.commit(None, [], checkpoints={"risk": b"before"})
    await bus.publish([command(1)])
    batch = await next_batch(inbox)
    await asyncio.sleep(1.1)  # appendfsync everysec: what is older than a second survives kill -9
    await bus_harness.outage()
    with pytest.raises(BusUnavailable):
        await bus.commit(batch, [command(2)], checkpoints={"risk": b"after"})
    await inbox.close()
    await bus_harness.back()
    again = await bus_harness.bus("risk")
    assert await again.load_checkpoint("risk") == b"before"
    inbox = await risk_inbox(again)
    batch = await next_batch(inbox)
    assert (ids(batch.messages), batch.redelivered) == (["c1"], True)
    assert (await inbox.read(0.1)).messages == []
    await inbox.close()


async def test_a_latest_reader_comes_back_by_itself(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("scanner")
    inbox = await reader.open_inbox([Input(streams.MD_DEPTH)], service="scanner", instance="s1")
    await writer.publish([depth(1)])
    assert (await next_batch(inbox)).messages == [depth(1)]
    await bus_harness.outage()
    assert (await inbox.read(0.1)).messages == []
    await bus_harness.back()
    await eventually_publishes(writer, [depth(2)])
    async with asyncio.timeout(5):
        while not (got := (await inbox.read(0.5)).messages):
            pass
    assert got == [depth(2)]
    await inbox.close()


async def eventually_publishes(bus: Bus, messages: list[Message]) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await bus.publish(messages)
            except BusUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_durable_reader_ends_instead(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus)
    assert (await inbox.read(0.05)).messages == []
    await bus_harness.outage()
    with pytest.raises(BusUnavailable):
        async with asyncio.timeout(5):
            while True:
                await inbox.read(0.2)
    await bus_harness.back()
    await inbox.close()


async def test_a_server_that_lost_its_data(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk", Tuning(block_ms=100, backoff_s=0.01))
    latest = await bus.open_inbox([Input(streams.MD_DEPTH)], service="scanner", instance="s1")
    durable = await risk_inbox(bus)
    await durable.read(0.01)
    await bus.publish([depth(1)])
    await next_batch(latest)
    await bus_harness.lose_everything()
    with pytest.raises(BusUnavailable, match="group is gone"):
        async with asyncio.timeout(5):
            while True:
                await durable.read(0.2)
    await durable.close()
    await bus.publish([depth(2)])
    assert (await next_batch(latest)).messages == [depth(2)]
    fresh = await risk_inbox(bus)
    await bus.publish([command(9)])
    assert ids((await next_batch(fresh)).messages) == ["c9"]
    await fresh.close()
    await latest.close()


async def alerts_of(bus: Bus, harness: Harness) -> list[tuple[str, str]]:
    """Codes and severities of what this bus reports with its next commit."""
    watcher = await harness.bus("operator")
    inbox = await watcher.open_inbox(
        [Input(streams.ALERT, start="first")], service="operator", instance="o1"
    )
    await bus.commit(None, [depth(1)])
    async with asyncio.timeout(5):
        while not (batch := await inbox.read(0.5)).messages:
            await bus.commit(None, [depth(1)])
    await inbox.close()
    return [(alert.code, alert.severity) for alert in batch.messages]


CTL_KEY = streams.CTL_COMMAND.key()


async def add(harness: Harness, *numbers: int) -> list[str]:
    return [
        await harness.add_raw(CTL_KEY, encode(streams.CTL_COMMAND, [command(number)]))
        for number in numbers
    ]


@pytest.mark.parametrize("heir", ["the same", "one that holds the lease", "another"])
async def test_entries_deleted_while_pending_are_told(bus_harness: Harness, heir: str) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus, "dead")
    added = await add(bus_harness, 1, 2, 3)
    assert len((await next_batch(inbox)).messages) == 3
    await inbox.close()
    for entry_id in added[:2]:
        await bus_harness.delete(CTL_KEY, entry_id)
    again = await bus_harness.bus("risk", QUICK if heir == "another" else PATIENT)
    if heir == "another":
        await asyncio.sleep(0.2)
    name = "dead" if heir == "the same" else "heir"
    inbox = await risk_inbox(again, name, exclusive=heir == "one that holds the lease")
    assert ids(await read_all(inbox, lambda messages: len(messages) == 1)) == ["c3"]
    assert (await again.stats())["lost"] == 2
    told = await alerts_of(again, bus_harness)
    assert set(told) == {("PENDING_ENTRY_GONE", Severity.CRITICAL)}
    await inbox.close()


async def test_entries_deleted_before_they_were_read_are_told(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus)
    added = await add(bus_harness, 1)
    batch = await next_batch(inbox)
    await bus.commit(batch, [])
    await inbox.close()
    added = await add(bus_harness, 2, 3)
    await bus_harness.delete(CTL_KEY, added[0])
    again = await bus_harness.bus("risk")
    inbox = await risk_inbox(again)
    assert ids((await next_batch(inbox)).messages) == ["c3"]
    assert (await again.stats())["lost"] == 1
    assert ("UNREAD_ENTRY_GONE", Severity.CRITICAL) in await alerts_of(again, bus_harness)
    await inbox.close()


async def test_a_group_that_was_destroyed_goes_on_where_it_was(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus)
    await add(bus_harness, 1, 2)
    batch = await next_batch(inbox)
    await bus.commit(batch, [])
    await bus.note_positions({f"risk:r1:{key}": last for key, last in batch.last_ids.items()})
    await inbox.close()
    await bus_harness.destroy_group(CTL_KEY, "risk")
    await add(bus_harness, 3)
    again = await bus_harness.bus("risk")
    inbox = await risk_inbox(again)
    assert ids((await next_batch(inbox)).messages) == ["c3"], "not everything once more"
    assert ("GROUP_GONE", Severity.CRITICAL) in await alerts_of(again, bus_harness)
    await inbox.close()


async def test_a_group_beyond_the_end_is_moved_back_and_told(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    inbox = await risk_inbox(bus)
    await inbox.close()
    await add(bus_harness, 1)
    await bus_harness.move_group(CTL_KEY, "risk", "9999999999999-0")
    again = await bus_harness.bus("risk")
    inbox = await risk_inbox(again)
    await add(bus_harness, 2)
    assert ids((await next_batch(inbox)).messages) == ["c2"]
    assert (await again.stats())["lost"] == 1
    assert ("GROUP_AHEAD", Severity.CRITICAL) in await alerts_of(again, bus_harness)
    await inbox.close()


async def test_whoever_reads_everything_has_lost_nothing(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk", QUICK)
    inbox = await risk_inbox(bus)
    for number in range(5):
        (entry_id,) = await add(bus_harness, number)
        batch = await next_batch(inbox)
        await bus.commit(batch, [])
        if number % 2:
            await bus_harness.delete(CTL_KEY, entry_id)
        await inbox.read(0.1)
    await inbox.close()
    inbox = await risk_inbox(bus)
    await inbox.read(0.2)
    assert (await bus.stats())["lost"] == 0
    await inbox.close()


# ---------------------------------------------------------------- leases


async def test_one_owner_per_lease(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    assert await bus.hold_lease("risk", "r1", 10_000)
    assert await bus.hold_lease("risk", "r1", 200), "the owner renews"
    assert not await bus.hold_lease("risk", "r2", 10_000)
    assert await bus.lease_holder("risk") == "r1"
    await bus.release_lease("risk", "r2")
    assert not await bus.hold_lease("risk", "r2", 10_000), "only the owner can give it up"
    await asyncio.sleep(0.25)
    assert await bus.lease_holder("risk") == ""
    assert await bus.hold_lease("risk", "r2", 10_000), "it ended by itself"
    await bus.release_lease("risk", "r2")
    assert await bus.hold_lease("risk", "r1", 10_000)


async def test_members_are_those_who_keep_saying_so(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("orderbook")
    assert await bus.join_members("orderbook", "o2", 10_000) == ["o2"]
    assert await bus.join_members("orderbook", "o1", 100) == ["o1", "o2"]
    await asyncio.sleep(0.15)
    assert await bus.join_members("orderbook", "o2", 10_000) == ["o2"]
    await bus.leave_members("orderbook", "o2")
    assert await bus.join_members("orderbook", "o3", 10_000) == ["o3"]


async def test_marks_are_set_kept_and_removed(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    assert await bus.marks() == {}
    await bus.mark({"id": "one", "mode": "paper"}, only_new=True)
    await bus.mark({"id": "two", "risk": "one"}, only_new=True)
    assert await bus.marks() == {"id": "one", "mode": "paper", "risk": "one"}
    await bus.mark({"id": "three"})
    await bus.unmark("risk")
    await bus.unmark("never-set")
    assert await bus.marks() == {"id": "three", "mode": "paper"}
    await bus_harness.lose_everything()
    assert await bus.marks() == {}


# ---------------------------------------------------------------- bounds


async def test_what_a_message_cannot_hold_is_refused_and_the_others_are_read(
    bus_harness: Harness,
) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("risk")
    inbox = await reader.open_inbox([Input(streams.MD_DEPTH), CTL], service="risk", instance="r1")
    wrong = msgspec.structs.replace(depth(2), bids=[(float("nan"), 1.0)])
    await writer.publish([depth(1), wrong, depth(3, "ETH/USDT")])
    late = time.time_ns() + 3_600_000_000_000
    await writer.publish([msgspec.structs.replace(command(1), ts_ns=late), command(2)])
    await writer.publish([command(3)])
    got = await read_all(inbox, lambda messages: len(messages) >= 3)
    assert [m.seq for m in got if type(m) is DepthView] == [1, 3]
    assert [m.command_id for m in got if type(m) is Command] == ["c3"]
    stats = await reader.stats()
    assert (stats["rejected"], stats["dead_lettered"]) == (2, 1)
    (letter,) = await bus_harness.dead("ctl.command")
    assert b"too far in the future" in letter["reason"]
    await inbox.close()


async def test_entry_that_is_too_long_is_neither_read_nor_written(bus_harness: Harness) -> None:
    writer, reader = await bus_harness.bus("orderbook"), await bus_harness.bus("risk")
    inbox = await reader.open_inbox([CTL], service="risk", instance="r1")
    limit = streams.CTL_COMMAND.entry_bytes_max
    await bus_harness.add_raw(streams.CTL_COMMAND.key(), b"[" + b" " * limit + b"]")
    await writer.publish([command(1)])
    assert ids(await read_all(inbox, bool)) == ["c1"]
    (letter,) = await bus_harness.dead("ctl.command")
    assert len(letter["m"]) == DEAD_BYTES_MAX and b"are the most" in letter["reason"]
    many = [msgspec.structs.replace(command(n), reason="x" * 16_000) for n in range(100)]
    await writer.publish(many)  # too long for one entry, not for several
    assert len(await read_all(inbox, lambda messages: len(messages) >= 100)) == 100
    with pytest.raises(CodecError, match="too long"):
        await writer.publish([msgspec.structs.replace(command(1), reason="x" * limit)])
    await inbox.close()


async def test_stream_is_held_to_its_bytes_whoever_wrote_into_it(bus_harness: Harness) -> None:
    quick = replace(QUICK, measure_s=0.05)
    writer, reader = await bus_harness.bus("orderbook", quick), await bus_harness.bus("risk", quick)
    inbox = await reader.open_inbox([CTL], service="risk", instance="r1")
    executor = await (await bus_harness.bus("executor", quick)).open_inbox(
        [CTL], service="executor", instance="e1"
    )
    for spec in (streams.MD_RESYNC, streams.CTL_COMMAND):
        for _ in range(8):
            await bus_harness.add_raw(spec.key(), b"x" * (spec.bytes_max // 2))
    bounds = {spec.key(): spec.bytes_max for spec in (streams.MD_RESYNC, streams.CTL_COMMAND)}
    async with asyncio.timeout(20):
        while any([await bus_harness.size(key) > bound for key, bound in bounds.items()]):
            await writer.commit(None, [resync(1)])
            await inbox.read(0.05)
            await executor.read(0.05)
    await inbox.close()
    await executor.close()


async def test_a_storm_of_alerts_is_told_by_the_first_and_their_number(
    bus_harness: Harness,
) -> None:
    """Also where a process says nothing else: its last word comes with its end at the latest."""
    reader = await bus_harness.bus("risk")
    inbox = await reader.open_inbox([Input(streams.ALERT)], service="risk", instance="r1")
    writer = await bus_harness.bus("scanner")
    storm = [
        Alert(ts_ns=n, service="x", severity=Severity.WARNING, code="STORM", text=str(n))
        for n in range(1, 1_001)
    ]
    other = Alert(ts_ns=1, service="x", severity=Severity.CRITICAL, code="OTHER", text="")
    await writer.commit(None, [*storm[:500], other])
    await writer.publish(storm[500:])
    await writer.close()
    heard: list[Any] = []
    async with asyncio.timeout(5):
        while sum(alert.count for alert in heard) < 1_001:
            heard += (await inbox.read(0.5)).messages
    assert [alert.code for alert in heard].count("OTHER") == 1
    assert len(heard) == BURST_MAX + 2
    assert heard[-1].text.endswith("the last: 1000")
    await inbox.close()
