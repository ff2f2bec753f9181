"""Candles that are not fit to be traded on: one line that says which row, and what would be."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import parquet

from services.research.candle_files import DataConfig, load_candles
from services.research.candles import length_s, length_text, offset_s
from shared.errors import ConfigError

HEAD = "open_time,open,high,low,close,volume"
START = datetime(2024, 1, 1, tzinfo=UTC)


def rows(count: int = 6, step: timedelta = timedelta(minutes=1), start=START) -> list[str]:
    return [
        f"{start + n * step:%Y-%m-%d %H:%M:%S}+00:00,{100 + n},{102 + n},{99 + n},{101 + n},1.5"
        for n in range(count)
    ]


def write(tmp_path, lines: list[str], head: str = HEAD, name: str = "candles.csv"):
    path = tmp_path / name
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def told(path, config: DataConfig | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_candles(path, config or DataConfig())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_right_is_read(tmp_path) -> None:
    loaded = load_candles(write(tmp_path, rows()), DataConfig())
    candles = loaded.candles
    assert (candles.bar_s, candles.holes, len(candles.closes)) == (60, 0, 6)
    assert candles.opens.tolist() == [100, 101, 102, 103, 104, 105]
    assert candles.closes.tolist() == [101, 102, 103, 104, 105, 106]
    assert candles.closes_s[-1] == int(START.timestamp()) + 360
    assert loaded.manifest["first"] == "2024-01-01T00:00:00Z"
    assert loaded.manifest["last"] == "2024-01-01T00:06:00Z"


@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
def test_whole_numbers_are_seconds_to_nanoseconds(tmp_path, per_second) -> None:
    begin = int(START.timestamp())
    lines = [f"{(begin + 60 * n) * per_second},1,2,1,2,0" for n in range(3)]
    assert load_candles(write(tmp_path, lines), DataConfig()).candles.times_s[0] == begin


def test_gzip_is_the_same_and_named_by_the_bytes_of_the_file(tmp_path) -> None:
    plain = write(tmp_path, rows())
    packed = tmp_path / "candles.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    one, other = load_candles(plain, DataConfig()), load_candles(packed, DataConfig())
    assert one.candles.closes.tolist() == other.candles.closes.tolist()
    assert one.manifest["sha256"] != other.manifest["sha256"]


def broken(change) -> list[str]:
    lines = rows()
    change(lines)
    return lines


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (broken(lambda r: r.pop(3)), ":5: 1 bar of 1m missing before it, 2024-01-01 00:03 to"),
        (
            broken(lambda r: r.insert(2, r[1])),
            ":4: 2024-01-01 00:01 is there twice, first in row 3",
        ),
        (broken(lambda r: r.append(r[1])), ":8: 2024-01-01 00:01 is there twice, first in row 3"),
        (broken(lambda r: r.insert(0, r.pop(4))), ":3: 2024-01-01 00:00 comes after 2024-01-01"),
        (broken(lambda r: r.__setitem__(2, r[2].replace("103,1.5", "0,1.5"))), ":4: close is 0; a"),
        (broken(lambda r: r.__setitem__(2, r[2].replace("103,1.5", "-1,1.5"))), ":4: close is -1"),
        (broken(lambda r: r.__setitem__(2, r[2].replace("103,1.5", ",1.5"))), ":4: close is miss"),
        (broken(lambda r: r.__setitem__(2, r[2].replace("103,1.5", "inf,1"))), ":4: close is inf"),
        (broken(lambda r: r.__setitem__(2, r[2].replace("103,1.5", "x,1"))), ":4: 'x' is no numb"),
        (broken(lambda r: r.__setitem__(2, r[2].replace("104,", "90,"))), ":4: high is below open"),
        (broken(lambda r: r.__setitem__(2, r[2].replace("101,", "500,"))), ":4: low is above open"),
        (broken(lambda r: r.__setitem__(2, r[2] + ",7")), ":4: 7 values; the head has 6"),
        (broken(lambda r: r.__setitem__(2, r[2].replace(":00+", ":30+"))), ":4: no bar of 1m begi"),
        (broken(lambda r: r.__setitem__(0, "yesterday,1,1,1,1,1")), ":2: 'yesterday' is no time"),
        (broken(lambda r: r.__setitem__(0, "12,1,1,1,1,1")), ":2: 12 is no time between 2009 and"),
        (broken(lambda r: r.__setitem__(0, r[0].replace("+00:00", ""))), ":2: 2024-01-01 00:00:00"),
        ([], ": no rows below the head"),
        (rows(1), ": 1 bar; at least 2"),
    ],
)
def test_a_bad_row_is_named_with_what_would_be_right(tmp_path, lines, text) -> None:
    assert text in told(write(tmp_path, lines))


def test_the_first_bad_row_is_the_one_that_is_told(tmp_path) -> None:
    lines = rows(9)
    lines[6] = lines[6].replace(",1.5", "").replace(",107", ",0,0")
    lines[2] = lines[2].replace(",101,", ",-4,")
    assert ":4: low is -4" in told(write(tmp_path, lines))


def test_a_time_without_a_zone_needs_one_said(tmp_path) -> None:
    lines = [line.replace("+00:00", "") for line in rows(4, timedelta(hours=8))]
    path = write(tmp_path, lines)
    assert "has no zone; write it like 2024-01-01 00:00:00+00:00, or say" in told(path)
    assert load_candles(path, DataConfig(zone="UTC")).candles.times_s[0] == START.timestamp()
    shifted = load_candles(path, DataConfig(zone="UTC+8")).candles.times_s[0]
    assert shifted == START.timestamp() - 8 * 3_600


def test_bars_in_the_wrong_zone_are_told_with_the_zone_that_fits(tmp_path) -> None:
    local = START + timedelta(hours=3)
    path = write(tmp_path, [r.replace("+00:00", "") for r in rows(4, timedelta(hours=8), local)])
    assert "zone = 'UTC+3'" in told(path, DataConfig(zone="UTC"))
    right = load_candles(path, DataConfig(zone="UTC+3"))
    assert right.candles.times_s[0] == START.timestamp()
    begun = load_candles(path, DataConfig(zone="UTC", begin="3h"))
    assert begun.candles.times_s[0] == local.timestamp()


@pytest.mark.parametrize(
    ("hour", "zone"), [(5, "UTC+5"), (19, "UTC-5"), (5.5, "UTC+5:30"), (12, "UTC+12")]
)
def test_days_that_do_not_begin_at_midnight_are_in_a_zone(tmp_path, hour, zone) -> None:
    path = write(tmp_path, rows(4, timedelta(days=1), START + timedelta(hours=hour)))
    assert f"zone = '{zone}'" in told(path)


def test_holes_are_kept_where_that_is_said_and_counted(tmp_path) -> None:
    lines = rows(10)
    del lines[7], lines[3:5]
    assert ":5: 2 bars of 1m missing" in told(write(tmp_path, lines))
    assert "and 1 more in 1 other holes" in told(write(tmp_path, lines))
    kept = load_candles(write(tmp_path, lines), DataConfig(holes="keep"))
    assert (kept.candles.holes, kept.manifest["holes"], len(kept.candles.closes)) == (3, 3, 7)


def table(tmp_path, columns: dict, name: str = "panel.parquet"):
    path = tmp_path / name
    parquet.write_table(arrow.table(columns), path)
    return path


def panel(**more) -> dict:
    times = [START.replace(tzinfo=None) + timedelta(hours=n) for n in range(4)]
    columns = {"timestamp": arrow.array(times, arrow.timestamp("us"))}
    for suffix in ("_spot", "_perp"):
        for name, value in {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5}.items():
            columns[f"{name}{suffix}"] = arrow.array([value] * 4)
    return columns | more


def test_a_panel_of_several_markets_needs_to_be_told_which(tmp_path) -> None:
    path = table(tmp_path, panel())
    assert "suffix = '_spot' or suffix = '_perp'" in told(path)
    assert "1: 2024-01-01 00:00:00 has no zone" in told(path, DataConfig(suffix="_perp"))
    loaded = load_candles(path, DataConfig(suffix="_perp", zone="UTC"))
    assert loaded.candles.times_s.tolist() == [START.timestamp() + 3_600 * n for n in range(4)]


def test_rows_of_a_panel_without_this_market_are_holes(tmp_path) -> None:
    empty = {
        f"{name}_spot": arrow.array([2.0, None, 2.0, 2.0])
        for name in ("open", "high", "low", "close")
    }
    path = table(tmp_path, panel(**empty))
    assert "panel.parquet:3: 1 bar of 1h missing" in told(
        path, DataConfig(suffix="_spot", zone="UTC")
    )
    partly = table(tmp_path, panel(close_spot=arrow.array([2.0, None, 2.0, 2.0])))
    assert "panel.parquet:2: close is missing; give all four" in told(
        partly, DataConfig(suffix="_spot", zone="UTC")
    )


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"open_spot": arrow.array(["1"] * 4)}, "column open_spot holds string, not numbers"),
        ({"timestamp": arrow.array([None] * 4, arrow.timestamp("us", "UTC"))}, ":1: no time"),
        ({"timestamp": arrow.array([b"\xff"] * 4)}, "is no time"),
    ],
)
def test_columns_of_the_wrong_kind_are_told(tmp_path, columns, text) -> None:
    path = table(tmp_path, panel(**columns))
    assert text in told(path, DataConfig(suffix="_spot", zone="UTC"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "empty; the first row names the columns"),
        (b"PAR1 but not really", "damaged Parquet"),
        (b"\x1f\x8b\x08 broken", "damaged gzip"),
        (b"\xff\xfe\x00", "neither Parquet nor CSV"),
        (b"a,b,c\n1,2,3\n", "no column of times (one of open_time, timestamp"),
        (b"time,open,high,low\n1,2,3,4\n", "no column close; there are: time, open, high, low"),
    ],
)
def test_files_that_are_no_candles(tmp_path, content, text) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    assert text in told(path)


def test_a_file_that_is_not_there(tmp_path) -> None:
    assert "cannot be read: No such file" in told(tmp_path / "none.csv")
    assert "cannot be read: Is a directory" in told(tmp_path)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (DataConfig(holes="fill"), "data.holes = 'fill': it is 'refuse' or 'keep'"),
        (DataConfig(zone="Europe/Berlin"), "zone 'Europe/Berlin' is not one; write UTC, or like"),
        (DataConfig(zone="UTC+19"), "within 14 hours"),
        (DataConfig(bar="soon"), "'soon' is not a length of time like 1m"),
        (DataConfig(time="when"), "no column of times (when); there are: open_time, open"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, config, text) -> None:
    lines = [line.replace("+00:00", "") for line in rows()] if config.zone else rows()
    assert text in told(write(tmp_path, lines), config)


def test_lengths_and_zones_read_as_they_are_written() -> None:
    for text in ("1m", "90s", "8h", "1d", "2w"):
        assert length_text(length_s(text, "x")) == text
    assert offset_s("UTC-3:30", "x") == -12_600
    assert np.array_equal([offset_s("UTC", "x"), offset_s("UTC+5", "x")], [0, 18_000])


@pytest.mark.parametrize("name", ["open_time", "open", "close"])
def test_a_column_that_is_there_twice_is_told(tmp_path, name) -> None:
    path = write(tmp_path, [f"{row},7" for row in rows()], head=f"{HEAD},{name}")
    assert told(path) == f"candles.csv: two columns are named {name}; keep one, or rename it"


def test_a_column_that_is_not_read_may_be_there_twice(tmp_path) -> None:
    path = write(tmp_path, [f"{row},7" for row in rows()], head=f"{HEAD},volume")
    assert len(load_candles(path, DataConfig()).candles.closes) == 6


def test_a_column_of_parquet_that_is_there_twice_is_told(tmp_path) -> None:
    names = ["open_time", "open", "high", "low", "close", "close"]
    cells = [arrow.array([1_704_067_200, 1_704_067_260]), *[arrow.array([100.0, 101.0])] * 5]
    path = tmp_path / "candles.parquet"
    parquet.write_table(arrow.Table.from_arrays(cells, names=names), path)
    assert told(path) == "candles.parquet: two columns are named close; keep one, or rename it"


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), b"\n"])
def test_an_empty_file_is_said_to_be_empty(tmp_path, content) -> None:
    path = tmp_path / "candles.csv"
    path.write_bytes(content)
    assert told(path).startswith("candles.csv: empty;")
