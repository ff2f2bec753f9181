"""Kraken books out of recordings: depths nobody told, and numbers written anew."""

from __future__ import annotations

import json
from decimal import Decimal
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.verdict import State
from services.cli.verification import verify_paths
from shared.errors import ParseError
from shared.venues.kraken import parse

T0 = 1_767_225_600 * 10**9
CHECKED = 10


class Venue:
    """A book as Kraken keeps it: truncated to a depth, its checksum over padded numbers."""

    def __init__(self, depth, price_decimals=2, qty_decimals=8):
        self.depth, self.decimals = depth, (price_decimals, qty_decimals)
        self.sides = {"bids": {}, "asks": {}}

    def text(self, value, which):
        return f"{Decimal(value):.{self.decimals[which]}f}"

    def set(self, side, price, qty):
        """Change a level; return what is sent of it, and of levels that come back into sight."""
        before, price, qty = dict(self.top(side)), Decimal(price), Decimal(qty)
        self.sides[side][price] = qty
        if not qty:
            del self.sides[side][price]
        after = dict(self.top(side))
        rows = [(price, qty)] if price in before or price in after else []
        return rows + [(p, q) for p, q in after.items() if p not in before and p != price]

    def top(self, side, count=None):
        best = sorted(self.sides[side], reverse=side == "bids")
        return [(price, self.sides[side][price]) for price in best[: count or self.depth]]

    def checksum(self):
        digits = "".join(
            self.text(value, which).replace(".", "").lstrip("0")
            for side in ("asks", "bids")
            for row in self.top(side, CHECKED)
            for which, value in enumerate(row)
        )
        return crc32(digits.encode())

    def frame(self, kind, bids, asks, write):
        rows = {
            side: ",".join(
                f'{{"price":{write(self.text(p, 0))},"qty":{write(self.text(q, 1))}}}'
                for p, q in levels
            )
            for side, levels in (("bids", bids), ("asks", asks))
        }
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"ABC/USD","bids":[{rows["bids"]}],'
            f'"asks":[{rows["asks"]}],"checksum":{self.checksum()},'
            '"timestamp":"2026-01-01T00:00:00.100000Z"}]}'
        )


def as_sent(text):
    return text


def by_python(text):
    return json.dumps(float(text))


def by_javascript(text):
    value = Decimal(text).normalize()
    return f"{value:f}" if value == value.to_integral_value() else json.dumps(float(text))


WRITERS = [as_sent, by_python, by_javascript]


def recording(venue, changes, write, is_acknowledged=False):
    rows = []
    if is_acknowledged:
        result = {"channel": "book", "depth": venue.depth, "snapshot": True, "symbol": "ABC/USD"}
        rows.append(json.dumps({"method": "subscribe", "result": result, "success": True}))
    rows.append(venue.frame("snapshot", venue.top("bids"), venue.top("asks"), write))
    for side, price, qty in changes:
        sent = venue.set(side, price, qty)
        if sent:
            sides = {"bids": [], "asks": [], side: sent}
            rows.append(venue.frame("update", sides["bids"], sides["asks"], write))
    return rows


def verify(folder, rows):
    path = folder / "rec.txt"
    path.write_text("".join(f"{T0 + n * 10**7} {row}\n" for n, row in enumerate(rows)))
    return path, verify_paths([path])


def ladder(venue, bids, asks, scale=0):
    for n in range(bids):
        venue.set("bids", str((Decimal(100) - n * Decimal("0.5")).scaleb(scale)), "1.5")
    for n in range(asks):
        venue.set("asks", str((Decimal(101) + n * Decimal("0.5")).scaleb(scale)), "2")
    return venue


