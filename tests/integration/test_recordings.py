"""Feeds, books and `arb verify` on what real exchanges sent."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from services.cli.verdict import State
from services.cli.verification import verify_paths
from shared.capture import Kind, read_capture
from shared.domain.book import Book
from shared.messages.base import BookState, Side
from shared.messages.market import BookDelta, BookSnapshot, Funding, Mark, Trade, TradesMissed
from shared.strategies.features.bars import BarBuilder
from shared.venues.binance.feed import FEED as SPOT
from shared.venues.binance.session import StreamSession
from shared.venues.binanceusdm.feed import DIALECT as FUTURES_DIALECT
from shared.venues.binanceusdm.feed import FEED as FUTURES
from shared.venues.kraken.session import KrakenSession
from shared.venues.port import BookStatus, Checked, Emit

pytestmark = pytest.mark.recorded

KRAKEN_BOOKS = 10
KRAKEN_UPDATES = 4269


def hft(recorded: Path, name: str) -> Path:
    return recorded / "hftbacktest" / name


def capture_set(recorded: Path, name: str) -> list[Path]:
    return sorted((recorded / "cryptofeed").glob(f"{name}.*"))


def rows_of(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


# --- whole recordings


@pytest.mark.parametrize(
    ("name", "deltas", "oracle"),
    [
        ("spot_btcusdt_20240808.gz", 3451, 564),
        ("usdm_btcusdt_20240808.gz", 6551, 629),
        ("usdm_btcusdt_20230404.dat.gz", 4322, 310),
    ],
)
def test_raw_frames_are_right(recorded, name, deltas, oracle):
    report = verify_paths([hft(recorded, name)])
    (book,) = report.books
    assert report.ok and book.state is State.LIVE
    assert (book.snapshots, book.deltas, book.applied + book.dropped_stale) == (1, deltas, deltas)
    assert (book.oracle.checked, book.oracle.equal) == (oracle, oracle)


@pytest.mark.parametrize(
    ("name", "venue", "deltas"),
    [("BINANCE", "binance", 177), ("BINANCE_FUTURES", "binanceusdm", 764)],
)
def test_capture_sets_are_right_in_any_order(recorded, name, venue, deltas):
    paths = capture_set(recorded, name)
    report = verify_paths(paths)
    assert report.ok and len(report.books) == 4
    assert {(b.venue, b.snapshots, b.gaps_total) for b in report.books} == {(venue, 1, 0)}
    assert sum(book.deltas for book in report.books) == deltas
    assert verify_paths(paths[::-1]) == report


def test_gate_books_join_their_snapshots(recorded):
    report = verify_paths(capture_set(recorded, "GATEIO"))
    assert report.ok and len(report.books) == 10
    assert {(b.venue, b.snapshots, b.gaps_total) for b in report.books} == {("gateio", 1, 0)}
    assert sum(book.deltas for book in report.books) == 172
    # Two have no delta after their snapshot.
    assert sum(book.applied > 0 for book in report.books) == 8


def test_kucoin_joins_and_agrees_with_its_tickers(recorded):
    report = verify_paths(capture_set(recorded, "KUCOIN"))
    assert report.ok and len(report.books) == 9
    assert {(b.venue, b.snapshots, b.gaps_total) for b in report.books} == {("kucoin", 1, 0)}
    assert sum(book.deltas for book in report.books) == 3_853
    assert all(b.applied + b.dropped_stale == b.deltas and b.applied for b in report.books)
    assert all(b.oracle.checked and b.oracle.equal == b.oracle.checked for b in report.books)


def test_bitstamp_joins_and_is_unproved(recorded):
    report = verify_paths(capture_set(recorded, "BITSTAMP"))
    assert report.ok and len(report.books) == 10
    assert {book.state for book in report.books} == {State.UNPROVED}
    assert sum(book.deltas for book in report.books) == 717
    joined = [book for book in report.books if book.applied]
    assert len(joined) == 9
    assert all(2 <= book.dropped_stale <= 25 for book in joined)
    (quiet,) = (book for book in report.books if not book.applied)
    assert quiet.instrument == "SGB/EUR" and "no change came after its snapshot" in quiet.why


def test_okx_proves_every_checksum_and_names_the_line_of_any_that_fails(recorded, tmp_path):
    report = verify_paths(capture_set(recorded, "OKX"))
    assert report.ok and len(report.books) == 3
    assert (sum(b.checksums.ok for b in report.books), sum(b.deltas for b in report.books)) == (
        290,
        287,
    )
    assert all(b.applied == b.deltas and not b.checksums.failed for b in report.books)
    rows = rows_of(recorded / "cryptofeed" / "OKX.ws.1.0.gz")
    updates = [n for n, row in enumerate(rows) if '"update"' in row and '"BTC-USDT"' in row]
    path = tmp_path / "OKX.ws.1.0"
    for at in random.Random(5).sample(range(len(updates) - 1), 12):
        number = updates[at]
        broken = re.sub(
            r'"checksum":(-?\d+)', lambda told: f'"checksum":{int(told[1]) ^ 1}', rows[number]
        )
        lost = [*rows[:number], *rows[number + 1 :]]
        changed = [*rows[:number], broken, *rows[number + 1 :]]
        for lines, expected in ((changed, number + 1), (lost, updates[at + 1])):
            path.write_text("\n".join(lines) + "\n")
            (book,) = (b for b in verify_paths([path]).books if b.instrument == "BTC/USDT")
            assert book.state is State.GAP
            assert [found.line for found in book.checksums.failed_at] == [expected], (at, number)


def test_the_second_day_needs_the_first(recorded):
    first, second = (
        hft(recorded, "spot_btcusdt_20240808.gz"),
        hft(recorded, "spot_btcusdt_20240809.gz"),
    )
    (alone,) = verify_paths([second]).books
    assert alone.state is State.NOT_SYNCED and alone.applied == 0
    report = verify_paths([second, first])
    assert report.ok and report.books[0].deltas == 3451 + 3044


def test_two_venues_on_one_clock(recorded):
    report = verify_paths(
        [hft(recorded, "usdm_btcusdt_20240808.gz"), hft(recorded, "spot_btcusdt_20240808.gz")]
    )
    assert report.ok
    assert [(b.venue, b.instrument) for b in report.books] == [
        ("binance", "BTC/USDT"),
        ("binanceusdm", "BTC/USDT:USDT"),
    ]


def test_coin_margined_futures_are_read_by_the_futures_rules(recorded):
    report = verify_paths([hft(recorded, "cm_btcusd_perp_20240808.gz")])
    (book,) = report.books
    assert report.ok and (book.venue, book.instrument) == ("binancecoinm", "BTC/USD:BTC")
    assert book.oracle.checked == book.oracle.equal > 1000


def test_the_spot_rule_does_not_hold_on_futures(recorded):
    report = verify_paths([hft(recorded, "usdm_btcusdt_20230404.dat.gz")], venue="binance")
    assert not report.ok and report.books[0].gaps_total > 1000


def test_funding_is_read_once_a_second(recorded):
    found = messages_of(
        hft(recorded, "usdm_btcusdt_20230404.dat.gz"), FUTURES, "BTC/USDT:USDT", Funding
    )
    marks = messages_of(
        hft(recorded, "usdm_btcusdt_20230404.dat.gz"), FUTURES, "BTC/USDT:USDT", Mark
    )
    assert len(found) == len(marks) == 99
    assert [m.mark_price for m in marks] == [f.mark_price for f in found]
    assert found[-1].rate == 2.754e-5  # one second before it settled, at 2.760e-5
    assert {f.ts_funding_ns for f in found} == {1680652800 * 10**9}
    assert all(abs(f.rate) < 0.001 for f in found)


def messages_of(path: Path, feed, instrument: str, kind: type) -> list:
    """What a recording says of one instrument, by the feed's own session."""
    (connection,) = feed.connections(feed.venue, [instrument])
    return said_in(connection.session, path, kind)


