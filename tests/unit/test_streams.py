"""The map of streams is whole: every type has one stream, every service named exists."""

from __future__ import annotations

import inspect

import pytest

from shared import streams
from shared.bus.port import shard_of
from shared.messages import (
    arb,
    balances,
    book_audit,
    control,
    execution,
    inventory,
    market,
    raw,
    restated,
    rounds,
)
from shared.messages.base import DecisionMessage, MarketMessage, Message
from shared.services import SERVICE_NAMES
from shared.streams import ALL, ANYONE, BY_NAME, STREAM_OF, Delivery, Format
from shared.streams_doc import render
from tests.contract.examples import example, tag_of
from tests.support import ROOT

MODULES = (
    market,
    book_audit,
    raw,
    arb,
    execution,
    balances,
    restated,
    rounds,
    inventory,
    control,
)


def message_types() -> list[type[Message]]:
    bases = {Message, MarketMessage, DecisionMessage}
    return [
        kind
        for module in MODULES
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Message) and kind not in bases
    ]


def test_every_message_type_is_on_exactly_one_stream() -> None:
    placed = [kind for spec in ALL for kind in spec.types]
    assert sorted(map(tag_of, placed)) == sorted(set(map(tag_of, placed)))
    assert set(placed) == set(message_types()) == set(STREAM_OF)


def test_every_stream_is_listed_under_its_own_name() -> None:
    declared = [v for v in vars(streams).values() if isinstance(v, streams.StreamSpec)]
    assert sorted(spec.name for spec in declared) == sorted(BY_NAME) == sorted(s.name for s in ALL)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_producers_and_consumers_exist(spec: streams.StreamSpec) -> None:
    known = {*SERVICE_NAMES, ANYONE, "operator"}
    assert spec.producer in known
    assert set(spec.consumers) <= set(SERVICE_NAMES)
    for service in {spec.producer, *spec.consumers} & set(SERVICE_NAMES):
        assert (ROOT / "services" / service).is_dir()


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_a_row_makes_sense(spec: streams.StreamSpec) -> None:
    assert spec.entries_max > 0
    assert spec.bytes_max > 0
    market_data = all(issubclass(kind, MarketMessage) for kind in spec.types)
    assert (spec.format is Format.MSGPACK) == market_data
    if spec.delivery is Delivery.DURABLE:
        assert spec.consumers, "a durable stream nobody reads would only grow"
        assert not spec.sharded
        assert spec.conflate is None
        assert spec.backfill == 0
    if spec.conflate is not None:
        for kind in spec.types:
            assert isinstance(spec.conflate(example(kind)), str)
    if spec.sharded:
        assert all("instrument" in kind.__struct_fields__ for kind in spec.types)


def test_the_page_is_current() -> None:
    page = ROOT / "docs" / "streams.md"
    assert page.read_text(encoding="utf-8") == render(), (
        "run: python -m shared.streams_doc > docs/streams.md"
    )


def test_all_venues_and_quotes_of_a_base_share_a_shard() -> None:
    for shards in (1, 2, 7):
        named = {shard_of(name, shards) for name in ("BTC/USDT", "BTC/USD", "BTC/USDT:USDT")}
        assert len(named) == 1
    spread = {shard_of(f"{base}/USDT", 4) for base in ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE")}
    assert len(spread) > 1
