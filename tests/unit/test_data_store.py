"""The store of market data: recordings in and out unchanged, and what is wrong named by row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.data import look
from services.cli.data.derive import derive
from services.cli.data.export import export_recordings
from services.cli.data.imports import import_recordings
from services.cli.data.verify import verify_store
from services.cli.verification import verify_paths
from shared.capture import Kind, read_capture
from shared.capture.items import parse_line
from shared.errors import ConfigError
from shared.store import staging
from shared.store.manifest import files_in, manifest_path, read_manifest
from shared.store.rows import SEGMENT_SUFFIX, RawRow, line_of
from tests.unit.test_verify import delta, good, record, snapshot

parquet = pytest.importorskip("shared.store.parquet")
pytest.importorskip("pyarrow")

URL = "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms"
REST = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"
T0 = 1_723_161_253


def capture_set(folder: Path) -> list[Path]:
    """A connection and its REST answers, as a capture set."""
    ws, rest = folder / "X.ws.1.0.gz", folder / "X.http.0.0"
    lines = [f"{URL} <-> {T0}.0", f'{URL} <- {T0}.1: {{"method":"SUBSCRIBE"}}']
    lines += [f"{T0}.{n}123456: {delta(n)}" for n in range(2, 9)]
    ws.write_bytes(gzip.compress("\n".join(lines).encode()))
    rest.write_text(f"{REST} -> {T0}.15: {snapshot(25)}\n")
    return [ws, rest]


def imported(folder: Path, rows: list[str] | None = None) -> Path:
    """A store with one recording in it."""
    root = folder / "store"
    import_recordings([record(folder, good() if rows is None else rows)], root, None)
    return root


def raw_file(root: Path) -> Path:
    (file,) = files_in(root, ("raw",))
    return file


def rewrite(file: Path, change) -> None:
    """Change the rows of a file and let its manifest tell the new bytes: a careful forger."""
    before = read_manifest(file)
    rows = change([row for _, row in parquet.read_raw(file)])
    made = parquet.Made(sources=before.sources, missing=before.missing)
    parquet.write_raw(file, rows, made)


def without_paths(value):
    if isinstance(value, dict):
        return {name: without_paths(each) for name, each in value.items() if name != "path"}
    return [without_paths(each) for each in value] if isinstance(value, list) else value


def items_of(paths):
    return [
        (item.kind, item.ts_recv_ns, item.payload, item.url, item.venue, item.instrument, item.line)
        for item in read_capture(paths)
    ]


@pytest.mark.parametrize("kind", ["frames", "set"])
def test_a_recording_comes_out_as_it_went_in(tmp_path, kind):
    paths = capture_set(tmp_path) if kind == "set" else [record(tmp_path, good())]
    import_recordings(paths, tmp_path / "store", None)
    export_recordings(tmp_path / "store", tmp_path / "out", None)
    out = sorted((tmp_path / "out").glob("*/*"))
    assert items_of(out) == items_of(paths)
    before, after = (verify_paths(each).as_json() for each in (paths, out))
    assert without_paths(after) == without_paths(before)
    assert before["ok"]


@pytest.mark.parametrize(
    "frame", [b'{"a":1}', b"", b'"text"', b"b'x'", b"two\nlines\r", b" led by a space", b"\xff\x00"]
)
@pytest.mark.parametrize("url", ["", URL])
@pytest.mark.parametrize("kind", [Kind.FRAME, Kind.REST, Kind.SENT])
def test_a_row_is_read_back_from_its_line(frame, url, kind):
    row = RawRow(1_723_161_253_000_000_007, "r", 1, "c", kind.value, url, frame)
    if kind is Kind.SENT and not url:
        return  # what was sent is only known of a connection with a name
    parsed = parse_line(line_of(row))
    assert parsed is not None
    assert (parsed.ts_recv_ns, parsed.payload) == (row.ts_recv_ns, frame)
    assert parsed.url == (url if kind is not Kind.FRAME else "")


def test_a_lost_connection_of_a_recording_without_urls_is_kept(tmp_path):
    path = tmp_path / "tardis"
    times = [f"2024-08-08T23:54:1{n}.0000000Z" for n in range(4)]
    rows = [delta(1), snapshot(25), delta(2), delta(3)]
    lines = [f"{time} {row}" for time, row in zip(times, rows, strict=True)]
    path.write_text("\n".join([*lines[:3], "", lines[3]]) + "\n")
    import_recordings([path], tmp_path / "store", None)
    export_recordings(tmp_path / "store", tmp_path / "out", None)
    (out,) = (tmp_path / "out").glob("*/*")
    assert [item[:-1] for item in items_of([out])] == [item[:-1] for item in items_of([path])]
    assert Kind.OPENED in {item[0] for item in items_of([out])}


def test_a_store_that_is_whole_is_right(tmp_path):
    report = verify_store(imported(tmp_path))
    assert report.ok and report.rows == len(good())
    assert [(book.instrument, book.state) for book in report.books] == [("BTC/USDT", "LIVE")]


def test_a_changed_byte_is_found(tmp_path):
    file = raw_file(imported(tmp_path))
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    report = verify_store(tmp_path / "store")
    assert not report.ok
    assert report.faults[0].file == str(file)


def test_a_deleted_row_is_named(tmp_path):
    file = raw_file(imported(tmp_path))
    rewrite(file, lambda rows: [row for row in rows if row.seq != 5])
    (fault, *_) = verify_store(tmp_path / "store").faults
    assert (fault.file, fault.row) == (str(file), 4)
    assert "seq 6 follows 4" in fault.reason


def test_rows_in_the_wrong_order_are_named(tmp_path):
    file = raw_file(imported(tmp_path))
    rewrite(file, lambda rows: [*rows[:3], rows[4], rows[3], *rows[5:]])
    (fault, *_) = verify_store(tmp_path / "store").faults
    assert (fault.file, fault.row) == (str(file), 5)


def test_a_delta_that_the_venue_did_not_send_next_is_named(tmp_path):
    rows = good()
    del rows[5]
    report = verify_store(imported(tmp_path, rows))
    (fault,) = report.faults
    assert (fault.file, fault.row) == (str(raw_file(tmp_path / "store")), 6)
    assert "expected 50, got 60" in fault.reason


def test_a_file_without_a_manifest_and_one_without_its_file_are_named(tmp_path):
    file = raw_file(imported(tmp_path))
    manifest_path(file).rename(tmp_path / "kept")
    (fault,) = verify_store(tmp_path / "store").faults
    assert fault.file == str(file) and "manifest" in fault.reason
    (tmp_path / "kept").rename(manifest_path(file))
    file.unlink()
    (fault,) = verify_store(tmp_path / "store").faults
    assert fault.file == str(file) and "the file is not" in fault.reason


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"{"),
        lambda path: path.write_bytes(b'{"file": "\xff"}'),
        lambda path: path.write_bytes(b"{}"),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["gone", "torn", "no text", "empty", "a folder"],
)
def test_one_damaged_manifest_hides_no_other_file(tmp_path, damage):
    store = imported(tmp_path)
    derive(store)
    whole = look.listing(store)
    damage(manifest_path(raw_file(store)))
    shown = CliRunner().invoke(app, ["data", "ls", "--dir", str(store), "--json"])
    found = json.loads(shown.stdout)
    assert shown.exit_code == 1
    others = [row for row in whole["tables"] if row["table"] != "raw"]
    assert others and [row for row in found["tables"] if row["table"] != "raw"] == others
    (named,) = found["damaged"]
    assert named["file"] == str(raw_file(store))
    assert str(raw_file(store).parent) in shown.stderr


def test_a_file_whose_segment_is_still_there_is_not_finished(tmp_path):
    file = raw_file(imported(tmp_path))
    manifest_path(file).unlink()
    file.with_suffix(SEGMENT_SUFFIX).touch()
    assert not list(files_in(tmp_path / "store"))
    assert verify_store(tmp_path / "store").ok


def test_the_same_recording_twice_and_a_damaged_one_change_nothing(tmp_path):
    root = imported(tmp_path)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="imported before"):
        import_recordings([tmp_path / "rec.txt"], root, None)
    cut = tmp_path / "cut.txt"
    cut.write_text((tmp_path / "rec.txt").read_text()[:-20])
    with pytest.raises(ConfigError, match=r"cut\.txt:10: "):
        import_recordings([cut], root, None)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_an_import_that_was_killed_is_finished_or_forgotten(tmp_path):
    root = tmp_path / "store"
    for name, is_ready in (("half", False), ("whole", True)):
        folder = root / f"{staging.PREFIX}{name}" / "raw" / f"venue={name}"
        folder.mkdir(parents=True)
        (folder / "a.parquet").write_bytes(b"")
        if is_ready:
            (root / f"{staging.PREFIX}{name}" / staging.REMOVE).touch()
            (root / f"{staging.PREFIX}{name}" / staging.READY).touch()
    staging.recover(root)
    assert [path.parent.name for path in root.rglob("*.parquet")] == ["venue=whole"]
    assert not list(root.glob(f"{staging.PREFIX}*"))


def test_two_writers_of_one_store_do_not_mix(tmp_path):
    again = staging.staged(tmp_path, "two")
    with staging.staged(tmp_path, "one"), pytest.raises(ConfigError, match="another process"):
        again.__enter__()
    with staging.staged(tmp_path, "two"):
        pass


def test_the_same_recording_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        imported(tmp_path / name)
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in found}
        for name in ("one", "two")
        for found in [[p for p in (tmp_path / name / "store" / "raw").rglob("*.*") if p.is_file()]]
    )
    assert one == two


def arb(*options: str) -> str:
    result = CliRunner().invoke(app, ["data", *options])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_commands_show_the_store(tmp_path):
    root = str(imported(tmp_path))
    (table,) = json.loads(arb("ls", "--dir", root, "--json"))["tables"]
    assert (table["table"], table["venue"], table["rows"]) == ("raw", "binance", 10)
    assert "binance" in arb("ls", "--dir", root)
    query = "select kind, count(*) as n from raw group by kind order by kind"
    assert arb("sql", query, "--dir", root, "--csv") == "kind,n\nframe,9\nrest,1\n"
    rows = arb("sql", "select venue, date, hour from raw limit 1", "--dir", root, "--json")
    assert json.loads(rows) == {"venue": "binance", "date": "2024-08-08", "hour": "23"}
    assert arb("sql", "select count(*) from bar", "--dir", root, "--csv").endswith("\n0\n")
    lines = arb("export", "--format", "jsonl", "--dir", root).splitlines()
    assert json.loads(json.loads(lines[0])["frame"]) == json.loads(delta(1))
    assert "nothing is wrong" in arb("verify", "--dir", root)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["ls", "--dir", "nowhere"], "nowhere is no store"),
        (["sql", "selec", "--dir", "."], "sql: "),
        (["export", "--format", "xml"], "--format xml: one of recording, csv, jsonl"),
        (["export", "--format", "csv", "--table", "x"], "--table x: one of raw"),
        (["export"], "--format recording needs --out"),
        (["import", "nothing.gz"], "cannot read nothing.gz"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["data", *options])
    assert isinstance(result.exception, ConfigError)
    assert says in str(result.exception) and "\n" not in str(result.exception)


def test_without_the_extra_a_command_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow; install it: pip install .*research"):
        imported(tmp_path)


def test_a_manifest_says_what_is_in_its_file(tmp_path):
    manifest = read_manifest(raw_file(imported(tmp_path)))
    assert manifest.rows == manifest.spans[0].rows == 10
    assert manifest.sources[0].name == "rec.txt"
    assert manifest.ts_last_ns - manifest.ts_first_ns == 9 * 10**8
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=type(manifest)) == manifest