def said_in(session, path: Path, kind: type) -> list:
    return [
        effect.message
        for item in read_capture([path])
        if item.kind is Kind.FRAME
        for effect in session.on_frame(item.payload, item.ts_recv_ns)
        if isinstance(effect, Emit) and isinstance(effect.message, kind)
    ]


@pytest.mark.parametrize(
    ("name", "feed", "instrument", "count"),
    [
        ("spot_btcusdt_20240808.gz", SPOT, "BTC/USDT", 9_757),
        ("usdm_btcusdt_20240808.gz", FUTURES, "BTC/USDT:USDT", 21_313),
        ("usdm_btcusdt_20230404.dat.gz", FUTURES, "BTC/USDT:USDT", 2_197),
    ],
)
def test_every_trade_is_read_and_none_is_missing(recorded, name, feed, instrument, count):
    path = hft(recorded, name)
    trades = messages_of(path, feed, instrument, Trade)
    assert len(trades) == len({t.trade_id for t in trades}) == count
    assert {t.trades for t in trades} == {1}
    assert messages_of(path, feed, instrument, TradesMissed) == []


def test_trades_belong_to_a_minute_by_the_venues_time(recorded):
    trades = messages_of(hft(recorded, "spot_btcusdt_20240808.gz"), SPOT, "BTC/USDT", Trade)
    start_ns, end_ns = (1723161300 * 10**9, 1723161360 * 10**9)
    by_venue = [t for t in trades if start_ns <= t.ts_venue_ns < end_ns]
    prices = [t.price for t in by_venue]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (
        61828.0,
        61860.8,
        61780.0,
        61782.25,
    )
    assert len(by_venue) == 1_255
    assert round(sum(t.qty for t in by_venue), 5) == 15.07702
    assert round(sum(t.qty for t in by_venue if t.side is Side.BUY), 5) == 6.63029
    assert sum(start_ns <= t.ts_recv_ns < end_ns for t in trades) == 1_271


