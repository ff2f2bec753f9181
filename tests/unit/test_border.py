"""Whatever a field is made to hold: the border refuses it, or every engine bears it."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest

from services.orderbook.engine import OrderbookEngine
from shared.codec import decode, encode, salvage
from shared.config_sections import OrderbookConfig
from shared.errors import CodecError
from shared.messages import bounds
from shared.messages.base import BookState, Message
from shared.messages.checks import check_of, notes
from shared.messages.execution import Fill
from shared.messages.market import BookDelta, DepthView
from shared.messages.restated import FillRestated
from shared.messages.rules import InstrumentRules
from shared.streams import STREAM_OF, Delivery
from shared.watch.collector import Collector
from tests.contract.examples import KINDS, example, tag_of
from tests.decision_builders import (
    SECOND,
    T0,
    feed_market,
    make_fill,
    make_host,
    make_info,
    make_risk,
    make_view,
)
from tests.executor_model import PLACES
from tests.unit.test_executor_engine import make_world

NOW_NS = T0 + SECOND
HUGE = 2**63 - 1
OF_FLOAT = (float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 1e300, 5e-324)
OF_DECIMAL = tuple(
    map(Decimal, ("NaN", "sNaN", "Infinity", "-1", "0", "1e400", "1e-400", "0e-9999", "9" * 60))
)
OF_TEXT = ("", "x" * 100_000, "a b", "a\x00b", "BTC", "/", "BTC/", "BTC/USDT:", "a|b", "é\n")
OF_INT = (-1, 0, HUGE, T0 + 3_600 * SECOND, -HUGE)
PLACE = ("alpha", "BTC/USDT")


def right(kind: type[Message]) -> Any:
    """A message of this type that engines know the place of."""
    message = example(kind)
    known = {"venue": PLACE[0], "instrument": PLACE[1], "base": "BTC", "quote": "USDT"}
    changes = {name: value for name, value in known.items() if hasattr(message, name)}
    if kind is DepthView:
        changes |= {"state": BookState.LIVE, "bids": [(9_999.0, 1.0)], "asks": [(10_001.0, 1.0)]}
    if hasattr(message, "legs"):
        changes["legs"] = [
            msgspec.structs.replace(leg, venue=PLACE[0], instrument=PLACE[1])
            for leg in message.legs
        ]
    if hasattr(message, "rules"):
        changes["rules"] = make_info(*PLACE).rules
    if kind is FillRestated:  # the place is its fill's
        changes = {"fill": right(Fill)}
    return msgspec.structs.replace(message, **changes)


def mutations(value: Any, note: Any) -> Iterator[Any]:
    """Values of the same type that the field should not, or only just, hold."""
    if isinstance(value, bool | Enum) or value is None:
        return
    if isinstance(value, msgspec.Struct):
        if type(value) is not InstrumentRules:  # it refuses to be made of such values
            yield from (m for _, m in mutated(value))
    elif isinstance(value, float):
        yield from OF_FLOAT
    elif isinstance(value, Decimal):
        yield from OF_DECIMAL
    elif isinstance(value, int):
        yield from OF_INT
    elif isinstance(value, str):
        yield from OF_TEXT
    elif isinstance(value, tuple):
        for place, part in enumerate(value):
            for wrong in mutations(part, None):
                yield (*value[:place], wrong, *value[place + 1 :])
    elif isinstance(value, list):
        yield []
        yield value * 40_000
        for wrong in mutations(value[0], None):
            yield [wrong, *value[1:]]
            yield [wrong]
    elif isinstance(value, dict):
        ((key, item),) = value.items()
        yield {}
        for wrong in mutations(key, None):
            yield {wrong: item}
        for wrong in mutations(item, None):
            yield {key: wrong}


def mutated(message: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for name, note in notes(type(message)):
        for wrong in mutations(getattr(message, name), note):
            yield name, msgspec.structs.replace(message, **{name: wrong})


def passed(kind: type[Message], message: Any) -> list[Any]:
    """What a reader hands on of an entry; as ``encode`` writes it, past any check."""
    spec = STREAM_OF[kind]
    try:
        payload = encode(spec, [message])
    except (msgspec.EncodeError, OverflowError, ValueError):
        return []
    try:
        return decode(spec, payload, NOW_NS)
    except CodecError:
        if spec.delivery is Delivery.DURABLE:
            return []
        assert salvage(spec, payload, NOW_NS) == []
        return []


class Engines:
    """All that read the bus, warm: they know books, rules, plans."""

    def __init__(self) -> None:
        self.orderbook = OrderbookEngine(OrderbookConfig())
        self.scanner = make_host()
        self.risk = make_risk()
        self.collector = Collector()
        self.world = make_world()
        feed_market(self.risk)
        for place in PLACES.items():
            self.scanner.on_message(make_info(*place), T0)
            self.scanner.on_message(make_view(*place), T0)

    def take(self, message: Message) -> None:
        for engine in (self.orderbook, self.scanner, self.risk):
            engine.on_message(message, NOW_NS)
            engine.on_timer(NOW_NS)
        self.risk.checkpoints()
        self.world.engine.on_message(message, self.world.now_ns)
        self.world.engine.on_message(message, self.world.now_ns, redelivered=True)
        self.world.engine.on_timer(self.world.now_ns)
        self.world.engine.checkpoints()
        self.collector.on_message(message)


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
def test_no_value_of_any_field_ends_an_engine(kind: type[Message]) -> None:
    message = right(kind)
    assert passed(kind, message) == [message], "the message itself is right"
    engines = Engines()
    engines.take(message)
    tried = 0
    for name, wrong in mutated(message):
        tried += 1
        for taken in passed(kind, wrong):
            try:
                engines.take(taken)
            except Exception as error:
                raise AssertionError(f"{name} = {getattr(wrong, name)!r}: {error!r}") from error
    assert tried >= 5


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
def test_what_is_not_finite_or_too_far_ahead_is_refused_everywhere(kind: type[Message]) -> None:
    message = right(kind)
    for name, wrong in mutated(message):
        value = getattr(wrong, name)
        if isinstance(value, float | Decimal) and not Decimal(value).is_finite():
            for taken in passed(kind, wrong):  # JSON has no NaN: it becomes "not known"
                assert getattr(taken, name) is None, f"{name} = {value}"
        if name.startswith("ts_") and name != "ts_venue_ns" and value == HUGE:
            assert passed(kind, wrong) == [], f"{name} = {value}"
        if name in {"venue", "plan_id", "client_order_id"} and len(value) > 1_000:
            assert passed(kind, wrong) == [], f"{name} of {len(value)} characters"
        if name in {"instrument"} and value in {"BTC", "/", "BTC/", "BTC/USDT:"}:
            assert passed(kind, wrong) == [], f"{name} = {value}"


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
def test_quick_check_and_the_one_with_words_agree(kind: type[Message]) -> None:
    latest_ns = NOW_NS + bounds.AHEAD_NS_MAX
    for name, wrong in mutated(right(kind)):
        spec = STREAM_OF[kind]
        try:
            payload = encode(spec, [wrong])
            raw = (
                msgspec.msgpack.decode(payload, type=list[kind])
                if spec.format == "msgpack"
                else msgspec.json.decode(payload, type=list[kind])
            )
        except (msgspec.MsgspecError, OverflowError, ValueError):
            continue
        found = check_of(kind)(raw[0], latest_ns)
        assert (
            bool(found) == (spec.entry_bytes_max >= len(payload) and _refused(spec, payload))
            or len(payload) > spec.entry_bytes_max
        ), f"{name}: {found}"


def _refused(spec: Any, payload: bytes) -> bool:
    now_ns = NOW_NS - (
        bounds.AHEAD_NS_MAX_DURABLE - bounds.AHEAD_NS_MAX
        if spec.delivery is Delivery.DURABLE
        else 0
    )
    try:
        decode(spec, payload, now_ns)
    except CodecError:
        return True
    return False


def test_one_wrong_book_does_not_stop_the_others_of_its_entry() -> None:
    good = [make_view("alpha"), make_view("beta")]
    bad = make_view("gamma", bids=[(float("nan"), 1.0)])
    spec = STREAM_OF[DepthView]
    payload = encode(spec, [good[0], bad, good[1]])
    with pytest.raises(CodecError, match="float"):
        decode(spec, payload, NOW_NS)
    assert salvage(spec, payload, NOW_NS) == good


@pytest.mark.parametrize(
    "levels",
    [
        {"bids": [(9_999.0, 1.0), (10_000.0, 1.0)]},
        {"asks": [(10_001.0, 1.0), (10_000.5, 1.0)]},
        {"bids": [(10_002.0, 1.0)]},
        {"asks": [(10_001.0, 0.0)]},
    ],
)
def test_live_view_has_ordered_levels_that_are_not_crossed(levels: Any) -> None:
    spec = STREAM_OF[DepthView]
    with pytest.raises(CodecError):
        decode(spec, encode(spec, [make_view(**levels)]), NOW_NS)


def test_reason_says_where_and_what() -> None:
    fill = make_fill("p", "alpha", "buy", "NaN")
    with pytest.raises(CodecError, match=r"exec\.event is out of bounds: Fill\.qty: NaN is not"):
        decode(STREAM_OF[type(fill)], encode(STREAM_OF[type(fill)], [fill]), NOW_NS)


def test_every_field_of_every_type_has_a_bound() -> None:
    for kind in KINDS:
        for name, note in notes(kind):
            assert note is not float, f"{tag_of(kind)}.{name} may be NaN"
    assert typing.get_type_hints(BookDelta, include_extras=True)["epoch"] == bounds.Moment
