"""Warm-up from the recorder's store: joined to the bus without a hole, or the strategy waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.scanner.engine import StrategyHost
from services.scanner.extras import CATCH_UP_NS
from services.scanner.history import (
    READ_NS_MAX,
    History,
    HistoryFound,
    HistoryPart,
    ReadHistory,
    time_of,
)
from shared.config import load_config
from shared.engine import InputsOpened, Step
from shared.errors import ConfigError
from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.store.rows import Missing, RawRow, partition_of
from shared.store.segments import encode
from shared.store.trades import StoredTrades, read_trades
from shared.strategies.saved_state import encode_state
from shared.strategy_files import load_strategies
from tests.decision_builders import T0
from tests.strategy_files import HEAD, write_config, write_strategy
from tests.unit.test_strategy_feeds import run_timers

S = 1_000_000_000
MARKET = ("kraken", "BTC/USDT")
MINE = 'id = "mine"\nclass = "mine.py"'
IMPORTS = HEAD.replace("import Depth,", "import Bars, Depth, Trades,")
BODY = """
    def set_up(self):
        self.seen, self.bars = [], []

    def inputs(self):
        return [
            Depth("kraken", "BTC/USDT"), Trades("kraken", "BTC/USDT"),
            Bars("kraken", "BTC/USDT", 10, 500),
        ]

    def warmup(self):
        return Warmup(span_ms=60_000)

    def on_trade(self, trade, now_ns):
        self.seen.append((trade.trade_id, now_ns))
        return []

    def on_gap(self, missed, now_ns):
        self.seen.append(("gap", now_ns))
        return []

    def on_bar(self, bar, now_ns):
        self.bars.append((bar, now_ns))
        return []
"""
SPAN_NS = (60 + 2 * 10) * S + S // 2
"""The warm-up, two bars that are cut, and the lateness of the last."""
OPENED_NS = T0 + 200 * S


def frame_of(trades: list[Trade]) -> bytes:
    """Return what Kraken sends for trades that it made at one time."""
    rows = ",".join(
        f'{{"symbol":"{each.instrument}","side":"{each.side}","price":{each.price},'
        f'"qty":{each.qty},"ord_type":"limit","trade_id":{each.trade_id},'
        f'"timestamp":"{datetime.fromtimestamp(each.ts_recv_ns // S, UTC):%FT%T}.000000Z"}}'
        for each in trades
    )
    return f'{{"channel":"trade","type":"update","data":[{rows}]}}'.encode()


def trade(number: int, at_s: int, price: float = 100.0) -> Trade:
    at_ns = T0 + at_s * S
    return Trade(
        venue="kraken",
        instrument="BTC/USDT",
        trade_id=str(number),
        side=Side.BUY,
        price=price + number % 7,
        qty=0.5,
        ts_recv_ns=at_ns,
        ts_venue_ns=at_ns // S * S,
    )


# Two trades in every second: both came in one frame.
TRADES = [trade(2 * second + n, second) for second in range(230) for n in (0, 1)]


def rows_of(
    trades: list[Trade], connection: str = "kraken.ws.2", seq: int = 1, *, opens: bool = True
) -> list[RawRow]:
    """Return the rows of a connection of trades, and between them those of a book's."""
    by_time: dict[int, list[Trade]] = {}
    for each in trades:
        by_time.setdefault(each.ts_recv_ns, []).append(each)
    first_ns = next(iter(by_time)) - S // 2
    url = "wss://ws.kraken.com/v2"
    book = b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USDT","bids":[],"asks":[]}]}'
    granted = (
        b'{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USDT"},"success":true}'
    )
    given = [
        (first_ns, connection, "opened", b""),
        (first_ns, connection, "frame", granted),
        (first_ns, "kraken.ws.1", "frame", book),
    ][0 if opens else 2 :]
    given.insert(0 if not opens else 1, (first_ns, connection, "frame", b'{"channel":"heartbeat"}'))
    for at_ns, made in by_time.items():
        given += [
            (at_ns, connection, "frame", frame_of(made)),
            (at_ns, "kraken.ws.1", "frame", book),
        ]
    return [
        RawRow(at_ns, "i#1", number, name, kind, url, frame)
        for number, (at_ns, name, kind, frame) in enumerate(given, seq)
    ]


