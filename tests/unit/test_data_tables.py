"""Tables that others wrote: every shape we know, and one clear line for what is wrong with one."""

from __future__ import annotations

import gzip
import json
import zipfile
from datetime import UTC, datetime, timedelta, timezone

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.data.verify import verify_store
from shared.errors import ConfigError
from shared.store.manifest import files_in, part_of, read_manifest

pytest.importorskip("pyarrow")
from shared.store.parquet import COLUMNS, read_rows

HEADING = "open_time,open,high,low,close,volume"
M0 = 1_677_628_800


def bar(n: int, price: float = 100.0) -> str:
    return f"{(M0 + 60 * n) * 1000},{price},{price + 1},{price - 1},{price},2.5"


def csv(folder, lines, name="bars.csv"):
    path = folder / name
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def packed(folder, name, lines):
    path = folder / name
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name.replace(".zip", ".csv"), "\n".join(lines) + "\n")
    return path


def take(folder, *paths, venue="binance", instrument="BTC/USDT", more=()):
    arguments = ["data", "import", *map(str, paths), "--dir", str(folder / "store")]
    arguments += ["--venue", venue, "--instrument", instrument, "--json", *more]
    return CliRunner().invoke(app, arguments)


def taken(folder, *paths, **options) -> dict:
    result = take(folder, *paths, **options)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def refused(folder, *paths, **options) -> str:
    result = take(folder, *paths, **options)
    assert isinstance(result.exception, ConfigError), result.output
    store = folder / "store"
    assert not store.is_dir() or not list(files_in(store)), "nothing half-done"
    assert not list(store.glob(".staging*"))
    text = str(result.exception)
    assert "\n" not in text
    return text


def rows(folder, table="bar") -> list[dict]:
    names = [name for name, _ in COLUMNS[table]]
    return [
        dict(zip(names, values, strict=True))
        for file in files_in(folder / "store", (table,))
        for _, values in read_rows(file, table)
    ]


def test_what_is_no_table_or_no_store_is_named(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("hello\n")
    text = refused(tmp_path, other)
    assert "notes.txt is no table (.csv, .csv.gz, .zip or .parquet): --as, --instrument" in text
    (tmp_path / "store").write_text("")
    path = csv(tmp_path, [HEADING, bar(0), bar(1)])
    assert "store is a file, no directory; give another with --dir" in refused(tmp_path, path)


def test_candles_with_a_heading(tmp_path):
    done = taken(tmp_path, csv(tmp_path, [HEADING, *map(bar, range(3))], "bars.csv.gz"))
    assert (done["table"], done["rows"], done["notes"]) == ("bar", 3, [])
    first = rows(tmp_path)[0]
    assert (first["ts_open_ns"], first["step_ns"]) == (M0 * 10**9, 60 * 10**9)
    assert (first["open"], first["volume"], first["buy_volume"]) == (100.0, 2.5, None)
    (file,) = files_in(tmp_path / "store", ("bar",))
    assert part_of(file, "instrument") == "BTC/USDT"
    assert verify_store(tmp_path / "store").ok


@pytest.mark.parametrize("heading", [False, True])
@pytest.mark.parametrize("factor", [10**3, 10**6])
def test_klines_of_an_archive(tmp_path, heading, factor):
    def row(n):
        opened = (M0 + 60 * n) * factor
        return f"{opened},100,101,99,100,2.5,{opened + 60 * factor - 1},250,7,1.5,150,0"

    names = "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    names += "taker_buy_volume,taker_buy_quote_volume,ignore"
    lines = [names] * heading + [row(0), row(1)]
    taken(tmp_path, packed(tmp_path, "BTCUSDT-1m-2023-03.zip", lines))
    first = rows(tmp_path)[0]
    assert first["ts_open_ns"] == M0 * 10**9
    assert (first["trades"], first["buy_volume"], first["quote_volume"]) == (7, 1.5, 250.0)


def test_aggregated_trades_of_an_archive(tmp_path):
    lines = [f"1,100.5,2,5,7,{M0}123,True,True", f"2,100.6,1,8,8,{M0}124,False,True"]
    taken(tmp_path, packed(tmp_path, "BTCUSDT-aggTrades-2023-03-01.zip", lines))
    first, second = rows(tmp_path, "trade")
    assert (first["price"], first["qty"], first["is_buy"]) == (100.5, 2.0, False)
    assert (second["trade_id"], second["is_buy"]) == ("2", True)
    assert first["ts_venue_ns"] == M0 * 10**9 + 123_000_000


def test_funding_of_an_archive(tmp_path):
    lines = ["calc_time,funding_interval_hours,last_funding_rate"]
    lines += [f"{(M0 + n * 28_800) * 1000 + 3},8,0.0001{n}" for n in range(3)]
    path = packed(tmp_path, "BTCUSDT-fundingRate-2023-03.zip", lines)
    taken(tmp_path, path, venue="binanceusdm", instrument="BTC/USDT:USDT")
    settled = rows(tmp_path, "funding")
    assert [row["rate"] for row in settled] == [0.0001, 0.00011, 0.00012]
    assert settled[0]["interval_ns"] == 8 * 3_600 * 10**9 and settled[0]["is_settled"]


def test_an_archive_of_another_symbol_is_refused(tmp_path):
    path = packed(tmp_path, "ETHUSDT-1m-2023-03.zip", ["1,1,1,1,1,1,1,1,1,1,1,1"])
    assert "its name says ETHUSDT, but BTC/USDT is BTCUSDT" in refused(tmp_path, path)


def parquet(folder, name="bars.parquet", **columns):
    import pyarrow as pa
    from pyarrow import parquet as pq

    pq.write_table(pa.table(columns), folder / name)
    return folder / name


PRICES = {name: [100.0, 100.0] for name in ("open", "high", "low", "close", "volume")}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=3))])
def test_parquet_with_times_of_a_zone(tmp_path, zone):
    times = [datetime.fromtimestamp(M0 + 60 * n, zone) for n in (0, 1)]
    taken(tmp_path, parquet(tmp_path, **PRICES, timestamp=times))
    assert [row["ts_open_ns"] for row in rows(tmp_path)] == [M0 * 10**9, (M0 + 60) * 10**9]


