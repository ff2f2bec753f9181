"""The slope of a line, with noise, from where it started anew."""

from __future__ import annotations

import random

import pytest

from services.cli.trend import SAMPLES_MIN, Trend


def test_finds_the_slope_under_noise() -> None:
    draw, trend = random.Random(1), Trend()
    for t in range(1000):
        trend.add(1e9 + t, 50 + 0.25 * t + draw.uniform(-1, 1))
    assert trend.slope() == pytest.approx(0.25, abs=0.005)


def test_says_nothing_before_it_knows_and_forgets_on_restart() -> None:
    trend = Trend()
    for t in range(SAMPLES_MIN - 1):
        trend.add(t, t)
    assert trend.slope() is None
    trend.add(SAMPLES_MIN, SAMPLES_MIN)
    assert trend.slope() == pytest.approx(1.0)
    trend.restart()
    for t in range(SAMPLES_MIN):
        trend.add(t, 7.0)
    assert trend.slope() == pytest.approx(0.0)