def test_bars_of_a_recording(recorded):
    bars = bars_of(messages_of(hft(recorded, "spot_btcusdt_20240808.gz"), SPOT, "BTC/USDT", Trade))
    (bar,) = (bar for bar in bars if bar.start_ns == 1723161300 * 10**9)
    assert (bar.open, bar.high, bar.low, bar.close) == (61828.0, 61860.8, 61780.0, 61782.25)
    assert (round(bar.volume, 5), round(bar.buy_volume, 5)) == (15.07702, 6.63029)
    assert (bar.trades, bar.complete) == (1_255, True)
    assert [bar.complete for bar in bars] == [False] + [True] * 6, "the first one began before"


def test_bars_of_inverse_contracts(recorded):
    """83,241 contracts of 100 USD: base units by each trade's own price."""
    path = hft(recorded, "cm_btcusd_perp_20240808.gz")
    session = StreamSession("binancecoinm", FUTURES_DIALECT, {}, {"BTCUSD_PERP": "BTC/USD:BTC"})
    bars = bars_of(said_in(session, path, Trade), inverse_contract=100.0)
    base, quote = sum(b.volume for b in bars), sum(b.quote_volume for b in bars)
    assert quote == 8_324_100.0
    assert (round(base, 6), round(quote / base, 4)) == (134.944026, 61_685.5762)


def bars_of(trades: list[Trade], **more) -> list:
    """The minutes of a recording, with every trade in time."""
    builder, bars = BarBuilder(60 * 10**9, 2 * 10**9, **more), []
    for trade in trades:
        bars += builder.on_trade(trade, trade.ts_recv_ns)
    assert builder.late == builder.repeated == builder.ahead == 0
    last = builder.on_timer(trades[-1].ts_venue_ns + 62 * 10**9)
    return bars + [bar for bar in last if not bar.is_empty]


def test_receive_time_before_exchange_time_is_neither_clamped_nor_refused(recorded):
    path = hft(recorded, "spot_btcusdt_20240808.gz")
    ages = []
    for item in read_capture([path]):
        if b"@depth" in item.payload[:40]:
            ages.append(item.ts_recv_ns - json.loads(item.payload)["data"]["E"] * 10**6)
    assert max(ages) < -1_000_000_000


# --- damaged copies


MUTANTS = ("usdm_btcusdt_20230404.dat.gz", "spot_btcusdt_20240808.gz")