def test_parquet_with_times_of_no_zone_needs_one(tmp_path):
    times = [datetime.fromtimestamp(M0 + 60 * n, UTC).replace(tzinfo=None) for n in (0, 1)]
    path = parquet(tmp_path, **PRICES, datetime=times)
    error = refused(tmp_path, path)
    assert "row 1: time 2023-03-01 00:00:00 says no zone; give --zone UTC" in error
    taken(tmp_path, path, more=["--zone", "+03:00"])
    assert rows(tmp_path)[0]["ts_open_ns"] == (M0 - 3 * 3_600) * 10**9


def test_a_panel_of_several_markets_needs_to_be_told_which(tmp_path):
    columns = {f"{name}_{of}": PRICES[name] for name in PRICES for of in ("perp_x", "spot_x")}
    times = [datetime.fromtimestamp(M0 + 60 * n, UTC) for n in (0, 1)]
    path = parquet(tmp_path, **columns, timestamp=times)
    assert "give --suffix perp_x or spot_x" in refused(tmp_path, path)
    mistaken = refused(tmp_path, path, more=["--suffix", "spot_y"])
    assert "no column ends in _spot_y; there are: " in mistaken
    assert "give --suffix perp_x or spot_x" in mistaken
    assert taken(tmp_path, path, more=["--suffix", "spot_x"])["rows"] == 2


