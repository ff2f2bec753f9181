"""`arb verify` on small made-up recordings: the right verdict at the right line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.verdict import State
from services.cli.verification import verify_paths
from shared.errors import ConfigError

T0 = 1_723_161_253 * 10**9


def delta(n: int, symbol: str = "BTCUSDT", price: float = 100.0) -> str:
    """Delta ``n``: ids 10n to 10n+9, one bid and one ask level."""
    data = {
        "e": "depthUpdate",
        "E": 1,
        "s": symbol,
        "U": 10 * n,
        "u": 10 * n + 9,
        "b": [[str(price - 1), f"{n}.5"]],
        "a": [[str(price + 1), f"{n}.25"]],
    }
    return frame(f"{symbol.lower()}@depth@100ms", data)


def quote(n: int, *, qty: str | None = None, symbol: str = "BTCUSDT", price: float = 100.0) -> str:
    """The best quote right after delta ``n``."""
    data = {
        "u": 10 * n + 9,
        "s": symbol,
        "b": str(price - 1),
        "B": qty or f"{n}.5",
        "a": str(price + 1),
        "A": f"{n}.25",
    }
    return frame(f"{symbol.lower()}@bookTicker", data)


def frame(stream: str, data: dict) -> str:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":"))


def snapshot(last_id: int, price: float = 100.0) -> str:
    book = {
        "lastUpdateId": last_id,
        "bids": [[str(price - 2), "1"]],
        "asks": [[str(price + 2), "1"]],
    }
    return json.dumps(book, separators=(",", ":"))


def good() -> list[str]:
    """Deltas 1 to 9 with the snapshot on line 2: from delta 2 on, delta n is on line n + 1."""
    return [delta(1), snapshot(25), *(delta(n) for n in range(2, 10))]


def record(folder, rows, name="rec.txt", start=0, end="\n"):
    path = folder / name
    lines = [f"{T0 + (start + n) * 10**8} {row}" for n, row in enumerate(rows)]
    path.write_text("".join(line + end for line in lines), newline="")
    return path


def verdict(folder, rows, **options):
    report = verify_paths([record(folder, rows, **options)])
    return report, report.books[0]


def gaps(book):
    return [(gap.line, gap.expected, gap.got) for gap in book.gaps]


def test_a_whole_recording_is_right(tmp_path):
    report, book = verdict(tmp_path, good())
    assert report.ok and book.state is State.LIVE
    assert (book.frames, book.snapshots, book.deltas) == (9, 1, 9)
    assert (book.applied, book.dropped_stale, gaps(book)) == (8, 1, [])
    assert (book.best_bid, book.best_bid_qty, book.best_ask) == (99.0, 9.5, 101.0)


def test_a_deleted_delta_is_a_gap_where_the_next_one_stands(tmp_path):
    rows = good()
    del rows[5]
    report, book = verdict(tmp_path, rows)
    assert not report.ok and book.state is State.GAP
    assert gaps(book) == [(6, 50, 60)]
    assert book.best_bid is None


def test_every_gap_is_listed(tmp_path):
    rows = good()
    del rows[7], rows[4]
    _, book = verdict(tmp_path, rows)
    assert gaps(book) == [(5, 40, 50), (7, 70, 80)]


def test_swapped_deltas_are_a_gap(tmp_path):
    rows = good()
    rows[5], rows[6] = rows[6], rows[5]
    report, book = verdict(tmp_path, rows)
    assert not report.ok
    assert gaps(book) == [(6, 50, 60)]


def test_a_duplicate_is_dropped(tmp_path):
    rows = good()
    rows.insert(6, rows[5])
    report, book = verdict(tmp_path, rows)
    assert report.ok and book.dropped_stale == 2


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_truncated_line_is_one_parse_error_and_a_gap(tmp_path, keep):
    rows = good()
    rows[5] = rows[5][: int(len(rows[5]) * keep)]
    report, book = verdict(tmp_path, rows)
    assert [(p.path, p.line) for p in report.parse_errors] == [(str(tmp_path / "rec.txt"), 6)]
    assert len(report.books) == 1 and gaps(book) == [(7, 50, 60)]


def test_without_snapshot_a_book_is_not_synced(tmp_path):
    rows = good()
    del rows[1]
    report, book = verdict(tmp_path, rows)
    assert not report.ok and book.state is State.NOT_SYNCED and gaps(book) == []


def test_a_later_snapshot_heals_a_gap_but_not_the_verdict(tmp_path):
    rows = [*good()[:5], *good()[6:], snapshot(85), delta(10)]
    report, book = verdict(tmp_path, rows)
    assert not report.ok and book.state is State.LIVE
    assert (gaps(book), book.snapshots) == ([(6, 50, 60)], 2)
    assert book.best_bid_qty == 10.5


def test_a_snapshot_too_old_for_the_deltas_is_a_gap_on_its_line(tmp_path):
    report, book = verdict(tmp_path, [delta(3), delta(4), snapshot(25), delta(5)])
    assert not report.ok and book.state is State.GAP
    assert gaps(book) == [(3, 26, 30)]


def test_a_delta_lost_after_the_snapshot_and_before_the_first_is_a_gap(tmp_path):
    _, book = verdict(tmp_path, [snapshot(25), delta(4), delta(5)])
    assert book.state is State.GAP and gaps(book) == [(2, 26, 40)]


def test_a_delta_lost_before_the_snapshot_that_contains_it_does_no_harm(tmp_path):
    report, book = verdict(tmp_path, [delta(1), delta(3), snapshot(45), delta(4), delta(5)])
    assert report.ok and book.state is State.LIVE and gaps(book) == []


def test_a_delta_lost_before_the_snapshot_that_does_not_contain_it_is_a_gap(tmp_path):
    report, book = verdict(tmp_path, [delta(1), delta(3), snapshot(15), delta(4)])
    assert not report.ok and book.state is State.GAP
    assert gaps(book)[0] == (2, 20, 30)


def test_the_oracle_must_agree_whichever_comes_first(tmp_path):
    rows = [*good()[:5], quote(5), *good()[5:7], quote(6), *good()[7:]]
    report, book = verdict(tmp_path, rows)
    assert report.ok and (book.oracle.checked, book.oracle.equal) == (2, 2)
    rows[8] = quote(6, qty="6.75")
    report, book = verdict(tmp_path, rows)
    assert not report.ok and (book.oracle.checked, book.oracle.equal) == (2, 1)
    assert [at.line for at in book.oracle.failed_at] == [9]
    assert book.state is State.LIVE and gaps(book) == []


def test_the_oracle_asks_nothing_of_an_untrusted_book(tmp_path):
    rows = good()
    del rows[5]
    _, book = verdict(tmp_path, [*rows, quote(9)])
    assert book.oracle.checked == 0


def test_a_crossed_book_is_wrong(tmp_path):
    rows = good()
    rows[4] = rows[4].replace('["99.0","4.5"]', '["105.0","4.5"]')
    report, book = verdict(tmp_path, rows)
    assert not report.ok and book.crossed > 0


def test_damage_to_one_of_two_interleaved_books_leaves_the_other_alone(tmp_path):
    eth = [
        delta(1, "ETHUSDT", 20),
        snapshot(25, 20),
        *(delta(n, "ETHUSDT", 20) for n in range(2, 10)),
    ]
    rows = [row for pair in zip(good(), eth, strict=True) for row in pair]
    assert verify_paths([record(tmp_path, rows)]).ok
    rows[10] = rows[10][:70]  # the sixth line of BTC
    report = verify_paths([record(tmp_path, rows)])
    btc, other = report.books
    assert (btc.instrument, btc.state, gaps(btc)) == ("BTC/USDT", State.GAP, [(13, 50, 60)])
    assert other.instrument == "ETH/USDT" and other.is_sound
    assert [p.line for p in report.parse_errors] == [11]


def test_recordings_chain_in_any_order(tmp_path):
    first = record(tmp_path, good(), "day1")
    second = record(tmp_path, [delta(n) for n in range(10, 15)], "day2", start=100)
    for paths in ([first, second], [second, first]):
        report = verify_paths(paths)
        assert report.ok and report.books[0].applied == 13
    assert verify_paths([second]).books[0].state is State.NOT_SYNCED
    late = record(tmp_path, [delta(n) for n in range(11, 15)], "late", start=100)
    (book,) = verify_paths([first, late]).books
    assert [(g.path, g.line) for g in book.gaps] == [(str(late), 1)]


def later(n: int) -> list[str]:
    """A whole recording of its own, ids far from those of ``good``; ``n`` is its first delta."""
    return [delta(n), snapshot(10 * n + 5), *(delta(m) for m in range(n + 1, n + 6))]


def test_two_whole_recordings_of_an_instrument_are_both_right(tmp_path):
    paths = [record(tmp_path, good(), "day1"), record(tmp_path, later(900), "day9", start=100)]
    report = verify_paths(paths)
    (book,) = report.books
    assert report.ok and (book.state, book.snapshots, gaps(book)) == (State.LIVE, 2, [])
    # A snapshot may also be its first line, heard while the first recording's book is live.
    rows = later(900)
    rows.insert(0, rows.pop(1))
    report = verify_paths([paths[0], record(tmp_path, rows, "day9", start=100)])
    assert report.ok and report.books[0].best_bid_qty == 905.5
    # What is lost within the second one still counts.
    rows = later(900)
    del rows[4]
    (book,) = verify_paths([paths[0], record(tmp_path, rows, "day9", start=100)]).books
    assert (book.state, gaps(book)) == (State.GAP, [(5, 9030, 9040)])
    rows.append(snapshot(9055))
    (book,) = verify_paths([paths[0], record(tmp_path, rows, "day9", start=100)]).books
    assert (book.state, gaps(book)) == (State.LIVE, [(5, 9030, 9040)])


def test_a_second_recording_without_its_snapshot_is_a_gap(tmp_path):
    rows = [row for row in later(900) if "lastUpdateId" not in row]
    del rows[3]
    paths = [record(tmp_path, good(), "day1"), record(tmp_path, rows, "day9", start=100)]
    (book,) = verify_paths(paths).books
    assert book.state is State.GAP
    assert gaps(book) == [(1, 100, 9000), (4, 9030, 9040)]


def test_a_snapshot_may_come_late(tmp_path):
    rows = [*(delta(n) for n in range(1, 6_001)), snapshot(25)]
    report, book = verdict(tmp_path, rows)
    assert report.ok and (book.applied, book.dropped_stale) == (5_999, 1)


def test_an_empty_side_is_quoted_with_zeros(tmp_path):
    rows = good()
    rows[1] = rows[1].replace('[["102.0","1"]]', "[]")
    rows = [
        row.replace(row[row.index('"a":') :], '"a":[]}}') if '"b"' in row else row for row in rows
    ]
    empty = {"u": 99, "s": "BTCUSDT", "b": "99.0", "B": "9.5", "a": "0.00000000", "A": "0.00000000"}
    report, book = verdict(tmp_path, [*rows, frame("btcusdt@bookTicker", empty)])
    assert report.ok and (book.oracle.checked, book.oracle.equal) == (1, 1)


def test_a_book_that_tells_no_instrument_is_not_passed_over(tmp_path):
    rows = good()
    rows.insert(5, delta(1).replace("btcusdt@", "btc-usdt@").replace("BTCUSDT", "BTC-USDT"))
    report, book = verdict(tmp_path, rows)
    assert not report.ok and [p.line for p in report.parse_errors] == [6]
    assert book.state is State.LIVE and gaps(book) == []


def test_windows_line_ends_change_nothing(tmp_path):
    assert verdict(tmp_path, good(), end="\r\n")[0].ok


@pytest.mark.parametrize(
    "damage", ["\ufffd\x00", '{"stream":"btcusdt@depth@100ms","data":[]}', "null", "{"]
)
def test_foreign_lines_are_parse_errors(tmp_path, damage):
    rows = good()
    rows.insert(5, damage)
    report, book = verdict(tmp_path, rows)
    assert not report.ok
    assert [p.line for p in report.parse_errors] == [6] and book.state is State.LIVE


def test_absurd_numbers_are_parse_errors(tmp_path):
    rows = good()
    rows[5] = rows[5].replace('"4.5"', '"5.5"').replace('"U":50', f'"U":{"9" * 40}')
    report, book = verdict(tmp_path, rows)
    assert [p.line for p in report.parse_errors] == [6] and book.state is State.GAP


def test_a_capture_set_of_several_connections(tmp_path):
    def moment(n):
        return f"{T0 // 10**9}.{n:03}"

    url = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"
    (tmp_path / "X.http.0").write_text(f"{url} -> {moment(20)}: {snapshot(25)}\n")
    stream = "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms"
    rows = [f"{stream} <-> {moment(1)}", *(f"{moment(10 * n)}: {delta(n)}" for n in range(1, 10))]
    (tmp_path / "X.ws.1").write_text("\n".join(rows) + "\n")
    trades = [f"{stream} <-> {moment(2)}", f"{moment(5)}: {quote(9, qty='1')}"]
    (tmp_path / "X.ws.2").write_text("\n".join(trades) + "\n")
    paths = sorted(tmp_path.glob("X.*"))
    (book,) = verify_paths(paths).books
    assert (book.state, book.applied, book.snapshots) == (State.LIVE, 8, 1)
    # A second connection starts over: without a snapshot of its own it is not in step.
    again = [f"{stream} <-> {moment(500)}", f"{moment(510)}: {delta(10)}"]
    (tmp_path / "X.ws.3").write_text("\n".join(again) + "\n")
    (book,) = verify_paths(sorted(tmp_path.glob("X.*"))).books
    assert book.state is State.NOT_SYNCED


STREAM = "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms"
REST = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"


def capture(folder, *, ws, rest, name="X"):
    """A capture set: (second, row) each; a row ``None`` opens the connection."""
    base = T0 // 10**9
    lines = [f"{STREAM} <-> {base + s}.0" if r is None else f"{base + s}.0: {r}" for s, r in ws]
    (folder / f"{name}.ws.1.0").write_text("".join(f"{line}\n" for line in lines))
    answers = "".join(f"{REST} -> {base + s}.5: {row}\n" for s, row in rest)
    if answers:
        (folder / f"{name}.http.0.0").write_text(answers)
    return sorted(folder.glob("X*"))


def test_a_quiet_book_after_a_reconnection_has_the_snapshot_answered_before_its_delta(tmp_path):
    ws = [(1, None), (2, delta(1)), (3, delta(2)), (10, None), (20, delta(7)), (21, delta(8))]
    rest = [(2, snapshot(15)), (11, snapshot(75))]
    report = verify_paths(capture(tmp_path, ws=ws, rest=rest))
    (book,) = report.books
    assert report.ok and (book.state, book.applied, book.snapshots) == (State.LIVE, 4, 2)
    # An answer from before the reconnection is no snapshot of the new connection.
    report = verify_paths(capture(tmp_path, ws=ws, rest=[(2, snapshot(15)), (5, snapshot(75))]))
    assert not report.ok and report.books[0].state is State.NOT_SYNCED


def test_the_next_file_of_a_connection_goes_on_without_saying_its_url(tmp_path):
    ws = [(1, None), *((n + 1, delta(n)) for n in range(1, 10))]
    paths = capture(tmp_path, ws=ws, rest=[(3, snapshot(25))])
    lines = paths[1].read_text().splitlines(keepends=True)
    rotated = tmp_path / "X.ws.1.1"
    for lost, wanted in ((0, []), (1, [(1, 50, 60)])):
        paths[1].write_text("".join(lines[:5]))
        rotated.write_text("".join(lines[5 + lost :]))
        (book,) = verify_paths([*paths, rotated]).books
        assert gaps(book) == wanted
        assert book.state is (State.GAP if lost else State.LIVE)


def test_a_recording_without_a_book_is_the_users_mistake(tmp_path):
    path = tmp_path / "bitfinex"
    path.write_text('wss://api.bitfinex.com/ws/2 <-> 1652458996.2\n1652458997.1: {"x":1}\n')
    with pytest.raises(ConfigError, match=r"no order book in .*api\.bitfinex\.com.*binance"):
        verify_paths([path])


def test_the_command_prints_one_object_and_exits_by_the_verdict(tmp_path):
    right, wrong = record(tmp_path, good(), "right"), record(tmp_path, good()[2:], "wrong")
    result = CliRunner().invoke(app, ["verify", str(right), "--json"])
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    fields = {
        "venue",
        "instrument",
        "frames",
        "snapshots",
        "deltas",
        "applied",
        "dropped_stale",
        "gaps",
        "checksums",
        "crossed",
        "state",
        "best_bid",
        "best_ask",
        "oracle",
    }
    assert fields <= set(report["books"][0]) and report["parse_errors"] == []
    assert CliRunner().invoke(app, ["verify", str(wrong), "--json"]).exit_code == 1
    shown = CliRunner().invoke(app, ["verify", str(wrong)])
    assert shown.exit_code == 1 and "NOT_SYNCED" in shown.stdout


def walk(count: int, limit: int = 100) -> list[str]:
    """A snapshot of ``limit`` levels a side, and asks eaten one after the other from below."""
    book = {
        "lastUpdateId": 9,
        "bids": [[f"{100 - n / 100:.2f}", "1"] for n in range(limit)],
        "asks": [[f"{100.01 + n / 100:.2f}", "1"] for n in range(limit)],
    }
    rows = [json.dumps(book, separators=(",", ":"))]
    for n in range(1, count + 1):
        data = {
            "e": "depthUpdate",
            "E": 1,
            "s": "BTCUSDT",
            "U": 10 * n,
            "u": 10 * n + 9,
            "b": [],
            "a": [[f"{100 + n / 100:.2f}", "0"], [f"{101.5 + n / 100:.2f}", "1"]],
        }
        rows.append(frame("btcusdt@depth@100ms", data))
    return rows


def test_price_that_left_the_levels_told_is_said(tmp_path):
    report, book = verdict(tmp_path, walk(105))
    assert report.ok, "the recording is whole"
    assert (book.state, book.outside, book.outside_from.line) == (State.OUTSIDE, 6, 101)
    assert (book.best_bid, book.best_ask) == (100.0, None)
    shown = CliRunner().invoke(app, ["verify", str(tmp_path / "rec.txt")])
    assert "warning" in shown.output and "rec.txt:101" in shown.output


def test_price_within_the_levels_told_is_well(tmp_path):
    report, book = verdict(tmp_path, walk(99))
    assert (report.ok, book.state, book.outside, book.best_ask) == (True, State.LIVE, 0, 101.0)


def test_snapshot_shorter_than_any_limit_is_whole(tmp_path):
    report, book = verdict(tmp_path, walk(105, limit=99))
    assert (report.ok, book.state, book.outside) == (True, State.LIVE, 0)


def test_newer_snapshot_heals_a_price_that_left_the_levels_told(tmp_path):
    later = {"lastUpdateId": 1059, "bids": [["100.00", "1"]], "asks": [["101.06", "1"]]}
    report, book = verdict(tmp_path, [*walk(105), json.dumps(later, separators=(",", ":"))])
    assert (report.ok, book.state, book.outside, book.best_ask) == (True, State.LIVE, 6, 101.06)
