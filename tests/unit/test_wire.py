"""Packing and batching: what goes to Redis, byte for byte."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.lab.keys import keys_for
from shared import streams
from shared.backoff import Backoff
from shared.bus.port import shard_of
from shared.bus.tuning import ENTRY_MESSAGES_MAX
from shared.bus.wire import (
    Adder,
    Packer,
    SigningAdder,
    group_by_stream,
    id_key,
    newest_per_key,
    pack,
    previous_id,
)
from shared.messages.market import BookDelta, DepthView
from tests.contract.examples import example

IDS = st.builds("{}-{}".format, st.integers(0, 2**63), st.integers(0, 2**64 - 1))


def delta(instrument: str, seq: int) -> BookDelta:
    return BookDelta(
        venue="v",
        instrument=instrument,
        epoch=1,
        seq_prev=seq - 1,
        seq=seq,
        bids=[],
        asks=[],
        ts_recv_ns=seq,
    )


def test_a_command_is_an_array_of_bulk_strings() -> None:
    assert pack("SET", "k", b"\r\n", 5) == (
        b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n$1\r\n5\r\n"
    )


def test_latest_entries_are_trimmed_as_they_are_added_and_durable_ones_are_not() -> None:
    latest = Adder(streams.MD_RESYNC, "k").add(b"xy")
    assert latest == pack("XADD", "k", "MAXLEN", "~", 1_000, "*", "m", b"xy")
    durable = Adder(streams.CTL_COMMAND, "k").add(b"xy")
    assert durable == pack("XADD", "k", "*", "m", b"xy")


def test_signed_entries_have_one_field_more() -> None:
    keys = keys_for("operator")
    added = SigningAdder(streams.CTL_COMMAND, "k", keys).add(b"xy")
    signature = keys.sign(streams.CTL_COMMAND, b"xy")
    assert added == pack("XADD", "k", "*", "m", b"xy", "s", signature)


def test_large_entries_shorten_a_stream_so_that_its_bytes_are_bounded() -> None:
    spec = replace(streams.MD_BOOK, entries_max=10_000, bytes_max=10_000_000)
    adder = Adder(spec, "k")
    for _ in range(1_000):
        adder.add(b"x" * 100_000)
    assert 50 <= adder.entries_max <= 100
    assert f"${len(str(adder.entries_max))}\r\n{adder.entries_max}\r\n".encode() in adder.add(b"x")
    for _ in range(5_000):
        adder.add(b"x" * 10)
    assert adder.entries_max == 10_000


@given(st.lists(st.tuples(st.sampled_from(["BTC/USDT", "ETH/USD", "SOL/USDT"]), st.booleans())))
def test_grouping_keeps_every_message_in_the_order_of_its_stream(
    choices: list[tuple[str, bool]],
) -> None:
    messages = [
        delta(name, n) if book else view_of(name, n) for n, (name, book) in enumerate(choices)
    ]
    if not messages:
        return
    entries = group_by_stream(messages, 3)
    keys = [key for _, key, _ in entries]
    assert len(keys) == len(set(keys))
    for spec, key, entry in entries:
        assert key == spec.key(shard_of(entry[0].instrument, 3))
        mine = [
            m
            for m in messages
            if streams.STREAM_OF[type(m)] is spec and spec.key(shard_of(m.instrument, 3)) == key
        ]
        assert list(entry) == mine


def view_of(name: str, seq: int) -> DepthView:
    return msgspec.structs.replace(example(DepthView), instrument=name, seq=seq)


def test_entries_are_bounded() -> None:
    many = [delta("BTC/USDT", n) for n in range(ENTRY_MESSAGES_MAX * 2 + 1)]
    assert [len(e) for _, _, e in group_by_stream(many, 1)] == [ENTRY_MESSAGES_MAX] * 2 + [1]
    mixed = [*many, example(DepthView)]
    assert [len(e) for _, _, e in group_by_stream(mixed, 1)] == [ENTRY_MESSAGES_MAX] * 2 + [1, 1]
    assert Packer(1, print).adds([]) == []


@given(IDS)
def test_the_previous_id_is_just_below(entry_id: str) -> None:
    before = id_key(previous_id(entry_id))
    if entry_id != "0-0":
        assert before < id_key(entry_id)
        ms, seq = before
        assert id_key(entry_id) in {(ms, seq + 1), (ms + 1, 0)}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers())))
def test_conflation_keeps_the_newest_of_each_key_in_order_of_arrival(
    pairs: list[tuple[int, int]],
) -> None:
    kept, skipped = newest_per_key(list(pairs), lambda pair: str(pair[0]))
    assert dict(kept) == dict(pairs)
    assert len(kept) == len(dict(pairs))
    assert skipped == len(pairs) - len(kept)
    places = [len(pairs) - 1 - pairs[::-1].index(pair) for pair in kept]
    assert places == sorted(places)


def test_backoff_doubles_to_its_cap_and_jitters() -> None:
    high = Backoff(0.1, 1.0, uniform=lambda _, top: top)
    assert [round(high.next_s(), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    high.reset()
    assert high.next_s() == 0.1
    low = Backoff(0.1, 1.0, uniform=lambda bottom, _: bottom)
    assert [round(low.next_s(), 3) for _ in range(3)] == [0.05, 0.1, 0.2]


@pytest.mark.parametrize("shards", [1, 4])
def test_messages_are_packed_alike_whether_or_not_their_stream_is_known_already(
    shards: int,
) -> None:
    several = [delta(f"A{seq % 3}/USDT", seq) for seq in range(1, 9)]
    many = [delta("BTC/USDT", seq) for seq in range(1, 2 * ENTRY_MESSAGES_MAX)]
    mixed = [*several, example(DepthView), *several]
    for messages in (several[:1], several, many, mixed):
        packer = Packer(shards, print)
        assert packer.adds(messages) == packer.adds(messages)


def test_a_message_that_is_too_long_is_refused_every_time() -> None:
    refused: list[str] = []
    packer = Packer(1, lambda code, _: refused.append(code))
    assert len(packer.adds([delta("BTC/USDT", 1)])) == 1
    long = [msgspec.structs.replace(delta("BTC/USDT", 2), bids=[(1.0, 1.0)] * 2_000_000)]
    assert packer.adds(long) == packer.adds(long) == []
    assert refused == ["MESSAGE_TOO_LONG"] * 2