WRONG = {
    "unsorted": ([bar(0), bar(2), bar(1)], ":4: 2023-03-01 00:01:00 after 2023-03-01 00:02:00"),
    "twice": ([bar(0), bar(1), bar(1)], ":4: a second bar of 2023-03-01 00:01:00"),
    "zero": ([bar(0), f"{(M0 + 60) * 1000},0,101,99,100,2"], ":3: open is 0; a number above 0"),
    "negative": ([bar(0), f"{(M0 + 60) * 1000},100,101,-9,100,2"], ":3: low is -9"),
    "nan": ([bar(0), f"{(M0 + 60) * 1000},100,101,nan,100,2"], ":3: low is nan"),
    "text": ([bar(0), f"{(M0 + 60) * 1000},100,101,99,x,2"], ":3: close 'x' is not a number"),
    "absent": ([bar(0), f"{(M0 + 60) * 1000},100,101,99,,2"], ":3: there is no close"),
    "outside": ([bar(0), f"{(M0 + 60) * 1000},100,101,99,105,2"], ":3: high 101.0 and low 99.0"),
    "volume": ([bar(0), f"{(M0 + 60) * 1000},100,101,99,100,-2"], ":3: volume is -2"),
    "grid": (
        [bar(0), bar(1), f"{(M0 + 150) * 1000},100,101,99,100,2", bar(4), bar(5)],
        ":4: a bar of 2023-03-01 00:02:30 does not begin at a multiple of 60 s",
    ),
    "no time": ([bar(0), ",100,101,99,100,2"], ":3: there is no time"),
    "bad time": ([bar(0), "soon,100,101,99,100,2"], ":3: time 'soon' is not a time"),
    "no zone": (["2023-03-01 00:00:00,100,101,99,100,2"], ":2: time 2023-03-01 00:00:00 says no"),
    "short": ([bar(0), "1,2,3"], ":3: 3 columns, the heading has 6"),
    "empty": ([], "there is no row in it"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_candles_is_one_line_and_nothing_is_taken(tmp_path, name):
    lines, says = WRONG[name]
    assert says in refused(tmp_path, csv(tmp_path, [HEADING, *lines]))


def test_two_columns_of_time_that_differ_are_told(tmp_path):
    lines = ["start,timestamp,open,high,low,close,volume"]
    lines += [f"{M0},2023-03-01 03:00:00+00:00,100,101,99,100,2"]
    error = refused(tmp_path, csv(tmp_path, lines))
    assert ":2: timestamp is 2023-03-01 03:00:00+00:00, which is not the time" in error


def test_holes_stay_holes_and_are_told(tmp_path):
    path = csv(tmp_path, [HEADING, bar(0), bar(1), bar(2), bar(5)])
    done = taken(tmp_path, path)
    assert done["rows"] == 4
    assert done["notes"] == [f"{path}:5: missing before it: 2 bars after 2023-03-01 00:02:00"]
    (file,) = files_in(tmp_path / "store", ("bar",))
    assert [f"{tmp_path}/{note}" for note in read_manifest(file).notes] == done["notes"]


DAY = 86_400


def daily(days: range) -> list[str]:
    return [f"{(M0 + DAY * n) * 1000},100,101,99,100,2.5" for n in days]


def test_bars_of_a_day_have_a_file_a_year_and_not_one_each(tmp_path):
    """M0 is the first of March 2023: 400 days lie in two years."""
    assert taken(tmp_path, csv(tmp_path, [HEADING, *daily(range(400))]))["files"] == 2
    found = list(files_in(tmp_path / "store", ("bar",)))
    assert [part_of(file, "date") for file in found] == ["2023-01-01", "2024-01-01"]
    assert len(rows(tmp_path)) == 400
    assert verify_store(tmp_path / "store").ok


@pytest.mark.parametrize("days", [range(1), range(399, 400), range(350, 500)])
def test_a_year_of_bars_is_not_taken_again_in_part(tmp_path, days):
    taken(tmp_path, csv(tmp_path, [HEADING, *daily(range(400))]))
    again = take(tmp_path, csv(tmp_path, [HEADING, *daily(days), *daily(range(600, 602))]))
    assert "has rows of that time already" in str(again.exception)
    assert len(rows(tmp_path)) == 400


def test_bars_of_a_day_that_were_stored_a_day_each_are_not_taken_again(tmp_path):
    """As imports before this one stored them."""
    taken(tmp_path, csv(tmp_path, [HEADING, *daily(range(3))]))
    (file,) = files_in(tmp_path / "store", ("bar",))
    file.parent.rename(file.parent.with_name("date=2023-03-01"))
    again = take(tmp_path, csv(tmp_path, [HEADING, *daily(range(1, 9))]))
    assert "has rows of that time already" in str(again.exception)


def test_rows_that_are_there_already_are_not_taken_again(tmp_path):
    path = csv(tmp_path, [HEADING, bar(0), bar(1)])
    taken(tmp_path, path)
    again = csv(tmp_path, [HEADING, bar(1), bar(2)], "again.csv")
    result = take(tmp_path, again)
    assert "has rows of that time already" in str(result.exception)
    assert len(rows(tmp_path)) == 2


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["2023-03-01 00:00:00,0.5", "2023-03-01 08:00:00,1.5"], ":3: a funding rate of 1.5"),
        (["2023-03-01 00:00:00,0.5", "2023-03-01 00:00:00,0.5"], ":3: a second funding of"),
        (["2023-03-01 08:00:00,0.5", "2023-03-01 00:00:00,0.5"], ":3: 2023-03-01 00:00:00 after"),
        (["2023-03-01 00:00:00,x"], ":2: rate 'x' is not a number"),
    ],
)
def test_what_is_wrong_with_funding_is_one_line(tmp_path, lines, says):
    path = csv(tmp_path, ["Date,Funding Rate", *lines], "funding.csv")
    assert says in refused(tmp_path, path, more=["--zone", "UTC"])


def test_settlements_of_another_zone_and_their_holes_are_told(tmp_path):
    lines = [f"2023-03-0{1 + n // 3} {3 + 8 * (n % 3):02}:00:00,0.0001" for n in (0, 1, 2, 5, 6)]
    path = csv(tmp_path, ["Date,Funding Rate", *lines], "funding.csv")
    notes = taken(tmp_path, path, more=["--zone", "UTC"])["notes"]
    assert any(":5: 24 h after the settlement before, 8 h is usual" in note for note in notes)
    assert any("3 h after multiples of 8 h of UTC; is the zone right?" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.zip", b"no zip", "cannot be read"),
        ("a.parquet", b"no parquet", "cannot be read"),
        ("a.csv", b"1,2,3\n", "there is no heading"),
        ("a.csv", b"a,b\n1,2\n", "the columns a, b are none of candles, trades"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    assert says in refused(tmp_path, tmp_path / name)


def test_a_zone_that_is_none_is_refused(tmp_path):
    path = csv(tmp_path, [HEADING, bar(0), bar(1)])
    assert "--zone Mars" in refused(tmp_path, path, more=["--zone", "Mars"])


def test_two_columns_of_one_name_are_told(tmp_path):
    file = csv(tmp_path, [HEADING + ",close", bar(0) + ",100"], "bars.csv")
    says = "bars.csv:1: two columns are named close; keep one, or rename it"
    assert refused(tmp_path, file).endswith(says)