def write_segment(root: Path, rows: list[RawRow], missing: Sequence[Missing] = ()) -> Path:
    date, hour = partition_of(rows[0].ts_recv_ns)
    path = root / f"raw/venue=kraken/date={date}/hour={hour}/{rows[0].ts_recv_ns}-1.segment"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode([*missing, *rows]))
    return path


def stored(root: Path, from_ns: int = T0) -> StoredTrades:
    return read_trades(root, {"kraken": "kraken"}, [MARKET], from_ns)


# The store


def test_a_segment_has_the_trades_as_they_were_received(tmp_path: Path) -> None:
    write_segment(tmp_path, rows_of(TRADES[:40]))
    found = stored(tmp_path)
    assert found.trades == TRADES[:40]
    assert found.since == {MARKET: T0 - S // 2}
    assert found.until == {MARKET: T0 + 19 * S}


def test_files_and_segments_are_one_and_reading_begins_where_it_is_asked(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from services.recorder.finish import finish

    first = write_segment(tmp_path, rows_of(TRADES[:40]))
    finish(tmp_path, first.relative_to(tmp_path).as_posix())
    write_segment(tmp_path, rows_of(TRADES[40:60], seq=1_000, opens=False))
    assert not list(tmp_path.glob("**/*0-1.segment"))[1:]
    found = stored(tmp_path, T0 + 5 * S)
    assert found.trades == TRADES[10:60]
    assert found.since[MARKET] < T0, "what was connected before shows in the hour before"
    assert found.until == {MARKET: T0 + 29 * S}


def test_what_is_missing_comes_as_such(tmp_path: Path) -> None:
    lost = Missing(
        recording="i#1", ts_from_ns=T0 + 3 * S, ts_to_ns=T0 + 5 * S, rows=7, reason="a full disk"
    )
    write_segment(tmp_path, rows_of(TRADES[:20]), [lost])
    missed = [each for each in stored(tmp_path).trades if isinstance(each, TradesMissed)]
    assert [(each.ts_recv_ns, each.reason) for each in missed] == [
        (T0 + 5 * S, "not recorded: a full disk")
    ]


def test_a_connection_that_was_opened_anew_is_a_hole(tmp_path: Path) -> None:
    rows = rows_of(TRADES[:20])
    rows += rows_of(TRADES[40:60], "kraken.ws.3", len(rows) + 1)
    write_segment(tmp_path, rows)
    found = stored(tmp_path)
    kinds = [type(each).__name__ for each in found.trades]
    assert kinds == ["Trade"] * 20 + ["TradesMissed"] + ["Trade"] * 20
    assert found.trades[20].ts_recv_ns == T0 + 20 * S - S // 2


def test_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no store at .*nowhere"):
        stored(tmp_path / "nowhere")


# The host


class Scene:
    """A host that may ask a store, and one that was never interrupted."""

    def __init__(self, folder: Path, place: str = "data") -> None:
        write_strategy(folder, BODY, head=IMPORTS)
        config = load_config(write_config(folder, MINE), {})
        self.new = lambda: StrategyHost(
            load_strategies(config), history=History([MARKET, ("kraken", "ETH/USDT")], place)
        )
        self.host = self.new()
        self.asked: list[ReadHistory] = []

    def take(self, step: Step) -> None:
        self.asked += [each for each in step.at_once if isinstance(each, ReadHistory)]

    def open(self, kept: Sequence[Trade | TradesMissed], live: list[Trade]) -> None:
        """Open the inputs: what the bus keeps, then what comes."""
        self.take(self.host.on_message(InputsOpened(), OPENED_NS))
        for each in kept:
            self.take(self.host.on_message(each, OPENED_NS + 1))
        for each in live:
            self.go_on(each)

    def go_on(self, each: Trade) -> None:
        run_timers(self.host, each.ts_recv_ns)
        self.take(self.host.on_message(each, each.ts_recv_ns))

    def answer(self, found: StoredTrades, now_ns: int) -> None:
        """Give what the store has, in two parts."""
        (asked,) = self.asked
        at = "mine", asked.opened_ns
        middle = len(found.trades) // 2
        parts = [found.trades[:middle], found.trades[middle:]]
        head = HistoryFound(*at, since=found.since, until=found.until, parts=2)
        for message in (head, *(HistoryPart(*at, part) for part in parts)):
            self.take(self.host.on_message(message, now_ns))

    @property
    def state(self) -> bytes:
        return encode_state(self.strategy.save())

    @property
    def strategy(self) -> Any:
        return self.host._roster.all[0].strategy

    @property
    def note(self) -> str:
        return self.host.notes().get("strategy mine", "")

    def ready_ns(self) -> int | None:
        return self.host._roster.all[0].ts_ready_ns


def uninterrupted(folder: Path, from_ns: int, trades: list[Trade]) -> Scene:
    """Return a host that was there all the time."""
    scene = Scene(folder)
    for each in trades:
        if each.ts_recv_ns >= from_ns:
            scene.go_on(each)
    return scene


KEPT, LIVE = TRADES[300:400], TRADES[400:]


@pytest.mark.parametrize("overlap", [0, 1, 60], ids=["none", "one second", "a minute"])
def test_a_state_warmed_from_the_store_is_that_of_one_that_never_stopped(
    tmp_path: Path, overlap: int
) -> None:
    write_segment(tmp_path / "data", rows_of(TRADES[: 300 + 2 * overlap]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:8])
    (asked,) = scene.asked
    assert (asked.from_ns, asked.markets) == (OPENED_NS - SPAN_NS, (MARKET,))
    assert not scene.strategy.seen, "nothing comes before what the store has"
    assert scene.note == f"warming up: reading what was traded since {time_of(asked.from_ns)}: data"
    found = stored(tmp_path / "data", asked.from_ns)
    if not overlap:  # the recording goes on to where the bus begins: that shows in any frame
        found.until[MARKET] = KEPT[0].ts_recv_ns
        found.trades += KEPT[:2]
    scene.answer(found, LIVE[7].ts_recv_ns)
    for each in LIVE[8:]:
        scene.go_on(each)
    whole = uninterrupted(tmp_path, asked.from_ns, TRADES)
    assert scene.state == whole.state, "trades and bars, with their times, byte for byte"
    assert len(scene.strategy.bars) > 9
    assert all(bar.complete for bar, _ in scene.strategy.bars[1:])
    assert scene.ready_ns() is not None and scene.ready_ns() <= OPENED_NS
    assert not scene.note


def test_a_bus_that_keeps_enough_asks_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.open(TRADES[:400], LIVE)
    assert not scene.asked
    assert not scene.note
    whole = uninterrupted(tmp_path, T0, TRADES)
    assert scene.state == whole.state


def test_a_saved_state_goes_on_over_the_store(tmp_path: Path) -> None:
    """The scanner was down for longer than the bus remembers."""
    write_segment(tmp_path / "data", rows_of(TRADES[:320]))
    first = uninterrupted(tmp_path, T0, TRADES[:280])
    scene = Scene(tmp_path)
    scene.host.restore("mine", first.host.save("mine", T0), T0)
    scene.open(KEPT, LIVE[:8])
    (asked,) = scene.asked
    assert asked.from_ns == TRADES[279].ts_recv_ns, "only what it does not know"
    scene.answer(stored(tmp_path / "data", asked.from_ns), LIVE[7].ts_recv_ns)
    for each in LIVE[8:]:
        scene.go_on(each)
    assert scene.state == uninterrupted(tmp_path, T0, TRADES).state
    assert not scene.note


def waits(scene: Scene, since_ns: int, why: str) -> None:
    """It warms up from this time on, says why, and returns nothing meanwhile."""
    assert scene.ready_ns() == since_ns + 60 * S
    assert scene.note == f"warming up: until {time_of(since_ns + 60 * S)}: {why}"


def test_where_nothing_is_recorded_it_waits_and_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, place="")
    scene.open(KEPT, LIVE[:2])
    assert not scene.asked
    why = "the bus keeps no earlier trades of BTC/USDT at kraken"
    waits(scene, KEPT[0].ts_recv_ns, f"{why}, and nothing is recorded (recorder.enabled)")


def test_where_there_is_no_store_it_waits_and_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:2])
    problem = HistoryFound("mine", OPENED_NS, problem="there is no store at data")
    scene.host.on_message(problem, LIVE[1].ts_recv_ns)
    why = "the bus keeps no earlier trades of BTC/USDT at kraken"
    text = f"{why}, and the store cannot be read: there is no store at data"
    waits(scene, KEPT[0].ts_recv_ns, text)
    assert [name for name, _ in scene.strategy.seen] == [
        each.trade_id for each in (*KEPT, *LIVE[:2])
    ]


