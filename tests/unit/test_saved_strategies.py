"""Scanners share strategies: no one runs twice, and a state goes from one to the next."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scanner.engine import StrategyHost
from services.scanner.saved_strategies import SavedStrategies
from services.scanner.units import Units
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.bus.port import shard_of
from shared.clock import ManualClock, SystemClock
from shared.config import load_config
from shared.config_sections import Config
from shared.engine import InputsOpened
from shared.errors import BusUnavailable
from shared.lease import ShardOwner
from shared.lease_terms import RENEW_S
from shared.messages.base import BookState, Side
from shared.observe import Observer
from shared.strategies.near_misses import NearMisses, Stopped
from shared.strategies.saved_state import (
    NODES_MAX,
    STATE_BYTES_MAX,
    StateError,
    decode_state,
    encode_state,
)
from shared.strategy_files import load_strategies
from tests.decision_builders import T0, make_info, make_view
from tests.strategy_files import write_config, write_strategy
from tests.support import eventually

COUNTS = """
    def set_up(self):
        self.seen = []
        self.rules = 0

    def on_rules(self, rules, now_ns):
        self.rules += 1
        return []

    def on_depth(self, view, now_ns):
        self.seen.append((view.venue, view.instrument, str(view.state)))
        return []

    def counters(self):
        return {"seen_" + self.id: len(self.seen)}
"""
TABLES = ('id = "one"\nclass = "mine.py"', 'id = "two"\nclass = "mine.py"')
CROSS = 'id = "cross"\nclass = "cross_venue"'


class Scanner:
    """One scanner without its shell."""

    def __init__(self, server: MemoryServer, config: Config) -> None:
        instances = load_strategies(config)
        self.units = Units(instances, config.bus.shards)
        self.engine = StrategyHost(instances)
        bus = MemoryBus(server, service="scanner")
        clock = ManualClock()
        self.saved = SavedStrategies(
            self.engine, self.units, bus, clock, Observer("scanner", "scanner-1")
        )

    def own(self, *owned: int) -> None:
        asyncio.run(self.saved.own(owned))

    def save(self) -> None:
        asyncio.run(self.saved.save_all())

    def feed(self, *instruments: str) -> None:
        for instrument in instruments:
            self.engine.on_message(make_info("binance", instrument), T0)
            self.engine.on_message(make_view("binance", instrument), T0)

    def strategy(self, name: str) -> Any:
        return next(each.strategy for each in self.engine._roster.all if each.id == name)

    @property
    def running(self) -> list[str]:
        return [each.id for each in self.engine._roster.running]


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(SystemClock())


def config_of(folder: Path, *tables: str, more: str = "", body: str = COUNTS) -> Config:
    write_strategy(folder, body)
    return load_config(write_config(folder, *tables, more=more), {})


def test_every_strategy_runs_in_one_scanner(tmp_path: Path, server: MemoryServer) -> None:
    config = config_of(tmp_path, *TABLES, CROSS, more="[bus]\nshards = 2")
    first, second = Scanner(server, config), Scanner(server, config)
    assert first.units.leases == ["strategy:one", "strategy:two"]
    first.own(0, 2)
    second.own(1, 3)
    assert (first.running, second.running) == (["one", "cross"], ["two", "cross"])
    assert first.engine.reads_all_shards()
    apart = "BTC/USDT", "ETH/USDT"
    assert sorted(shard_of(name, 2) for name in apart) == [0, 1]
    for scanner in (first, second):
        scanner.feed(*apart)
    assert len(first.strategy("one").seen) == len(second.strategy("two").seen) == 2
    assert not first.strategy("two").seen
    books = [each.engine.gauges()["books"] for each in (first, second)]
    assert books == [1.0, 1.0], "of cross_venue, each of its own shard"


def test_who_runs_only_what_goes_by_base_reads_its_shards(
    tmp_path: Path, server: MemoryServer
) -> None:
    config = config_of(tmp_path, CROSS, more="[bus]\nshards = 2")
    scanner = Scanner(server, config)
    scanner.own(1)
    assert scanner.running == ["cross"]
    assert not scanner.engine.reads_all_shards()
    scanner.own()
    assert not scanner.running
    scanner.feed("BTC/USDT")
    assert scanner.engine.counters()["depth_views"] == 1


def test_a_state_goes_to_the_scanner_that_goes_on(tmp_path: Path, server: MemoryServer) -> None:
    config = config_of(tmp_path, *TABLES)
    first, second = Scanner(server, config), Scanner(server, config)
    first.own(0, 1, 2)
    first.feed("BTC/USDT", "ETH/USDT")
    first.own(0, 1)
    second.own(2)
    assert second.running == ["two"]
    assert second.strategy("two").seen == first.strategy("one").seen
    assert not first.strategy("two").seen, "what is given up begins anew here"
    second.engine.on_message(InputsOpened(), T0 + 1)
    states = [state for _, _, state in second.strategy("two").seen]
    assert states == ["LIVE", "LIVE", "STALE", "STALE"], "books of before price nothing"
    assert not second.saved.notes


def test_who_goes_on_here_is_told_of_books_that_went_down_meanwhile(
    tmp_path: Path, server: MemoryServer
) -> None:
    """Its saved state knows them LIVE; the scanner it comes to was told otherwise before."""
    config = config_of(tmp_path, *TABLES)
    first, second = Scanner(server, config), Scanner(server, config)
    first.own(0, 1, 2)
    first.feed("BTC/USDT")
    second.engine.on_message(make_view("binance", "BTC/USDT", state=BookState.DOWN, seq=9), T0)
    first.own(0, 1)
    second.own(2)
    second.engine.on_message(InputsOpened(), T0 + 1)
    states = [state for _, _, state in second.strategy("two").seen]
    assert states == ["LIVE", "DOWN"]


class SlowBus(MemoryBus):
    """A bus that saves only once it may, or is away."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server, service="scanner")
        self.may_save = asyncio.Event()
        self.refusals = 0

    async def save_checkpoint(self, name: str, state: bytes) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BusUnavailable("away for a moment")
        await self.may_save.wait()
        await super().save_checkpoint(name, state)


