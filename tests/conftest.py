"""Fixtures and markers of every test: what needs a machine's gift says so, and CI insists on it."""

from __future__ import annotations

import os
from decimal import DefaultContext, setcontext
from pathlib import Path

import pytest

from tests.support import data_dir, why_no_containers, why_no_recordings

# There may be no registry to fetch testcontainers' reaper from; fixtures clean up by themselves.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

NEEDS = {"recorded": why_no_recordings, "containers": why_no_containers}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip with the reason where something is missing; with CI=true that is a failure.

    Every test begins with Python's decimal context: a ccxt client in the test before changed it.
    """
    setcontext(DefaultContext.copy())
    for marker, why_not in NEEDS.items():
        if item.get_closest_marker(marker) is None or not (reason := why_not()):
            continue
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"CI=true and {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded market data; mark the test ``recorded`` as well."""
    if reason := why_no_recordings():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"CI=true and {reason}", pytrace=False)
        pytest.skip(reason)
    return data_dir()
