"""Shapes of tables are told, not guessed; archives are held against their names and checksums."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shlex
import zipfile
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.data import files as data_files
from services.cli.data.shapes import SHAPES
from services.cli.data.verify import verify_store
from services.lab.table_rows import markets_in, messages_of
from shared.messages.market import BookSnapshot
from shared.store import manifest as manifests
from shared.store.manifest import files_in, read_manifest
from tests.unit.test_data_tables import (
    HEADING,
    M0,
    bar,
    csv,
    packed,
    parquet,
    refused,
    rows,
    take,
    taken,
)

AUGUST_1 = 1_722_470_400
JANUARY_2025 = 1_735_689_600
PERP = {"venue": "binanceusdm", "instrument": "BTC/USDT:USDT"}


def klines(count: int, begin_s: int = AUGUST_1, factor: int = 1000, step_s: int = 60) -> list[str]:
    return [
        f"{(begin_s + step_s * n) * factor},100,101,99,100,2.5,"
        f"{(begin_s + step_s * (n + 1)) * factor - 1},250,7,1.5,150,0"
        for n in range(count)
    ]


def whole(folder) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in (folder / "store").rglob("*") if p.is_file()}


def with_checksum(path, digest: str = "", name: str = "") -> None:
    text = f"{digest or manifests.sha256_of(path)}  {name or path.name}\n"
    path.with_name(path.name + ".CHECKSUM").write_text(text)


def test_a_checksum_beside_an_archive_is_held_against_it(tmp_path):
    path = packed(tmp_path, "BTCUSDT-1m-2024-08-01.zip", klines(3))
    with_checksum(path, hashlib.sha256(b"another").hexdigest())
    assert "its SHA-256 is not the one in BTCUSDT-1m-2024-08-01.zip.CHECKSUM" in refused(
        tmp_path, path
    )
    with_checksum(path, name="ETHUSDT-1m-2024-08-01.zip")
    assert "is of ETHUSDT-1m-2024-08-01.zip, not of" in refused(tmp_path, path)
    path.with_name(path.name + ".CHECKSUM").write_text("<html>")
    assert "is no checksum" in refused(tmp_path, path)
    with_checksum(path)
    assert taken(tmp_path, path, path.with_name(path.name + ".CHECKSUM"))["checksums"] == 1


def test_a_folder_of_archives_is_taken_in_order_of_time(tmp_path):
    folder = tmp_path / "1m"
    folder.mkdir()
    for day in (2, 1):
        lines = klines(1440, AUGUST_1 + 86_400 * (day - 1))
        with_checksum(packed(folder, f"BTCUSDT-1m-2024-08-0{day}.zip", lines))
    done = taken(tmp_path, folder)
    assert (done["rows"], done["files"], done["checksums"], done["notes"]) == (2880, 2, 2, [])
    assert verify_store(tmp_path / "store").ok


def test_files_that_were_imported_change_nothing_and_new_ones_come_to_them(tmp_path):
    first = packed(tmp_path, "BTCUSDT-1m-2024-08-01.zip", klines(3))
    taken(tmp_path, first)
    before = whole(tmp_path)
    again = taken(tmp_path, first)
    assert (again["rows"], again["unchanged"]) == (0, 1)
    assert "imported before, as import-" in again["notes"][0]
    assert whole(tmp_path) == before
    second = packed(tmp_path, "BTCUSDT-1m-2024-08-02.zip", klines(3, AUGUST_1 + 86_400))
    assert taken(tmp_path, first, second)["rows"] == 3
    assert len(rows(tmp_path)) == 6


def test_a_file_that_was_read_with_another_zone_is_not_taken_for_the_same(tmp_path):
    path = csv(tmp_path, ["date,open,high,low,close", *(f"2024-08-0{n},9,9,9,9" for n in (1, 2))])
    assert "says no zone" in refused(tmp_path, path)
    taken(tmp_path, path, more=["--zone", "UTC"])
    says = str(take(tmp_path, path, more=["--zone", "+03:00"]).exception)
    assert "imported before, with --zone UTC; remove the files import-" in says


NAMES = {
    "leads outside": "../../etc/BTCUSDT-1m-2024-08-01.csv",
    "which leads outside": "/BTCUSDT-1m-2024-08-01.csv",
}


@pytest.mark.parametrize("says", NAMES)
def test_a_name_in_a_zip_that_leads_outside_is_refused(tmp_path, says):
    path = tmp_path / "BTCUSDT-1m-2024-08-01.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(NAMES[says], "\n".join(klines(3)))
    assert says in refused(tmp_path, path)


def test_a_zip_that_unpacks_to_more_than_tables_do_is_refused_before_it_is(tmp_path, monkeypatch):
    path = tmp_path / "BTCUSDT-1m-2024-08-01.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", b"0" * 80_000_000)
    assert "over 250 times the zip" in refused(tmp_path, path)
    monkeypatch.setattr(data_files, "UNPACKED_MIN", 1 << 20)
    bomb, heading = tmp_path / "a.csv.gz", b"time,bid_price,bid_qty,ask_price,ask_qty"
    bomb.write_bytes(gzip.compress(heading + b"\n" * (1 << 21)))
    assert "over 250 times longer than its file" in refused(tmp_path, bomb)


def test_a_line_without_end_is_refused(tmp_path):
    assert ":1: a line of over 65,536 characters" in refused(
        tmp_path, csv(tmp_path, ["x" * 99_999])
    )


def test_a_zip_that_was_cut_off_is_refused(tmp_path):
    path = packed(tmp_path, "BTCUSDT-1m-2024-08-01.zip", klines(300))
    path.write_bytes(path.read_bytes()[:-200])
    assert "cannot be read" in refused(tmp_path, path)


def test_a_file_that_is_not_there_is_told_so(tmp_path):
    for name in ("none.csv", "none.csv.gz", "none.zip"):
        says = refused(tmp_path, tmp_path / name)
        assert says.endswith(f"{name}: cannot be read: No such file or directory")


def test_two_files_in_a_zip_are_not_chosen_from(tmp_path):
    path = tmp_path / "BTCUSDT-1m-2024-08-01.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a.csv", "b.csv"):
            file.writestr(name, "\n".join(klines(3)))
    assert "2 CSV files in it; one is right" in refused(tmp_path, path)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_gzip_leaves_nothing(tmp_path, damage):
    path = csv(tmp_path, [HEADING, *map(bar, range(5_000))], "bars.csv.gz")
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    else:
        data[-6] ^= 0xFF
    path.write_bytes(bytes(data))
    assert "cannot be read" in refused(tmp_path, path)


def test_windows_marks_and_line_ends_change_nothing(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([HEADING, bar(0), bar(1), ""]).encode())
    assert taken(tmp_path, path)["rows"] == 2


CONFUSED = {
    "hours later": (klines(1440, AUGUST_1 + 9 * 3_600), "is not within the name of its file"),
    "unit changes": ([*klines(2), *klines(1, AUGUST_1 + 120, 10**6)], "is in microseconds, but"),
    "marks": ([line.replace(",2.5,", ",0,") for line in klines(2)], "7 trades and no volume"),
    "1970": ([line.replace("1722470400000", "17224704") for line in klines(1)], "is 1970-07-19"),
    "bought": ([klines(1)[0].replace(",1.5,150", ",3.5,150")], "buy volume 3.5 is over"),
}


@pytest.mark.parametrize("name", CONFUSED)
def test_klines_that_are_not_what_their_file_says_are_refused(tmp_path, name):
    lines, says = CONFUSED[name]
    path = packed(tmp_path, "BTCUSDT-1m-2024-08-01.zip", lines)
    assert says in refused(tmp_path, path)


@pytest.mark.parametrize(
    ("factor", "options"),
    [(1000, {}), (10**6, PERP)],
    ids=["milliseconds for spot", "microseconds for perpetuals"],
)
def test_units_of_the_other_market_are_refused_from_2025_on(tmp_path, factor, options):
    path = packed(tmp_path, "BTCUSDT-1m-2025-01-01.zip", klines(3, JANUARY_2025, factor))
    assert "is it of another market than" in refused(tmp_path, path, **options)
    assert taken(tmp_path, path, **options, more=["--as", "candles"])["rows"] == 3


def test_klines_of_inverse_contracts_have_no_quote_volume(tmp_path):
    """What stands there is in the base asset, and the volume is contracts."""
    path = packed(tmp_path, "BTCUSD_PERP-1m-2024-08-01.zip", klines(2))
    taken(tmp_path, path, venue="binancecoinm", instrument="BTC/USD:BTC")
    assert [(row["volume"], row["quote_volume"]) for row in rows(tmp_path)] == [(2.5, None)] * 2


@pytest.mark.parametrize(
    ("interval", "begin", "step_s"),
    [("3d", "2024-07-31", 3 * 86_400), ("1w", "2024-08-05", 7 * 86_400)],
)
def test_klines_of_days_and_weeks(tmp_path, interval, begin, step_s):
    begin_s = int(datetime.fromisoformat(f"{begin}T00:00:00+00:00").timestamp())
    path = packed(tmp_path, f"BTCUSDT-{interval}-2024-08.zip", klines(4, begin_s, step_s=step_s))
    done = taken(tmp_path, path)
    assert (done["rows"], done["notes"]) == (4, [])
    assert {row["step_ns"] for row in rows(tmp_path)} == {step_s * 10**9}


def test_a_week_that_does_not_begin_on_a_monday_is_refused(tmp_path):
    path = packed(tmp_path, "BTCUSDT-1w-2024-08.zip", klines(2, AUGUST_1, step_s=604_800))
    told = refused(tmp_path, path)
    assert "does not begin at a multiple of 604800 s from a Monday on" in told


def test_klines_of_months_are_refused_with_the_reason(tmp_path):
    path = packed(tmp_path, "BTCUSDT-1mo-2024-08.zip", klines(1, AUGUST_1))
    assert "bars of a month are not all of one length" in refused(tmp_path, path)
    lines = [*klines(1, AUGUST_1 - 31 * 86_400), *klines(1, AUGUST_1)]
    told = refused(tmp_path, csv(tmp_path, lines, "mine.csv"), more=["--as", "candles"])
    assert "bars of a month are not all of one length" in told


def test_individual_trades_of_an_archive(tmp_path):
    lines = [f"1,100.5,2,201,{AUGUST_1}123,true", f"2,100.6,1,100.6,{AUGUST_1}124,false"]
    taken(tmp_path, packed(tmp_path, "BTCUSDT-trades-2024-08-01.zip", lines), **PERP)
    first, second = rows(tmp_path, "trade")
    assert (first["is_buy"], second["is_buy"], first["trades"]) == (False, True, 1)


def test_aggregated_trades_count_theirs_and_their_holes_are_told(tmp_path):
    lines = [f"{n},100.5,2,5,7,{AUGUST_1}12{n},True,True" for n in (1, 2, 5)]
    done = taken(tmp_path, packed(tmp_path, "BTCUSDT-aggTrades-2024-08-01.zip", lines))
    assert [row["trades"] for row in rows(tmp_path, "trade")] == [3, 3, 3]
    assert "missing before it: 2 trades after 2" in done["notes"][0]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["1,100,2,5,7,{}1,maybe,True"], "is buyer maker is 'maybe'; true or false"),
        (["1,100,2,5,7,{}1,True,True", "1,100,2,5,7,{}2,True,True"], ":2: the trade 1 is there"),
        (["2,100,2,5,7,{}1,True,True", "1,100,2,5,7,{}2,True,True"], "not in order of their num"),
        (["2,100,2,5,7,{}2,True,True", "3,100,2,5,7,{}1,True,True"], "not in order of time"),
        (["1,100,2,7,5,{}1,True,True"], "the last trade 5 is before the first 7"),
        (["1,100,0,5,5,{}1,True,True"], "qty is 0; a number above 0 is right"),
        (["1,²,1,5,5,{}1,True,True"], "'²'"),
    ],
)
def test_what_is_wrong_with_trades_is_one_line(tmp_path, lines, says):
    lines = [line.format(f"{AUGUST_1}00") for line in lines]
    assert says in refused(tmp_path, packed(tmp_path, "BTCUSDT-aggTrades-2024-08-01.zip", lines))


def numbers(text: str) -> list[str]:
    return [HEADING, f'{M0 * 1000},"{text}",101,99,100,2.5']


@pytest.mark.parametrize("text", ["1,234.5", "1 234.5", "1.234,5", "1'234.5", "1_000"])
def test_thousands_separators_are_refused(tmp_path, text):
    assert "has separators in it; digits and a point are right" in refused(
        tmp_path, csv(tmp_path, numbers(text))
    )


@pytest.mark.parametrize("text", ["\u0663", "0x10", "100 USD"])
def test_what_only_python_reads_as_a_number_is_none(tmp_path, text):
    assert "is not a number" in refused(tmp_path, csv(tmp_path, numbers(text)))


def test_a_semicolon_between_columns_is_told(tmp_path):
    lines = [HEADING.replace(",", ";"), bar(0).replace(",", ";")]
    assert ":1: columns are parted by ';'; a comma is right" in refused(
        tmp_path, csv(tmp_path, lines)
    )


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC-USDT", "btc/usdt", "XBTUSDT"])
def test_a_symbol_is_known_however_it_is_written(tmp_path, symbol):
    lines = [f"symbol,{HEADING}", f"{symbol},{bar(0)}", f",{bar(1)}"]
    assert taken(tmp_path, csv(tmp_path, lines))["rows"] == 2


def test_a_file_of_several_symbols_is_refused(tmp_path):
    lines = [f"symbol,{HEADING}", f"BTCUSDT,{bar(0)}", f"ETHUSDT,{bar(1)}"]
    says = refused(tmp_path, csv(tmp_path, lines))
    assert ":3: the symbol is ETHUSDT, but BTC/USDT is BTCUSDT" in says


def test_a_table_that_could_be_two_is_asked_about(tmp_path):
    lines = [f"{HEADING},funding_rate", f"{bar(0)},0.0001", f"{bar(1)},0.0001"]
    path = csv(tmp_path, lines)
    assert "could be candles and funding; give --as candles or --as funding" in refused(
        tmp_path, path
    )
    assert taken(tmp_path, path, more=["--as", "candles"])["shape"] == "candles"


def test_a_shape_that_a_file_has_not_is_refused(tmp_path):
    path = csv(tmp_path, [HEADING, bar(0), bar(1)])
    assert "has no column of trade time, so it is no trades" in refused(
        tmp_path, path, more=["--as", "trades"]
    )
    assert "--as ticks: one of candles, trades" in refused(tmp_path, path, more=["--as", "ticks"])


def test_a_file_without_heading_is_read_as_it_is_said_to_be(tmp_path):
    path = csv(tmp_path, klines(3), "mine.csv")
    assert "there is no heading; name the columns" in refused(tmp_path, path)
    assert taken(tmp_path, path, more=["--as", "candles"])["rows"] == 3


@pytest.mark.parametrize(
    ("name", "heading", "says"),
    [
        ("BTCUSDT-bookDepth-2024-08-01", "timestamp,percentage,depth,notional", "shape bookDepth"),
        ("BTCUSDT-metrics-2024-08-01", "create_time,symbol,sum_open_interest", "shape metrics"),
        ("BTCUSDT-liquidations-2024-08-01", "a,b", "no table for liquidations of archives"),
    ],
)
def test_what_the_store_has_no_table_for_is_named(tmp_path, name, heading, says):
    values = ",".join("1" for _ in heading.split(","))
    assert says in refused(tmp_path, packed(tmp_path, f"{name}.zip", [heading, values]))


def test_a_rate_that_is_repeated_every_hour_is_no_history_of_settlements(tmp_path):
    """Eight hours' rate in each of eight rows would be paid eight times."""
    lines = [f"{AUGUST_1 + 3_600 * n},0.000{1 + n // 8}" for n in range(40)]
    path = csv(tmp_path, ["funding_time,rate", *lines], "funding.csv")
    says = refused(tmp_path, path, **PERP)
    assert "it is repeated, and would be paid 8 times; keep the rows of settlements" in says
    hourly = [f"{AUGUST_1 + 3_600 * n},0.000{1 + n % 5}" for n in range(40)]
    assert taken(tmp_path, csv(tmp_path, ["funding_time,rate", *hourly]), **PERP)["rows"] == 40


