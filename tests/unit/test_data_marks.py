"""Klines of marks, indices and premiums: known by their folder, kept apart from what was traded."""

from __future__ import annotations

import pytest

pytest.importorskip("pyarrow")
from services.cli.data.verify import verify_store
from shared.store.manifest import files_in
from shared.store.parquet import read_rows
from tests.unit.test_data_tables import csv, packed, refused, take, taken

AUGUST_1 = 1_722_470_400
NAME = "BTCUSDT-1m-2024-08-01.zip"
PERP = {"venue": "binanceusdm", "instrument": "BTC/USDT:USDT"}
MARK, PREMIUM = "60000.1,60010.2,59990,60005.5", "-0.0004,0.0001,-0.0005,0"


def klines(prices: str, count: int = 3, volume: str = "0") -> list[str]:
    """As archives have them: no volume, and a count of prices where trades are counted."""
    return [
        f"{(AUGUST_1 + 60 * n) * 1000},{prices},{volume},{(AUGUST_1 + 60 * n + 60) * 1000 - 1},"
        "0,60,0,0,0"
        for n in range(count)
    ]


def file_of(folder, kind: str, lines: list[str], name: str = NAME):
    (folder / kind).mkdir(exist_ok=True)
    return packed(folder / kind, name, lines)


def stored(folder, table: str) -> list[tuple]:
    (file,) = files_in(folder / "store", (table,))
    return [row for _, row in read_rows(file, table)]


@pytest.mark.parametrize(
    ("kind", "table", "prices"),
    [
        ("markPriceKlines", "mark", MARK),
        ("indexPriceKlines", "index", MARK),
        ("premiumIndexKlines", "premium", PREMIUM),
    ],
)
def test_a_folder_of_archives_says_what_their_klines_are_of(tmp_path, kind, table, prices):
    done = taken(tmp_path, file_of(tmp_path, kind, klines(prices)), **PERP)
    assert (done["table"], done["shape"], done["rows"]) == (table, kind, 3)
    first_ns, numbers = AUGUST_1 * 10**9, tuple(float(text) for text in prices.split(","))
    assert stored(tmp_path, table)[1] == (first_ns + 60 * 10**9, 60 * 10**9, *numbers)
    assert not list(files_in(tmp_path / "store", ("bar",)))
    assert not verify_store(tmp_path / "store").faults


def test_klines_of_all_kinds_lie_in_one_store(tmp_path):
    traded = [line.replace(",0,", ",2.5,", 1) for line in klines(MARK)]
    taken(tmp_path, packed(tmp_path, NAME, traded), **PERP)
    taken(tmp_path, file_of(tmp_path, "markPriceKlines", klines(MARK)), **PERP)
    again = taken(tmp_path, file_of(tmp_path, "markPriceKlines", klines(MARK)), **PERP)
    assert (again["rows"], again["unchanged"]) == (0, 1)
    later = file_of(tmp_path, "markPriceKlines", klines(MARK, 4)[3:], "BTCUSDT-1m-2024-08.zip")
    assert taken(tmp_path, later, **PERP)["rows"] == 1


def test_outside_of_its_folder_as_says_it(tmp_path):
    path = csv(tmp_path, klines(MARK), "mine.csv")
    assert "give --as markPriceKlines or" in refused(
        tmp_path, path, **PERP, more=["--as", "candles"]
    )
    assert taken(tmp_path, path, **PERP, more=["--as", "indexPriceKlines"])["table"] == "index"


@pytest.mark.parametrize(
    ("kind", "lines", "says"),
    [
        ("markPriceKlines", klines(MARK, volume="2.5"), ":1: a volume of 2.5: at these prices was"),
        ("markPriceKlines", klines("0,1,0,1"), ":1: open is 0; a number above 0 is right"),
        ("indexPriceKlines", klines("-1,1,-1,1"), ":1: open is -1; a number above 0 is right"),
        ("indexPriceKlines", klines("5,4,3,4"), ":1: high 4.0 and low 3.0 do not hold 5.0"),
        ("premiumIndexKlines", klines("1.5,2,1,1"), ":1: a premium of 2.0; 0.0001 is one"),
        ("premiumIndexKlines", klines("0,x,0,0"), ":1: high 'x' is not a number"),
        ("markPriceKlines", [*klines(MARK), klines(MARK)[0]], ":4: "),
        ("markPriceKlines", klines(MARK, 2)[::-1], ":2: "),
    ],
)
def test_what_is_wrong_is_one_line_with_its_row(tmp_path, kind, lines, says):
    told = refused(tmp_path, file_of(tmp_path, kind, lines), **PERP)
    assert says in told
    assert "\n" not in told.strip()


def test_a_bar_that_is_missing_is_told(tmp_path):
    lines = klines(MARK, 4)
    del lines[2]
    result = take(tmp_path, file_of(tmp_path, "markPriceKlines", lines), **PERP)
    assert "missing before it: 1 bar" in result.output