def test_a_hole_between_store_and_bus_begins_the_warm_up_anew(tmp_path: Path) -> None:
    write_segment(tmp_path / "data", rows_of(TRADES[:260]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:2])
    scene.answer(stored(tmp_path / "data", scene.asked[0].from_ns), LIVE[1].ts_recv_ns)
    why = "trades of BTC/USDT at kraken are missing between store and bus"
    waits(scene, KEPT[0].ts_recv_ns, why)
    run_timers(scene.host, LIVE[40].ts_recv_ns)
    names = [name for name, _ in scene.strategy.seen]
    at = names.index("gap")
    assert names[at - 1 : at + 2] == ["259", "gap", "300"], "where they are missing"
    spoiled = [bar.start_ns // S - T0 // S for bar, _ in scene.strategy.bars if not bar.complete]
    assert spoiled == [120, 130, 140, 150], "from the last trade stored to the first that is kept"


def test_a_hole_in_the_store_begins_the_warm_up_anew(tmp_path: Path) -> None:
    lost_ns = T0 + 145 * S
    lost = Missing(
        recording="i#1", ts_from_ns=lost_ns - S, ts_to_ns=lost_ns, rows=7, reason="a full disk"
    )
    write_segment(tmp_path / "data", rows_of(TRADES[:320]), [lost])
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:2])
    scene.answer(stored(tmp_path / "data", scene.asked[0].from_ns), LIVE[1].ts_recv_ns)
    waits(scene, lost_ns, "trades of BTC/USDT at kraken are missing (not recorded: a full disk)")


