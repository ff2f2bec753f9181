"""Depth, trades, funding and bars of raw frames: right, whole, and the same bytes every time."""

from __future__ import annotations

import json

import pytest

from services.cli.data.derive import bars_of, derive
from services.cli.data.imports import import_recordings
from services.cli.data.verify import verify_store
from shared.errors import ConfigError
from shared.messages.base import Side
from shared.messages.market import Trade
from shared.store.manifest import files_in, manifest_path, read_manifest
from tests.unit.test_verify import T0, delta, frame, good, record

pytest.importorskip("pyarrow")
from shared.store.parquet import COLUMNS, Made, read_rows, write_table

MINUTE_NS = 60 * 10**9
M0 = 1_700_000_040 * 10**9


def trade_frame(n: int, price: str = "100.5", at_ms: int = T0 // 10**6) -> str:
    data = {"e": "trade", "E": at_ms, "s": "BTCUSDT", "t": n, "p": price, "q": "2", "T": at_ms}
    return frame("btcusdt@trade", {**data, "m": False, "M": True})


def made(folder, rows=None):
    root = folder / "store"
    import_recordings([record(folder, rows or [*good(), trade_frame(1)])], root, None)
    return root


def table(root, name) -> list[dict]:
    names = [column for column, _ in COLUMNS[name]]
    return [
        dict(zip(names, values, strict=True))
        for file in files_in(root, (name,))
        for _, values in read_rows(file, name)
    ]


def derived_bytes(root) -> dict:
    files = files_in(root, ("depth", "trade", "funding", "bar"))
    both = [path for file in files for path in (file, manifest_path(file))]
    return {path.relative_to(root): path.read_bytes() for path in both}


def test_depth_is_the_snapshot_and_what_continues_it(tmp_path):
    root = made(tmp_path)
    done = derive(root)
    depth = table(root, "depth")
    assert done["rows"]["depth"] == len(depth) > 0
    assert depth[0]["is_snapshot"] and (depth[0]["price"], depth[0]["is_bid"]) == (98.0, True)
    last = depth[-1]
    assert (last["seq"], last["seq_prev"], last["price"], last["qty"]) == (99, 89, 101.0, 9.25)
    assert verify_store(root).ok


def test_trades_come_once_and_make_bars(tmp_path):
    rows = [*good(), trade_frame(1), trade_frame(2, "100.7"), trade_frame(1)]
    root = made(tmp_path, rows)
    derive(root)
    assert [(t["trade_id"], t["price"], t["is_buy"]) for t in table(root, "trade")] == [
        ("1", 100.5, True),
        ("2", 100.7, True),
    ]
    (bar,) = table(root, "bar")
    assert (bar["open"], bar["close"], bar["volume"], bar["trades"]) == (100.5, 100.7, 4.0, 2)
    assert not bar["is_complete"], "the recording holds a second of that minute"


def test_the_same_raw_frames_give_the_same_bytes(tmp_path):
    root = made(tmp_path)
    derive(root)
    first = derived_bytes(root)
    assert len(first) == 2 * 3
    derive(root)
    assert derived_bytes(root) == first


def test_what_was_imported_as_a_table_stays(tmp_path):
    root = made(tmp_path)
    file = root / "bar" / "venue=x" / "instrument=A%2FB" / "date=2024-01-01" / "import-1.parquet"
    write_table(file, "bar", [(M0, MINUTE_NS, 1.0, 1.0, 1.0, 1.0, 0.0, *[None] * 5)], Made())
    derive(root)
    derive(root)
    assert file.exists() and verify_store(root).ok


def test_a_row_taken_out_of_the_depth_is_named(tmp_path):
    root = made(tmp_path)
    derive(root)
    (file,) = files_in(root, ("depth",))
    rows = [values for _, values in read_rows(file, "depth")]
    seq = rows[-5][4]
    kept = [row for row in rows if row[4] != seq]
    write_table(file, "depth", kept, Made(sources=read_manifest(file).sources))
    (fault,) = verify_store(root).faults
    assert fault.file == str(file) and kept[fault.row - 1][3] == seq
    assert f"continues {seq}" in fault.reason


def test_a_delta_without_levels_continues_the_others(tmp_path):
    rows = good()
    empty = json.loads(rows[5])
    empty["data"]["b"] = empty["data"]["a"] = []
    rows[5] = json.dumps(empty, separators=(",", ":"))
    root = made(tmp_path, rows)
    derive(root)
    assert verify_store(root).ok


def test_a_store_without_raw_frames_has_nothing_to_derive(tmp_path):
    (tmp_path / "store").mkdir()
    with pytest.raises(ConfigError, match="no raw frames"):
        derive(tmp_path / "store")
    assert delta(1)


def trade(n: int, ts_ns: int, price: float = 10.0, side: Side = Side.BUY) -> Trade:
    return Trade(
        venue="v",
        instrument="A/B",
        trade_id=str(n),
        side=side,
        price=price,
        qty=1.0,
        ts_recv_ns=ts_ns,
        ts_venue_ns=ts_ns,
    )


def test_a_minute_without_a_trade_is_a_bar_only_where_somebody_recorded():
    trades = [trade(1, M0), trade(2, M0 + 3 * MINUTE_NS, 11.0), trade(3, M0 + 9 * MINUTE_NS)]
    spans = [(M0, M0 + 4 * MINUTE_NS), (M0 + 8 * MINUTE_NS, M0 + 10 * MINUTE_NS)]
    bars = bars_of(trades, spans, [])
    minutes = [((row[0] - M0) // MINUTE_NS, row[10], row[11]) for row in bars]
    assert minutes == [
        (0, False, True),
        (1, True, True),
        (2, True, True),
        (3, False, True),
        (8, True, True),
        (9, False, True),
    ]
    assert bars[1][2:6] == (10.0,) * 4 and bars[4][2:6] == (11.0,) * 4


def test_a_minute_in_which_trades_are_missing_is_not_complete():
    trades = [trade(1, M0), trade(2, M0 + 2 * MINUTE_NS)]
    bars = bars_of(trades, [(M0, M0 + 3 * MINUTE_NS)], [M0 + 5, M0 + MINUTE_NS + 5])
    assert [((row[0] - M0) // MINUTE_NS, row[11]) for row in bars] == [(0, False), (2, True)]


def test_a_trade_that_came_late_counts_in_its_own_minute():
    trades = [trade(1, M0, 10.0), trade(2, M0 + MINUTE_NS, 12.0), trade(3, M0 + 1, 11.0, Side.SELL)]
    first, second = bars_of(trades, [], [])
    assert first[2:9] == (10.0, 11.0, 10.0, 11.0, 2.0, 1.0, 21.0)
    assert second[9] == 1