@pytest.fixture(scope="module", params=MUTANTS)
def source(request, recorded) -> tuple[list[str], list[int]]:
    """The lines of a recording, and the indices of its deltas well after the snapshot."""
    rows = rows_of(hft(recorded, request.param))
    snapshot = next(n for n, row in enumerate(rows) if '"stream"' not in row)
    return rows, [n for n, row in enumerate(rows) if "@depth" in row and n > snapshot + 50]


def verdict(folder: Path, rows: list[str]):
    path = folder / "mutant.txt"
    path.write_text("\n".join(rows) + "\n")
    report = verify_paths([path])
    return report, report.books[0]


def test_several_deleted_deltas_are_each_on_their_line(source, tmp_path):
    rows, deltas = source
    gone = sorted(random.Random(7).sample(deltas[1:-1:3], 4))  # no two next to each other
    left = [row for n, row in enumerate(rows) if n not in gone]
    report, book = verdict(tmp_path, left)
    wanted = []
    for before, n in enumerate(gone, 1):
        follower = next(d for d in deltas if d > n)
        wanted.append(follower + 1 - before)
    assert not report.ok and [gap.line for gap in book.gaps] == wanted
    assert book.state is State.GAP


def test_a_swap_is_a_gap(source, tmp_path):
    rows, deltas = list(source[0]), source[1]
    a, b = deltas[100], deltas[101]
    rows[a], rows[b] = rows[b], rows[a]
    report, book = verdict(tmp_path, rows)
    assert not report.ok and [gap.line for gap in book.gaps] == [a + 1]


def test_a_duplicate_changes_nothing_but_the_count(source, tmp_path):
    rows, deltas = source
    n = deltas[100]
    whole, original = verdict(tmp_path, rows)
    report, book = verdict(tmp_path, [*rows[: n + 1], rows[n], *rows[n + 1 :]])
    assert whole.ok and report.ok
    assert (book.dropped_stale, book.applied) == (original.dropped_stale + 1, original.applied)
    assert book.oracle == original.oracle and book.best_bid == original.best_bid