QUOTES = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
QUOTES += "event_time"


def quote(n: int, bid: float, ask: float, qty: float = 1.0) -> str:
    return f"{10 + n},{bid},{qty},{ask},{qty},{AUGUST_1 * 1000 + n},{AUGUST_1 * 1000 + n + 5}"


@pytest.mark.parametrize("heading", [[QUOTES], []])
def test_best_prices_are_books_of_one_level(tmp_path, heading):
    lines = [*heading, quote(0, 100, 101), quote(1, 100, 101, 2.0), quote(2, 100.5, 101, 2.0)]
    done = taken(tmp_path, packed(tmp_path, "BTCUSDT-bookTicker-2024-08-01.zip", lines), **PERP)
    assert (done["table"], done["shape"]) == ("depth", "quotes")
    first, second, third = messages(tmp_path)
    assert isinstance(first, BookSnapshot)
    assert (first.bids, first.asks) == ([(100.0, 1.0)], [(101.0, 1.0)])
    assert second.bids == [(100.0, 2.0)]
    assert sorted(third.bids) == [(100.0, 0.0), (100.5, 2.0)]
    assert (third.asks, third.seq_prev, third.epoch) == ([], second.seq, first.epoch)
    assert verify_store(tmp_path / "store").ok


def messages(folder) -> list:
    return [each for _, each in messages_of(markets_in(folder / "store", "depth"), 0.0, {})]