class Member:
    """A scanner with its leases, as its shell keeps them."""

    def __init__(self, server: MemoryServer, config: Config, name: str) -> None:
        self.scanner, self.bus = Scanner(server, config), SlowBus(server)
        self.owner = ShardOwner(self.bus, "scanner", name, 1, self.scanner.units.leases)
        self.saved = SavedStrategies(
            self.scanner.engine,
            self.scanner.units,
            self.bus,
            ManualClock(),
            Observer("scanner", name),
            self.owner.holds,
        )
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for owned in self.owner.owned():
            while True:
                try:
                    await self.saved.own(owned)
                    break
                except BusUnavailable:
                    await asyncio.sleep(0.01)
            await self.owner.let_go(owned)


@pytest.mark.parametrize("refusals", [0, 3])
async def test_a_strategy_is_handed_over_with_its_last_state(
    tmp_path: Path, server: MemoryServer, refusals: int
) -> None:
    config = config_of(tmp_path, *TABLES)
    first = Member(server, config, "a")
    await eventually(lambda: first.saved._mine == ["one", "two"])
    first.scanner.feed("BTC/USDT", "ETH/USDT")  # after this nothing was saved
    first.bus.refusals = refusals
    second = Member(server, config, "b")
    await eventually(lambda: first.owner._owned != (0, 1, 2))  # it gives a strategy up
    given_up = {"one", "two"} - {first.scanner.units._whole[n - 1] for n in first.owner._owned if n}
    assert len(given_up) == 1
    (name,) = given_up
    await asyncio.sleep(2 * RENEW_S)  # the other has asked for it meanwhile
    assert name not in second.scanner.running, "its state is not saved yet"
    first.bus.may_save.set()
    await eventually(lambda: name in second.scanner.running)
    assert len(second.scanner.strategy(name).seen) == 2
    for member in (first, second):
        member.task.cancel()