@pytest.mark.parametrize("depth", [10, 25, 100])
@pytest.mark.parametrize("levels", [(3, 1), (10, 10), (8, 0)])
@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_the_depth_is_not_guessed_from_a_thin_snapshot(
    tmp_path, depth, levels, write, is_acknowledged
):
    venue = ladder(Venue(depth), *levels)
    adds = [("bids", f"{90 - n}", "3") for n in range(20)]
    deletes = [("bids", price, "0") for price, _ in venue.top("bids")]
    rows = recording(venue, [*adds, *deletes], write, is_acknowledged)
    _, report = verify(tmp_path, rows)
    (book,) = report.books
    assert report.ok and book.state is State.LIVE
    frames = len(rows) - is_acknowledged
    assert (book.checksums.ok, book.checksums.failed, book.applied) == (frames, 0, frames - 1)
    assert book.best_bid == float(venue.top("bids")[0][0])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("scale", "decimals"), [(0, (2, 8)), (-7, (10, 5)), (4, (0, 8)), (4, (1, 0)), (0, (1, 4))]
)
def test_numbers_written_anew_get_their_zeros_back(tmp_path, write, scale, decimals):
    venue = Venue(10, *decimals)
    for n in range(8):
        venue.set("bids", str(Decimal(100 - n).scaleb(scale)), f"{n + 1}")
        venue.set("asks", str(Decimal(101 + n).scaleb(scale)), f"{n + 2}")
    changes = [("bids", str(Decimal(100).scaleb(scale)), f"{n + 5}") for n in range(5)]
    _, report = verify(tmp_path, recording(venue, changes, write))
    assert report.ok and report.books[0].checksums.ok == 6


def test_numbers_that_lost_more_than_zeros_are_said_to_be_unprovable(tmp_path):
    venue = Venue(10)
    for n in range(5):
        venue.set("bids", f"{100 - n}", f"{n}.12345678")
        venue.set("asks", f"{101 + n}", f"{n}.5")

    def rounded(text):
        return json.dumps(round(float(text), 3))

    changes = [("bids", "100", f"{n + 5}.5") for n in range(5)]
    path, report = verify(tmp_path, recording(venue, changes, rounded))
    (book,) = report.books
    assert report.ok and (book.state, book.applied) == (State.LIVE, 5)
    assert (book.checksums.ok, book.checksums.failed, book.checksums.unchecked) == (0, 0, 6)
    output = CliRunner().invoke(app, ["verify", str(path)]).output
    assert "6 checksums cannot be checked" in output


def test_a_wrong_level_is_still_a_failed_checksum(tmp_path):
    rows = recording(ladder(Venue(10), 9, 9), [("bids", "100", "7")], as_sent)
    rows[0] = rows[0].replace('"qty":1.50000000', '"qty":1.60000000', 1)
    assert "1.60000000" in rows[0]
    _, report = verify(tmp_path, rows)
    assert not report.ok and report.books[0].checksums.failed >= 1


@pytest.mark.parametrize("qty", [b"1e-400", b"1e30000", b"NaN", b"Infinity", b"-1", b'"x"'])
def test_numbers_no_market_has_are_refused(qty):
    with pytest.raises(ParseError):
        parse.parse_levels([parse.RawLevel(price=b"4.0", qty=qty)])
    (level,) = parse.parse_levels([parse.RawLevel(price=b"4.0", qty=b"0e999999999")])
    assert level == (4.0, 0.0, b"40")


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([10, 25, 100]),
    st.sampled_from(WRITERS),
    st.lists(
        st.tuples(st.sampled_from(["bids", "asks"]), st.integers(0, 39), st.integers(0, 3)),
        max_size=60,
    ),
    st.integers(1, 30),
)
def test_any_market_at_any_depth_is_proved(tmp_path_factory, depth, write, moves, levels):
    venue = ladder(Venue(depth), levels, max(1, levels // 2))
    changes = []
    held = {side: set(venue.sides[side]) for side in venue.sides}
    for side, place, qty in moves:
        step = place * Decimal("0.5")
        price = Decimal(100) - step if side == "bids" else Decimal(101) + step
        if qty or price in held[side]:
            changes.append((side, price, f"{qty}.25" if qty else "0"))
            held[side].add(price) if qty else held[side].discard(price)
    rows = recording(venue, changes, write)
    _, report = verify(tmp_path_factory.mktemp("rec"), rows)
    (book,) = report.books
    assert report.ok and book.state is State.LIVE and book.checksums.ok == len(rows)
    bids = venue.top("bids")
    assert book.best_bid == (float(bids[0][0]) if bids else None)