LEVELS = ",".join(
    ["timestamp,local_timestamp,exchange,symbol"]
    + [f"{side}_{n}_{what}" for side in ("ask", "bid") for n in (1, 2) for what in ("price", "qty")]
)


def book(n: int, *levels: object) -> str:
    ms = AUGUST_1 * 1000 + n
    return ",".join(map(str, [ms, ms * 10**6 - 3, "GATE", "BTCUSDT", *levels]))


def test_books_of_some_levels_are_told_as_what_changes(tmp_path):
    lines = [LEVELS, book(0, 101, 1, 102, 2, 100, 1, 99, 2), book(9, 101, 1, "", "", 100, 3, 99, 2)]
    taken(tmp_path, csv(tmp_path, lines), venue="gateio")
    first, second = messages(tmp_path)
    assert first.asks == [(101.0, 1.0), (102.0, 2.0)]
    assert (second.asks, second.bids) == ([(102.0, 0.0)], [(100.0, 3.0)])
    assert (first.ts_recv_ns, first.ts_venue_ns) == (AUGUST_1 * 10**9 - 3, AUGUST_1 * 10**9)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([book(0, 100, 1, 102, 2, 100, 1, 99, 2)], ":2: bid 100.0 is not below ask 100.0"),
        ([book(0, 102, 1, 101, 2, 100, 1, 99, 2)], ":2: levels are not in order"),
        ([book(0, 101, 1, 101, 2, 100, 1, 99, 2)], ":2: the price 101.0 is there twice"),
        ([book(0, 101, 1, 102, 0, 100, 1, 99, 2)], ":2: qty is 0"),
        ([book(0, 101, "", 102, 1, 100, 1, 99, 2)], ":2: there is no qty"),
        ([book(n, 101, 1, 102, 1, 100, 1, 99, 2) for n in (5, 4)], ":3: 2024-08-01"),
    ],
)
def test_what_is_wrong_with_books_is_one_line(tmp_path, lines, says):
    assert says in refused(tmp_path, csv(tmp_path, [LEVELS, *lines]), venue="gateio")