def test_a_truncated_line_is_one_error_and_a_gap(source, tmp_path):
    rows, deltas = list(source[0]), source[1]
    n = deltas[100]
    rows[n] = rows[n][: len(rows[n]) // 3]
    report, book = verdict(tmp_path, rows)
    assert [problem.line for problem in report.parse_errors] == [n + 1]
    assert [gap.line for gap in book.gaps] == [deltas[101] + 1]


def test_a_false_quote_breaks_the_oracle(source, tmp_path):
    rows, deltas = list(source[0]), source[1]
    ids = {json.loads(rows[n].split(" ", 1)[1])["data"]["u"] for n in deltas[:1000]}
    for n, row in enumerate(rows):
        if "@bookTicker" in row and json.loads(row.split(" ", 1)[1])["data"]["u"] in ids:
            head, _, tail = row.partition('"B":"')
            rows[n] = f'{head}"B":"9{tail}'
            break
    report, book = verdict(tmp_path, rows)
    assert not report.ok and book.state is State.LIVE
    assert book.oracle.checked - book.oracle.equal == 1


def test_windows_line_ends(source, tmp_path):
    path = tmp_path / "crlf.txt"
    path.write_bytes("\r\n".join(source[0]).encode())
    assert verify_paths([path]).ok


def test_a_truncated_gzip_is_reported(recorded, tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(hft(recorded, MUTANTS[0]).read_bytes()[:-5000])
    report = verify_paths([path])
    (problem,) = report.parse_errors
    assert not report.ok and "truncated" in problem.reason and problem.line > 1000


# --- Kraken's checksum, on the version 1 recording said in version 2's words


def version_2(recorded: Path):
    """Yield (line, symbol, frame): prices and quantities become bare numbers, text unchanged."""
    for item in read_capture([recorded / "cryptofeed" / "KRAKEN.ws.50.0.gz"], "kraken"):
        if item.kind is not Kind.FRAME or not item.payload.startswith(b"["):
            continue
        # One update may carry asks and bids as two objects; only the last has the checksum.
        _, *parts, _, symbol = json.loads(item.payload)
        merged = {key: value for part in parts for key, value in part.items()}
        is_whole = "as" in merged
        sides = {
            "bids": merged.get("bs" if is_whole else "b", []),
            "asks": merged.get("as" if is_whole else "a", []),
        }
        levels = {
            side: ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty, *_ in entries)
            for side, entries in sides.items()
        }
        checksum = f',"checksum":{merged["c"]}' if "c" in merged else ""
        frame = (
            f'{{"channel":"book","type":"{"snapshot" if is_whole else "update"}","data":[{{'
            f'"symbol":"{symbol}","bids":[{levels["bids"]}],"asks":[{levels["asks"]}]{checksum}}}]}}'
        )
        yield item.ts_recv_ns, symbol, frame.encode()


def test_every_recorded_checksum_verifies(recorded):
    frames = list(version_2(recorded))
    symbols = sorted({symbol for _, symbol, _ in frames})
    session = KrakenSession("kraken", {symbol: symbol for symbol in symbols}, 1000)
    session.on_open(0)
    books = {symbol: Book(1000) for symbol in symbols}
    checked: list[bool | None] = []
    for now_ns, _, frame in frames:
        for effect in session.on_frame(frame, now_ns):
            if isinstance(effect, Checked):
                checked.append(effect.ok)
            elif isinstance(effect, Emit) and isinstance(effect.message, BookSnapshot):
                books[effect.message.instrument].replace(effect.message.bids, effect.message.asks)
            elif isinstance(effect, Emit) and isinstance(effect.message, BookDelta):
                books[effect.message.instrument].apply(effect.message.bids, effect.message.asks)
    assert len(symbols) == KRAKEN_BOOKS
    assert (checked.count(True), checked.count(False)) == (KRAKEN_UPDATES, 0)
    assert not any(book.is_crossed() for book in books.values())


def test_a_lost_update_fails_the_checksum_and_a_new_snapshot_heals(recorded):
    frames = [(now, frame) for now, symbol, frame in version_2(recorded) if symbol == "XMR/USD"]
    session = KrakenSession("kraken", {"XMR/USD": "XMR/USD"}, 1000)
    session.on_open(0)
    snapshot = frames[0][1]
    states: list[BookState] = []
    for n, (now_ns, frame) in enumerate([*frames[:40], *frames[41:80], (frames[80][0], snapshot)]):
        for effect in session.on_frame(frame, now_ns + n):
            if isinstance(effect, BookStatus):
                states.append(effect.state)
    assert states == [BookState.LIVE, BookState.GAP, BookState.LIVE]


@pytest.fixture
def kraken_capture(recorded, tmp_path):
    """Write the translation as a capture set; ``damage`` may change a frame by its number."""

    def write(damage=lambda number, frame: frame) -> Path:
        path = tmp_path / "KRAKEN.ws.1.0"
        with path.open("wb") as file:
            file.write(b"wss://ws.kraken.com/v2 <-> 1618678132.3\n")
            for number, (now_ns, _, frame) in enumerate(version_2(recorded)):
                seconds = f"{now_ns // 10**9}.{now_ns % 10**9:09}".encode()
                file.write(seconds + b": " + damage(number, frame) + b"\n")
        return path

    return write


def test_kraken_recordings_verify(kraken_capture):
    report = verify_paths([kraken_capture()])
    assert report.ok and len(report.books) == KRAKEN_BOOKS
    assert sum(book.checksums.ok for book in report.books) == KRAKEN_UPDATES
    assert {book.checksums.failed for book in report.books} == {0}
    assert {book.instrument for book in report.books} >= {"BTC/CHF", "KSM/BTC"}  # not XBT


def test_one_damaged_quantity_fails_one_book(kraken_capture):
    def damage(number: int, frame: bytes) -> bytes:
        return frame.replace(b'"qty":', b'"qty":1', 1) if number == 500 else frame

    report = verify_paths([kraken_capture(damage)])
    assert not report.ok
    wrong = [book for book in report.books if not book.is_sound]
    assert [(b.checksums.failed, b.state) for b in wrong] == [(1, State.GAP)]
    assert [at.line for at in wrong[0].checksums.failed_at] == [502]  # after the URL
    assert wrong[0].checksums.unchecked > 0