async def test_who_may_have_lost_a_strategy_writes_no_state_over_the_others(
    tmp_path: Path, server: MemoryServer
) -> None:
    config = config_of(tmp_path, *TABLES)
    is_held = True
    scanner = Scanner(server, config)
    bus = MemoryBus(server, service="scanner")
    observer = Observer("scanner", "a")
    saved = SavedStrategies(
        scanner.engine, scanner.units, bus, ManualClock(), observer, lambda number: is_held
    )
    await saved.own((0, 1, 2))
    scanner.feed("BTC/USDT")
    await saved.save_all()
    newer = await bus.load_checkpoint("scanner-one")
    is_held = False
    scanner.feed("ETH/USDT")
    await saved.save_all()
    await saved.own(())
    assert await bus.load_checkpoint("scanner-one") == newer


def test_a_state_survives_its_process(tmp_path: Path, server: MemoryServer) -> None:
    config = config_of(tmp_path, *TABLES)
    first = Scanner(server, config)
    first.own(0, 1, 2)
    first.feed("BTC/USDT")
    first.save()
    second = Scanner(server, config)
    second.own(0, 1, 2)
    assert second.strategy("one").seen == [("binance", "BTC/USDT", "LIVE")]
    assert second.strategy("one").rules == 1


@pytest.mark.parametrize("change", ["file", "parameters", "garbage", "format", "arbstream"])
def test_a_state_of_other_code_is_not_taken_and_that_is_told(
    tmp_path: Path, server: MemoryServer, change: str
) -> None:
    table = TABLES[0]
    first = Scanner(server, config_of(tmp_path, table))
    first.own(0, 1)
    first.feed("BTC/USDT")
    first.save()
    key = "scanner-one"
    (stored,) = [name for name in server.values if key in name]
    reason, body = "its file or its parameters changed", COUNTS
    if change == "file":
        body += "# other\n"
    elif change == "parameters":
        table += "\nparams = { edge_bps_min = 9.0 }"
    elif change == "garbage":
        server.values[stored], reason = b"\x93\x01", "not a saved state"
    else:
        parts = msgspec.msgpack.decode(server.values[stored])
        parts[0 if change == "format" else 2] = 9 if change == "format" else "other"
        server.values[stored] = msgspec.msgpack.encode(parts)
        reason = "format 9, this is 1" if change == "format" else "arbstream itself changed"
    second = Scanner(server, config_of(tmp_path, table, body=body))
    second.own(0, 1)
    assert not second.strategy("one").seen
    assert reason in second.saved.notes["strategy one"]
    assert second.running == ["one"]


UNSAVED = {
    "a function": ("lambda: 1", "cannot be saved"),
    "an object of no class of its own": ("object()", "builtins.object cannot be saved"),
    "a generator": ("(x for x in [])", "cannot be saved"),
    "too many": ("[[] for _ in range(60_000)]", "more than 50000 objects"),
    "too much": ("'x' * 5_000_000", "bytes; at most 4000000 are kept"),
}


@pytest.mark.parametrize(("value", "reason"), UNSAVED.values(), ids=UNSAVED)
def test_what_cannot_be_saved_is_told_and_the_strategy_goes_on(
    tmp_path: Path, server: MemoryServer, value: str, reason: str
) -> None:
    body = COUNTS.replace("self.rules = 0", f"self.rules = 0\n        self.odd = {value}")
    scanner = Scanner(server, config_of(tmp_path, TABLES[0], body=body))
    scanner.own(0, 1)
    scanner.save()
    assert reason in scanner.saved.notes["strategy one: state"]
    scanner.feed("BTC/USDT")
    assert len(scanner.strategy("one").seen) == 1