def test_quotes_out_of_the_order_of_their_numbers_are_refused(tmp_path):
    lines = [
        QUOTES,
        quote(5, 100, 101),
        quote(4, 100, 101).replace(f"{AUGUST_1}004", f"{AUGUST_1}006"),
    ]
    path = packed(tmp_path, "BTCUSDT-bookTicker-2024-08-01.zip", lines)
    assert "the update 14 after 15" in refused(tmp_path, path, **PERP)


@pytest.mark.parametrize("number", ["9" * 5_000, "1²", "-7", "0x1", "1e3"])
def test_an_update_without_a_whole_number_is_refused(tmp_path, number):
    odd = number + quote(1, 100, 101).removeprefix("11")
    lines = [QUOTES, quote(0, 100, 101), odd]
    path = packed(tmp_path, "BTCUSDT-bookTicker-2024-08-01.zip", lines)
    assert "is not a whole number" in refused(tmp_path, path, **PERP)


@pytest.mark.parametrize("number", ["9" * 5_000, "²", "a7"])
def test_trades_whose_ids_do_not_count_up_have_no_holes(tmp_path, number):
    lines = [f"{n},100,2,5,7,{AUGUST_1}12{at},True,True" for at, n in enumerate(("1", number))]
    path = packed(tmp_path, "BTCUSDT-aggTrades-2024-08-01.zip", lines)
    assert taken(tmp_path, path)["notes"] == []


