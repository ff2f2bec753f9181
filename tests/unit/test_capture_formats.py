"""Other recorders, other spellings, other units: the same book at the same times."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.cli.verdict import State
from services.cli.verification import verify_paths
from shared.capture import Capture, Kind, read_capture
from shared.capture.items import parse_line
from shared.capture.times import LineError, parse_time_ns
from shared.errors import ConfigError
from shared.messages.market import BookDelta, BookSnapshot, Trade
from shared.venues.binance.symbols import to_instrument
from shared.venues.port import Emit

T0_MS = 1_767_225_600_000
T0_NS = T0_MS * 1_000_000
DELTAS = 8
SPOT_TRADE = {"e": "trade", "t": 77, "p": "100.0", "q": "0.5", "m": True, "M": True}


def spot_frames(symbol="BTCUSDT"):
    """Snapshot, then deltas and the quotes that prove them, then a trade: (offset ms, frame)."""
    stream = symbol.lower()
    rows = [(0, {"lastUpdateId": 1000, "bids": [["100.0", "2.0"]], "asks": [["100.1", "3.0"]]})]
    for n in range(DELTAS):
        at, last = 100 * (n + 1), 1002 + 2 * n
        bid, ask = ["100.0", f"{n + 3}.0"], ["100.1", f"{n + 4}.0"]
        event = {"e": "depthUpdate", "E": T0_MS + at, "s": symbol, "U": last - 1, "u": last}
        rows.append((at, wrapped(f"{stream}@depth@100ms", event | {"b": [bid], "a": [ask]})))
        quote = {"u": last, "s": symbol, "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
        rows.append((at + 1, wrapped(f"{stream}@bookTicker", quote)))
    at = 100 * (DELTAS + 1)
    trade = SPOT_TRADE | {"s": symbol, "E": T0_MS + at, "T": T0_MS + at}
    rows.append((at, wrapped(f"{stream}@trade", trade)))
    return rows


def linear_frames(symbol="BTCUSDT", **extra):
    stream = symbol.lower()
    book = {"bids": [["100.0", "2.0"]], "asks": [["100.1", "3.0"]]}
    rows = [(0, {"lastUpdateId": 900_000, "E": T0_MS, "T": T0_MS, **book})]
    for n in range(DELTAS):
        at, last = 100 * (n + 1), 900_009 + 9 * n
        event = {"e": "depthUpdate", "E": T0_MS + at, "T": T0_MS + at - 1, "s": symbol, **extra}
        event |= {"U": last - 6, "u": last, "pu": last - 9}
        event |= {"b": [["100.0", f"{n + 3}.0"]], "a": []}
        rows.append((at, wrapped(f"{stream}@depth@100ms", event)))
    return rows


def wrapped(stream, data):
    return {"stream": stream, "data": data}


def dense(frame):
    return json.dumps(frame, separators=(",", ":"))


def ns(at_ms):
    return str(T0_NS + at_ms * 1_000_000)


def record(folder, lines, name="rec.txt", end="\n"):
    path = folder / name
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


def plain(rows):
    return [f"{ns(at)} {dense(frame)}" for at, frame in rows]


def messages(path):
    """Every market-data message of a recording, as the sessions emit them."""
    capture, sessions, found = Capture([path]), {}, []
    for item in capture:
        if item.venue is None or item.instrument is None:
            continue
        key = (item.venue, item.instrument)
        if key not in sessions:
            sessions[key] = capture.recordings(item.venue).session(*key)
            sessions[key].on_open(item.ts_recv_ns)
        if item.kind is Kind.REST:
            effects = sessions[key].on_snapshot(item.instrument, item.payload, item.ts_recv_ns)
        else:
            effects = sessions[key].on_frame(item.payload, item.ts_recv_ns)
        found += [effect.message for effect in effects if isinstance(effect, Emit)]
    return [m for m in found if isinstance(m, BookDelta | BookSnapshot | Trade)]


def verdict(path):
    report = verify_paths([path])
    (book,) = report.books
    return (
        report.ok,
        *(book.venue, book.instrument, book.state, book.deltas, book.applied),
        *(book.oracle.checked, book.oracle.equal, book.best_bid, book.best_bid_qty, book.best_ask),
    )


# --- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00:00.1234567Z", T0_NS + 123_456_700),
        ("2026-01-01T00:00:00.123456789Z", T0_NS + 123_456_789),
        ("2026-01-01T00:00:00.1234567891Z", T0_NS + 123_456_789),
        ("2026-01-01T00:00:00Z", T0_NS),
        ("2026-01-01T00:00:00", T0_NS),
        ("2026-01-01 00:00:00.5", T0_NS + 500_000_000),
        ("2026-01-01T02:00:00.5+02:00", T0_NS + 500_000_000),
        ("2025-12-31T19:00:00-0500", T0_NS),
        ("2026-01-01 00:00:00 UTC", T0_NS),
    ],
)
def test_iso_times_are_exact(text, expected):
    assert parse_time_ns(text.encode()) == expected
    assert parse_line(f'{text} {{"a":1}}'.encode()).ts_recv_ns == expected


@pytest.mark.parametrize("text", [b"2026-13-01T00:00:00Z", b"2026-01-01", b"2026-01-01T25:00:00"])
def test_what_looks_like_an_iso_time_and_is_none_is_refused(text):
    with pytest.raises(LineError):
        parse_time_ns(text)


@pytest.mark.parametrize("factor", [1_000, 1_000_000])
def test_venue_times_in_us_or_ns_are_exact(tmp_path, factor):
    rows = spot_frames()
    for _, frame in rows[1:]:
        for name in ("E", "T"):
            if name in frame["data"]:
                frame["data"][name] = frame["data"][name] * factor + 7
    path = record(tmp_path, plain(rows))
    assert verdict(path) == verdict(record(tmp_path, plain(spot_frames()), "ms.txt"))
    tail = 7 * 1_000_000 // factor
    times = [m.ts_venue_ns for m in messages(path) if not isinstance(m, BookSnapshot)]
    assert times == [ns_ + tail for ns_ in expected_venue_times()]


def expected_venue_times():
    return [T0_NS + 100 * (n + 1) * 1_000_000 for n in range(DELTAS + 1)]


# --- what recorders write around a frame


def iso(at_ms, zone=UTC):
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.astimezone(zone).isoformat(timespec="microseconds")


def csv_row(*cells):
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue().removesuffix("\r\n")


def cryptofeed(rows):
    return [f"{(T0_MS + at) / 1000}: {dense(frame)}" for at, frame in rows]


LINES = {
    "ns": plain,
    "us": lambda rows: [f"{(T0_MS + at) * 1000} {dense(f)}" for at, f in rows],
    "ms": lambda rows: [f"{T0_MS + at} {dense(f)}" for at, f in rows],
    "float seconds": cryptofeed,
    "iso Z": lambda rows: [f"{iso(at)[:-6]}0Z {dense(f)}" for at, f in rows],
    "iso no zone": lambda rows: [f"{iso(at)[:-6]} {dense(f)}" for at, f in rows],
    "iso blank": lambda rows: [f"{iso(at)[:-6].replace('T', ' ')} {dense(f)}" for at, f in rows],
    "iso zone": lambda rows: [
        f"{iso(at, timezone(timedelta(hours=-5)))} {dense(f)}" for at, f in rows
    ],
    "tab": lambda rows: [f"{ns(at)}\t{dense(f)}" for at, f in rows],
    "comma": lambda rows: [f"{ns(at)},{dense(f)}" for at, f in rows],
    "csv": lambda rows: ["time,frame", *(csv_row(ns(at), dense(f)) for at, f in rows)],
    "csv iso": lambda rows: [csv_row(iso(at), dense(f)) for at, f in rows],
    "bytes literal": lambda rows: [f"{ns(at)} {dense(f).encode()!r}" for at, f in rows],
    "json string": lambda rows: [f"{ns(at)} {json.dumps(dense(f))}" for at, f in rows],
    "wrapper": lambda rows: [
        dense({"localTimestamp": iso(at)[:-6] + "Z", "message": f}) for at, f in rows
    ],
    "wrapped text": lambda rows: [dense({"ts": T0_MS + at, "msg": dense(f)}) for at, f in rows],
    "byte order mark": lambda rows: ["\ufeff" + plain(rows)[0], *plain(rows)[1:]],
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_recorders_lines_give_the_same_book_at_the_same_times(tmp_path, name, end):
    usual = record(tmp_path, plain(spot_frames()), "usual.txt")
    path = record(tmp_path, LINES[name](spot_frames()), end=end)
    assert verdict(path) == verdict(usual)
    assert verdict(path)[:4] == (True, "binance", "BTC/USDT", State.LIVE)
    assert messages(path) == messages(usual)


def test_frames_alone_take_the_venues_time(tmp_path):
    path = record(tmp_path, [dense(frame) for _, frame in spot_frames()])
    assert verdict(path) == verdict(record(tmp_path, plain(spot_frames()), "usual.txt"))
    items = list(read_capture([path]))
    assert items[0].ts_recv_ns == T0_NS + 100_000_000, "what says no time is as old as the next"
    assert items[-1].ts_recv_ns == T0_NS + 100 * (DELTAS + 1) * 1_000_000


@pytest.mark.parametrize("stream", ["btcusdt@depthSnapshot", "btcusdt@depth"])
def test_a_snapshot_in_a_streams_wrapper_is_a_rest_book(tmp_path, stream):
    (at, book), *rows = spot_frames()
    row = (at, {"stream": stream, "generated": True, "data": book})
    assert verdict(record(tmp_path, plain([row, *rows])))[:4] == (
        True,
        "binance",
        "BTC/USDT",
        State.LIVE,
    )


def test_partial_books_are_no_snapshots(tmp_path):
    (at, book), *rows = spot_frames()
    path = record(tmp_path, plain([(at, wrapped("btcusdt@depth5@100ms", book)), *rows]))
    assert verdict(path)[3] is State.NOT_SYNCED


def test_an_empty_line_of_a_tardis_file_is_a_disconnection(tmp_path):
    lines = LINES["iso Z"](spot_frames())
    cut = [*lines[:7], "", *lines[7:]]
    report = verify_paths([record(tmp_path, cut)])
    (book,) = report.books
    assert (book.state, book.gaps_total) == (State.NOT_SYNCED, 0)
    later = spot_frames()
    later[7:7] = [(301, {"lastUpdateId": 1006, **{k: later[0][1][k] for k in ("bids", "asks")}})]
    lines = LINES["iso Z"](later)
    again = record(tmp_path, [*lines[:7], "", *lines[7:]], "again.txt")
    assert verify_paths([again]).books[0].state is State.LIVE


def test_empty_lines_at_the_end_or_of_other_recorders_say_nothing(tmp_path):
    lines = LINES["iso Z"](spot_frames())
    assert verdict(record(tmp_path, [*lines, "", ""]))[0]
    lines = plain(spot_frames())
    assert verdict(record(tmp_path, [*lines[:7], "", *lines[7:]], "raw.txt"))[0]


@pytest.mark.parametrize("row", ["1715247432000,1,2.5,3", "2024-05-09 09:37:12,1;2", "1715247432"])
def test_tables_are_no_captures(tmp_path, row):
    with pytest.raises(ConfigError, match="is not a capture"):
        read_capture([record(tmp_path, ["time,bid,ask", *[row] * 30])])


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0"])
def test_other_compression_is_named(tmp_path, magic):
    path = tmp_path / "rec"
    path.write_bytes(magic + b"\n" + "\n".join(plain(spot_frames())).encode())
    with pytest.raises(ConfigError, match=r"is compressed by (zip|zstd|bzip2|xz); expected plain"):
        read_capture([path])


# --- how JSON is spelled


def escaped(text):
    return "".join(f"\\u{ord(c):04x}" if c.isalpha() else c for c in text)


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value


def crowded(value):
    """The same frame with fields of every kind that nobody documents yet."""
    extra = {"zz": 10**30, "y": 1e-300, "x": [{"s": "ETHUSDT", "u": 1}], "w": "\u5e01", "ps2": None}
    if "data" in value:
        return {**extra, **value, "data": {**extra, **value["data"], "st": 1}}
    return {**extra, **value}


def every_text_escaped(frame):
    text = json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
    parts = text.split('"')
    parts[1::2] = [escaped(part) for part in parts[1::2]]
    return '"'.join(parts)


SPELLINGS = {
    "spaced": json.dumps,
    "indented": lambda f: json.dumps(f, separators=(" ,\t", " :  ")),
    "reordered": lambda f: dense(reordered(f)),
    "crowded": lambda f: dense(crowded(f)),
    "escaped": every_text_escaped,
    "bare events": lambda f: dense(f.get("data", f)),
}


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("symbol", ["BTCUSDT", "币安人生USDT"])
def test_how_json_is_spelled_says_nothing(tmp_path, name, symbol):
    usual = record(tmp_path, plain(spot_frames(symbol)), "usual.txt")
    lines = [f"{ns(at)} {SPELLINGS[name](frame)}" for at, frame in spot_frames(symbol)]
    path = record(tmp_path, lines)
    assert verdict(path)[0]
    assert verdict(path) == verdict(usual)
    assert messages(path) == messages(usual)


# --- markets


@pytest.mark.parametrize("name", SPELLINGS)
def test_linear_futures_with_new_fields_stay_linear(tmp_path, name):
    rows = linear_frames(ps="BTCUSDT", st=1)
    lines = [f"{ns(at)} {SPELLINGS[name](frame)}" for at, frame in rows]
    assert verdict(record(tmp_path, lines))[:6] == (
        True,
        "binanceusdm",
        "BTC/USDT:USDT",
        State.LIVE,
        DELTAS,
        DELTAS,
    )


@pytest.mark.parametrize(
    ("symbol", "venue", "instrument"),
    [
        ("BNBUSD_PERP", "binancecoinm", "BNB/USD:BNB"),
        ("DOTUSD_PERP", "binancecoinm", "DOT/USD:DOT"),
        ("BTCUSD_260327", "binancecoinm", "BTC/USD:BTC-260327"),
        ("BTCUSDT_260327", "binanceusdm", "BTC/USDT:USDT-260327"),
        ("ETHBTC", "binanceusdm", "ETH/BTC:BTC"),
    ],
)
def test_a_futures_market_is_told_by_its_symbol(tmp_path, symbol, venue, instrument):
    path = record(tmp_path, plain(linear_frames(symbol)))
    assert verdict(path)[:4] == (True, venue, instrument, State.LIVE)


@pytest.mark.parametrize(
    ("symbol", "instrument", "instrument_us"),
    [
        ("BNBUSD", "BNB/USD", "BNB/USD"),
        ("USDTUSD", "USDT/USD", "USDT/USD"),
        ("DOTUSD", "DOT/USD", "DOT/USD"),
        ("ADAEUR", "ADA/EUR", "ADA/EUR"),
        ("BTCAEUR", "BTC/AEUR", "BTC/AEUR"),
        ("BTCBUSD", "BTC/BUSD", "BTC/BUSD"),
        ("BNBBUSD", "BNB/BUSD", "BNB/BUSD"),
        ("BTCTUSD", "BTC/TUSD", "BTC/TUSD"),
        ("ARBUSD", "AR/BUSD", "ARB/USD"),
    ],
)
def test_symbols_that_split_in_two_ways(symbol, instrument, instrument_us):
    assert to_instrument(symbol) == instrument
    assert to_instrument(symbol, is_us=True) == instrument_us


def test_captures_of_binance_us_are_read_by_binances_protocol(tmp_path):
    depth = "https://api.binance.us/api/v3/depth?symbol=ARBUSD&limit=1000"
    (_, book), *rows = spot_frames("ARBUSD")
    paths = [
        record(tmp_path, [f"{depth} -> {T0_MS / 1000 + 0.05}: {dense(book)}"], "X.http.0"),
        record(
            tmp_path,
            [f"wss://stream.binance.us:9443/stream <-> {T0_MS / 1000}", *cryptofeed(rows)],
            "X.ws.1",
        ),
    ]
    report = verify_paths(paths)
    (book,) = report.books
    assert report.ok
    assert (book.venue, book.instrument, book.state) == ("binance", "ARB/USD", State.LIVE)


def test_a_futures_book_without_a_time_is_told_from_spots_by_its_ids(tmp_path):
    linear = linear_frames()
    del linear[0][1]["E"], linear[0][1]["T"]
    spot = spot_frames()
    for order in (spot + linear, linear + spot):
        rows = sorted(order, key=lambda row: row[0])
        report = verify_paths([record(tmp_path, plain(rows))])
        assert report.ok
        assert [(b.venue, b.state) for b in report.books] == [
            ("binance", State.LIVE),
            ("binanceusdm", State.LIVE),
        ]