def test_own_words_of_a_strategy_for_its_state(tmp_path: Path, server: MemoryServer) -> None:
    body = (
        COUNTS
        + """
    def save(self):
        return [len(self.seen)]

    def restore(self, state, now_ns):
        self.seen = ["again"] * state[0]
"""
    )
    config = config_of(tmp_path, TABLES[0], body=body)
    first, second = Scanner(server, config), Scanner(server, config)
    first.own(0, 1)
    first.feed("BTC/USDT", "ETH/USDT")
    first.save()
    second.own(0, 1)
    assert second.strategy("one").seen == ["again", "again"]


def test_a_restore_that_fails_begins_anew(tmp_path: Path, server: MemoryServer) -> None:
    restore = "    def restore(self, state, now_ns):\n        self.seen = 3\n        {}['no']\n"
    body = COUNTS + restore
    config = config_of(tmp_path, TABLES[0], body=body)
    first, second = Scanner(server, config), Scanner(server, config)
    first.own(0, 1)
    first.save()
    second.own(0, 1)
    assert second.strategy("one").seen == []
    assert "restore(): KeyError: 'no'" in second.saved.notes["strategy one"]


# The bytes

GOOD: list[Any] = [
    None,
    {"a": [1, 2.5, "x", b"y", None, True], (1, "b"): {3, 4}, 2**70: frozenset({"z"})},
    [Decimal("1.50"), Fraction(1, 3), -(2**63), 2**63, float("inf"), -0.0],
    deque([1, 2, 3], maxlen=3),
    (Side.BUY, BookState.STALE, Stopped),
    Stopped("GATE", (Decimal(1), None), 2.0),
    make_view(),
]


@pytest.mark.parametrize("value", GOOD, ids=lambda value: type(value).__name__)
def test_values_come_back(value: Any) -> None:
    back = decode_state(encode_state(value))
    assert back == value
    assert encode_state(back) == encode_state(value)
    if isinstance(value, deque):
        assert back.maxlen == value.maxlen


def test_what_is_one_object_stays_one() -> None:
    shared: list[Any] = []
    misses = NearMisses({})
    route = misses.route(("a", "A/B"), ("b", "A/B"))
    state = {"x": shared, "y": (shared, misses), "route": route}
    shared.append(state)
    back = decode_state(encode_state(state))
    assert back["x"] is back["y"][0]
    assert back["x"][0] is back
    assert back["y"][1]._routes[0] is back["route"]


def test_a_long_chain_needs_no_deep_stack() -> None:
    chain: list[Any] = []
    end = chain
    for _ in range(NODES_MAX // 2):
        end.append([])
        end = end[0]
    back, length = decode_state(encode_state(chain)), 0
    while back:
        back, length = back[0], length + 1
    assert length == NODES_MAX // 2


def test_bounds_are_named() -> None:
    with pytest.raises(StateError, match=f"more than {NODES_MAX} objects"):
        encode_state([[] for _ in range(NODES_MAX + 1)])
    with pytest.raises(StateError, match=f"at most {STATE_BYTES_MAX} are kept"):
        encode_state("x" * (STATE_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "node",
    [
        ["O", "os:system", [], []],
        ["c", "subprocess:Popen"],
        ["c", "shared.strategies.saved_state:sys"],
        ["w", "shared.bus.port:Batch", b""],
        ["x"],
        ["b", [0], "nothing"],
        [3],
    ],
)
def test_no_other_class_comes_of_a_state(node: list[Any]) -> None:
    with pytest.raises(StateError):
        decode_state(msgspec.msgpack.encode([[0], [node]]))


@given(st.data())
def test_bytes_that_are_changed_are_refused_or_read(data: st.DataObject) -> None:
    encoded = bytearray(encode_state(GOOD))
    for _ in range(data.draw(st.integers(1, 5))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StateError):
        decode_state(bytes(encoded))