def test_candles_without_volume_have_an_unknown_one(tmp_path):
    lines = ["time,open,high,low,close", *(bar(n).rpartition(",")[0] for n in range(3))]
    done = taken(tmp_path, csv(tmp_path, lines))
    assert done["notes"] == ["there are bars without a volume: it is unknown, not 0"]
    assert rows(tmp_path)[0]["volume"] is None


def test_a_year_of_minutes_is_written_group_by_group(tmp_path, monkeypatch):
    """The file is the same as if its rows were written at once."""
    from shared.store import parquet as store

    made, groups = store.Made(), []
    table = [(M0 + n, 60, 1.0, 1.0, 1.0, 1.0, 1.0, None, None, 1, False, True) for n in range(25)]
    whole_ = store.write_table(tmp_path / "a.parquet", "bar", table, made)
    monkeypatch.setattr(store, "ROWS_PER_GROUP", 10)

    def stream():
        for row in table:
            groups.append(len(list(tmp_path.glob(".b.parquet.new"))))
            yield row

    parts = store.write_table(tmp_path / "b.parquet", "bar", stream(), made)
    assert (parts.rows, parts.ts_first_ns, parts.ts_last_ns) == (25, M0, M0 + 24)
    assert (whole_.rows, whole_.ts_first_ns, whole_.ts_last_ns) == (25, M0, M0 + 24)
    assert [r for _, r in store.read_rows(tmp_path / "b.parquet", "bar")] == table
    assert groups[-1] == 1, "it is written while rows come"