def test_a_store_that_begins_too_late_is_told(tmp_path: Path) -> None:
    write_segment(tmp_path / "data", rows_of(TRADES[290:320], opens=False))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:2])
    scene.answer(stored(tmp_path / "data", scene.asked[0].from_ns), LIVE[1].ts_recv_ns)
    since_ns = TRADES[290].ts_recv_ns - S // 2
    waits(scene, since_ns, "the store has no earlier trades of BTC/USDT at kraken")


def test_a_store_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.open(KEPT, [])
    assert scene.host.next_deadline_ns() == OPENED_NS + CATCH_UP_NS
    scene.take(scene.host.on_timer(OPENED_NS + CATCH_UP_NS))
    (asked,) = scene.asked
    assert scene.host.next_deadline_ns() == OPENED_NS + READ_NS_MAX
    scene.host.on_timer(OPENED_NS + READ_NS_MAX)
    assert len(scene.strategy.seen) == len(KEPT)
    assert not scene.note, "meanwhile it has seen all of its span"
    late = HistoryFound("mine", asked.opened_ns, since={MARKET: T0}, until={MARKET: T0}, parts=1)
    scene.host.on_message(late, OPENED_NS + READ_NS_MAX + S)
    assert len(scene.strategy.seen) == len(KEPT), "too late"
