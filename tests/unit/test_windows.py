"""Windows of time: what a text means, to the nanosecond, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.domain.windows import MINUTE_NS, window_of


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "moment", "left_minutes"),
    [
        ("06:00-08:00", "2026-11-27T06:00", 120),
        ("06:00-08:00", "2026-11-27T07:59", 1),
        ("06:00-08:00", "2026-11-27T08:00", 0),
        ("06:00-08:00", "2026-11-27T05:59", 0),
        ("23:30-00:15", "2026-11-27T23:45", 30),
        ("23:30-00:15", "2026-11-28T00:14", 1),
        ("23:30-00:15", "2026-11-28T00:15", 0),
        ("00:00-00:00", "2026-11-28T12:00", 720),
        ("Fri 06:00-08:00", "2026-11-27T07:00", 60),  # a Friday
        ("Fri 06:00-08:00", "2026-11-26T07:00", 0),
        ("Fri 06:00-08:00", "2026-11-28T07:00", 0),
        ("Wed 23:00-01:00", "2026-12-03T00:30", 30),  # into Thursday, where the week of UNIX begins
        ("Thu 06:00-08:00", "2026-12-03T07:30", 30),
        ("2026-12-01T06:00Z/2026-12-01T08:30Z", "2026-12-01T06:00", 150),
        ("2026-12-01T06:00Z/2026-12-01T08:30Z", "2026-12-01T08:30", 0),
        ("2026-12-01T06:00Z/2026-12-01T08:30Z", "2026-11-30T07:00", 0),
        ("2026-12-01T06:00Z/2026-12-01T08:30Z", "2026-12-08T07:00", 0),
        ("2028-02-29T23:00Z/2028-03-01T01:00Z", "2028-03-01T00:00", 60),
        ("1999-12-31T00:00Z/2100-03-01T00:00Z", "2100-02-28T00:00", 1440),
    ],
)
def test_how_long_a_window_lasts(text: str, moment: str, left_minutes: int) -> None:
    assert window_of(text).left_ns(at(moment)) == left_minutes * MINUTE_NS


def test_a_window_ends_to_the_nanosecond() -> None:
    window = window_of("06:00-08:00")
    assert window.left_ns(at("2026-11-27T08:00") - 1) == 1
    assert window.left_ns(at("2026-11-27T06:00") - 1) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "06:00",
        "6:00-8:00",
        "06:00-24:00",
        "06:60-08:00",
        "thu 06:00-08:00",
        "Thursday 06:00-08:00",
        " 06:00-08:00",
        "06:00-08:00\n",
        "2026-02-29T06:00Z/2026-03-01T08:30Z",
        "2100-02-29T06:00Z/2100-03-01T08:30Z",
        "2026-13-01T06:00Z/2027-01-01T08:30Z",
        "2026-12-01T08:00Z/2026-12-01T08:00Z",
        "2026-12-01T06:00/2026-12-01T08:30",
        "1969-12-01T06:00Z/2026-12-01T08:30Z",
    ],
)
def test_what_is_no_window_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no window of time in UTC; give one like 06:00-08:00"):
        window_of(text)
