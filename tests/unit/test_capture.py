"""Reading captures: both formats, times, venues, order, damage."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from shared.capture import Kind, read_capture, survey
from shared.capture.items import LineError, parse_line, parse_time_ns
from shared.errors import ConfigError

SECOND = 1_000_000_000
T0 = 1_723_161_253
SPOT = (
    '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":%d,"u":%d,'
    '"b":[["100.0","1"]],"a":[]}}'
)
LINEAR = (
    '{"stream":"%s@depth@0ms","data":{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":%d,"u":%d,'
    '"pu":%d,"b":[["%s","1"]],"a":[]}}'
)
KRAKEN = (
    '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[],'
    '"checksum":1}]}'
)


def write(folder, name, *lines, end="\n"):
    path = folder / name
    data = "".join(line + end for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def ns(offset: float) -> str:
    return str(int((T0 + offset) * SECOND))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1723161253937085768", 1723161253937085768),
        (b"1680652700423575", 1680652700423575000),
        (b"1680652700423", 1680652700423000000),
        (b"1680652700", 1680652700000000000),
        (b"1633998512.0633569", 1633998512063356900),
        (b"1626992742.2895691", 1626992742289569100),
        (b"1633998511.159679", 1633998511159679000),
        (b"1680652700423.25", 1680652700423250000),
        (b"1633998511.", 1633998511000000000),
    ],
)
def test_units_of_time_are_told_by_magnitude_and_lose_nothing(text, expected):
    assert parse_time_ns(text) == expected


@pytest.mark.parametrize("text", [b"", b"x", b"-5", b"1e9", b"1.2.3", b"1" * 30, b"12.x"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(LineError):
        parse_time_ns(text)


def test_lines_of_both_formats():
    opened = parse_line(b"wss://x.y/z?a=b <-> 1633998511.159679")
    assert (opened.kind, opened.url) == (Kind.OPENED, "wss://x.y/z?a=b")
    sent = parse_line(b'wss://x.y <- 1633998511.5: {"method": "subscribe"}')
    assert (sent.kind, sent.payload) == (Kind.SENT, b'{"method": "subscribe"}')
    answer = parse_line(b'https://x.y/depth?symbol=A -> 1633998511.5: {"a": 1}')
    assert (answer.kind, answer.payload) == (Kind.REST, b'{"a": 1}')
    assert parse_line(b'1633998511.5: {"a": ": "}').payload == b'{"a":": "}'
    assert parse_line(b'1723161253937085768 {"a":1}').payload == b'{"a":1}'
    assert parse_line(b'1633998511.5: b\'{"a":"\\xc3\\xa9"}\'').payload == '{"a":"é"}'.encode()
    assert parse_line(b"") is None
    assert parse_line(b'configuration: {"trades": []}') is None


def test_venues_are_told_by_the_frames(tmp_path):
    paths = [
        write(tmp_path, "spot.txt", f"{ns(0)} {SPOT % (1, 2)}"),
        write(tmp_path, "linear.gz", f"{ns(1)} {LINEAR % ('btcusdt', 1, 2, 0, '100')}"),
        write(tmp_path, "kraken", f"{ns(2)} {KRAKEN}"),
    ]
    summary = survey(paths)
    assert summary.instruments == {
        "binance": ["BTC/USDT"],
        "binanceusdm": ["BTC/USDT:USDT"],
        "kraken": ["BTC/USD"],
    }
    assert (summary.ts_first_ns, summary.ts_last_ns) == (T0 * SECOND, (T0 + 2) * SECOND)


def test_a_frame_without_marks_is_like_those_around_it(tmp_path):
    cut = (SPOT % (3, 4))[:60]
    path = write(tmp_path, "a", f"{ns(0)} {cut}", f"{ns(1)} {SPOT % (1, 2)}", f"{ns(2)} {cut}")
    assert [(i.venue, i.instrument) for i in read_capture([path])] == [("binance", "BTC/USDT")] * 3


def test_spot_and_futures_in_one_file_are_kept_apart(tmp_path):
    path = write(
        tmp_path,
        "both",
        f"{ns(0)} {SPOT % (1, 2)}",
        f"{ns(1)} {LINEAR % ('btcusdt', 1, 2, 0, '100')}",
        f'{ns(2)} {{"lastUpdateId":2,"bids":[["100","1"]],"asks":[]}}',
        f'{ns(3)} {{"lastUpdateId":2,"E":1,"T":1,"bids":[["100","1"]],"asks":[]}}',
    )
    items = list(read_capture([path]))
    assert [i.venue for i in items] == ["binance", "binanceusdm", "binance", "binanceusdm"]
    assert [i.kind for i in items] == [Kind.FRAME, Kind.FRAME, Kind.REST, Kind.REST]
    assert [i.instrument for i in items[2:]] == ["BTC/USDT", "BTC/USDT:USDT"]


def test_a_futures_book_without_a_time_belongs_to_the_only_deltas_of_its_file(tmp_path):
    book = '{"lastUpdateId":2,"bids":[["100","1"]],"asks":[]}'
    delta = LINEAR % ("btcusdt", 1, 2, 0, "100")
    for name, rows in (("before", (book, delta)), ("after", (delta, book))):
        path = write(tmp_path, name, *(f"{ns(n)} {row}" for n, row in enumerate(rows)))
        found = {(i.venue, i.instrument) for i in read_capture([path])}
        assert found == {("binanceusdm", "BTC/USDT:USDT")}


def test_raw_quotes_of_spot_are_told_from_those_of_futures(tmp_path):
    spot = '{"u":5,"s":"BTCUSDT","b":"100.0","B":"1","a":"101.0","A":"1"}'
    path = write(
        tmp_path, "raw", f"{ns(0)} {LINEAR % ('btcusdt', 1, 2, 0, '100')}", f"{ns(1)} {spot}"
    )
    assert [i.venue for i in read_capture([path])] == ["binanceusdm", "binance"]


def test_a_futures_delta_that_lost_its_pu_is_no_spot_delta(tmp_path):
    damaged = (LINEAR % ("btcusdt", 3, 4, 2, "100")).replace('"pu":2,', "")
    path = write(
        tmp_path, "a", f"{ns(0)} {LINEAR % ('btcusdt', 1, 2, 0, '100')}", f"{ns(1)} {damaged}"
    )
    assert {i.venue for i in read_capture([path])} == {"binanceusdm"}


def test_symbols_that_are_not_ascii_are_instruments_too(tmp_path):
    row = (SPOT % (1, 2)).replace("btcusdt", "币安人生usdt").replace("BTCUSDT", "币安人生USDT")
    (item,) = read_capture([write(tmp_path, "a", f"{ns(0)} {row}")])
    assert (item.venue, item.instrument) == ("binance", "币安人生/USDT")


def test_an_explicit_venue_overrides(tmp_path):
    path = write(tmp_path, "a", f"{ns(0)} {SPOT % (1, 2)}")
    (item,) = read_capture([path], "binanceusdm")
    assert (item.venue, item.instrument) == ("binanceusdm", "BTC/USDT:USDT")
    with pytest.raises(ConfigError, match="no venue 'foo'; there are: binance,"):
        read_capture([path], "foo")


def test_urls_tell_the_venue_and_books_the_instrument(tmp_path):
    depth = "https://fapi.binance.com/fapi/v1/depth?symbol=AKROUSDT&limit=1000"
    paths = [
        write(
            tmp_path, "X.http.0.0", f'{depth} -> {T0}.5: {{"lastUpdateId":1,"bids":[],"asks":[]}}'
        ),
        write(
            tmp_path,
            "X.ws.1.0",
            f"wss://fstream.binance.com/stream?streams=akrousdt@depth <-> {T0}.0",
            f'{T0}.7: {{"stream":"akrousdt@trade","data":{{}}}}',
        ),
    ]
    opened, rest, frame = read_capture(paths)
    assert (opened.kind, opened.connection) == (Kind.OPENED, 1)
    assert (rest.kind, rest.venue, rest.instrument) == (Kind.REST, "binanceusdm", "AKRO/USDT:USDT")
    assert (frame.venue, frame.instrument, frame.connection) == ("binanceusdm", "AKRO/USDT:USDT", 1)


def test_recorded_metadata_tells_spellings_that_quotes_alone_do_not(tmp_path):
    info = {"symbols": [{"symbol": "AQQQ", "baseAsset": "A", "quoteAsset": "QQQ"}]}
    paths = [
        write(
            tmp_path,
            "X.0",
            f"https://api.binance.com/api/v3/exchangeInfo -> {T0}.0: {json.dumps(info)}",
        ),
        write(
            tmp_path,
            "X.ws.1",
            f"wss://stream.binance.com:9443/stream <-> {T0}.1",
            f'{T0}.2: {{"stream":"aqqq@trade","data":{{}}}}',
        ),
    ]
    assert survey(paths).instruments == {"binance": ["A/QQQ"]}


def test_a_venue_nobody_speaks_is_none(tmp_path):
    path = write(tmp_path, "a", f"wss://api.bitfinex.com/ws/2 <-> {T0}.0", f'{T0}.1: {{"x":1}}')
    assert survey([path]).unknown_urls == ["wss://api.bitfinex.com/ws/2"]


def test_nameless_books_find_their_instrument_by_price_and_ids(tmp_path):
    lines = [
        f"{ns(0)} {LINEAR % ('btcusdt', 10, 20, 5, '61000.1')}",
        f"{ns(1)} {LINEAR.replace('BTCUSDT', 'ETHUSDT') % ('ethusdt', 21, 25, 4, '2500.5')}",
        f'{ns(2)} {{"lastUpdateId":22,"E":1,"bids":[["2501","1"]],"asks":[]}}',
        f'{ns(3)} {{"lastUpdateId":22,"E":1,"bids":[["61010","1"]],"asks":[]}}',
    ]
    items = list(read_capture([write(tmp_path, "a", *lines)]))
    assert [i.instrument for i in items[2:]] == ["ETH/USDT:USDT", "BTC/USDT:USDT"]


def test_a_nameless_book_far_into_a_file_finds_an_instrument_that_came_late(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.capture.reader.PROBE_LINES", 2)
    eth = LINEAR.replace("BTCUSDT", "ETHUSDT")
    lines = [
        *(f"{ns(n)} {LINEAR % ('btcusdt', n, n, n - 1, '61000.1')}" for n in range(5)),
        f"{ns(5)} {eth % ('ethusdt', 21, 25, 4, '2500.5')}",
        f'{ns(6)} {{"lastUpdateId":22,"E":1,"bids":[["2501","1"]],"asks":[]}}',
    ]
    *_, book = read_capture([write(tmp_path, "a", *lines)])
    assert book.instrument == "ETH/USDT:USDT"


def test_a_file_given_by_two_names_is_read_once(tmp_path, monkeypatch):
    path = write(tmp_path, "a", f"{ns(0)} {SPOT % (1, 2)}")
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert [i.path for i in read_capture([path, "a", tmp_path / "link"])] == [str(path)]


def test_a_byte_order_mark_and_lines_of_blanks_say_nothing(tmp_path):
    path = write(
        tmp_path, "a", f"\ufeff{ns(0)} {SPOT % (1, 2)}", "  \t", f"{ns(1)} {SPOT % (3, 4)}"
    )
    assert [(i.kind, i.line) for i in read_capture([path])] == [(Kind.FRAME, 1), (Kind.FRAME, 3)]


def test_files_merge_by_time_in_any_order_and_once(tmp_path):
    first = write(tmp_path, "a", *(f"{ns(n)} {SPOT % (n, n)}" for n in (0, 3, 6)))
    second = write(tmp_path, "b", *(f"{ns(n)} {SPOT % (n, n)}" for n in (1, 2, 7)))
    for paths in ([first, second], [second, first, second]):
        seconds = [item.ts_recv_ns // SECOND - T0 for item in read_capture(paths)]
        assert seconds == [0, 1, 2, 3, 6, 7]


def test_lines_of_one_file_keep_their_order_even_out_of_time(tmp_path):
    path = write(tmp_path, "a", *(f"{ns(n)} {SPOT % (n, n)}" for n in (0, 5, 2, 6)))
    other = write(tmp_path, "b", f"{ns(3)} {SPOT % (9, 9)}")
    items = [i for i in read_capture([path, other]) if i.path == str(path)]
    assert [i.line for i in items] == [1, 2, 3, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_of_either_kind(tmp_path, end):
    path = write(tmp_path, "a.gz", f"{ns(0)} {SPOT % (1, 2)}", f"{ns(1)} {SPOT % (3, 4)}", end=end)
    items = list(read_capture([path]))
    assert [i.payload for i in items] == [(SPOT % (1, 2)).encode(), (SPOT % (3, 4)).encode()]


def test_truncated_gzip_gives_the_whole_lines_and_a_fault(tmp_path):
    whole = write(
        tmp_path,
        "a.gz",
        *(f"{ns(n)} {SPOT % (n, random.Random(n).randrange(10**9))}" for n in range(3000)),
    )
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole.read_bytes()[:-2000])
    *items, fault = read_capture([cut])
    assert fault.kind is Kind.FAULT and "truncated" in fault.reason
    assert len(items) > 1000 and fault.line == len(items) + 1


def test_broken_gzip_is_a_fault(tmp_path):
    data = bytearray(
        gzip.compress("\n".join(f"{ns(n)} {SPOT % (n, n)}" for n in range(3000)).encode())
    )
    data[len(data) // 2 :] = b"\xff" * (len(data) // 2)
    path = tmp_path / "a.gz"
    path.write_bytes(data)
    assert "broken" in list(read_capture([path]))[-1].reason


def test_several_gzip_members_are_one_file(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(
        b"".join(gzip.compress(f"{ns(n)} {SPOT % (n, n)}\n".encode()) for n in range(3))
    )
    assert [i.line for i in read_capture([path])] == [1, 2, 3]


def test_unreadable_lines_are_faults_and_reading_goes_on(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(
        f"{ns(0)} {SPOT % (1, 2)}\n".encode()
        + b"\xff\xfe not a line\n12x45 {}\n"
        + f"{ns(1)} {SPOT % (3, 4)}\n".encode()
    )
    assert [i.kind for i in read_capture([path])] == [
        Kind.FRAME,
        Kind.FAULT,
        Kind.FAULT,
        Kind.FRAME,
    ]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"hello\nworld\n", b"{}\n", b"\xff\xfe\x00"])
def test_what_is_no_capture_is_the_users_mistake(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"notes\.txt is not a capture"):
        read_capture([path])


def test_missing_files_and_folders_are_the_users_mistake(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        read_capture([tmp_path / "none"])
    with pytest.raises(ConfigError, match="is a directory"):
        read_capture([tmp_path])


def test_spaces_between_tokens_do_not_matter() -> None:
    spaced = b'{"stream": "a@depth", "data": {"e": "depthUpdate", "b": [["0.10", "1, 2: 3"]]}}'
    dense = b'{"stream":"a@depth","data":{"e":"depthUpdate","b":[["0.10","1, 2: 3"]]}}'
    assert parse_line(b"1723161253937085768 " + spaced).payload == dense
    assert parse_line(b"1723161253937085768 " + dense).payload == dense
    cut_off = parse_line(b"1723161253937085768 " + spaced[:50]).payload
    assert cut_off == b'{"stream":"a@depth","data":{"e":"depthUpdate",'