def test_a_recording_in_a_zip_is_no_table(tmp_path):
    path = tmp_path / "book.data.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("book.data", '{"topic":"orderbook.500.XRPUSDT"}\n')
    result = CliRunner().invoke(app, ["data", "import", str(path), "--dir", str(tmp_path / "s")])
    assert "--instrument" not in str(result.exception)


def test_notes_lie_with_the_day_that_they_are_of(tmp_path):
    minutes = [n for n in range(2 * 1440) if n not in (5, 1500)]
    taken(tmp_path, csv(tmp_path, [HEADING, *map(bar, minutes)]))
    found = [read_manifest(file).notes for file in files_in(tmp_path / "store", ("bar",))]
    assert [len(each) for each in found] == [1, 1]
    listed = CliRunner().invoke(app, ["data", "ls", "--dir", str(tmp_path / "store"), "--json"])
    (table,) = json.loads(listed.stdout)["tables"]
    assert len(table["notes"]) == 2


def test_a_column_of_parquet_that_is_text_is_read_as_numbers(tmp_path):
    path = parquet(
        tmp_path,
        start=[str(M0), str(M0 + 60)],
        **{name: ["100.0", "100.5"] for name in ("open", "high", "low", "close", "volume")},
    )
    assert taken(tmp_path, path)["rows"] == 2


DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_example_of_the_docs_does_what_it_says(tmp_path, monkeypatch):
    section = DOCS.read_text(encoding="utf-8").partition("## Tables of others")[2]
    table, commands = (
        re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ("csv", "sh")
    )
    monkeypatch.chdir(tmp_path)
    Path("btc.csv").write_text(table)
    outputs = []
    for line in commands.splitlines():
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output)
        outputs.append(result.output)
    assert "btc.csv:4: missing before it: 1 bar after 2024-08-01 00:01:00" in outputs[0]
    assert "nothing is wrong" in outputs[2]
    assert re.search(r"3\s+41\.75", outputs[3])
    assert len(Path("bars.csv").read_text().splitlines()) == 4


def test_the_docs_have_every_shape():
    section = DOCS.read_text(encoding="utf-8").partition("## Tables of others")[2]
    told = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section, re.MULTILINE)
    assert told == [(shape.name, shape.table) for shape in SHAPES]
