"""Fixtures and markers of every test: what needs a machine's gift says so, and CI insists on it."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import shutil
import tempfile
from decimal import DefaultContext, setcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from shared.bus.keys import load_keys
from shared.config_sections import BusConfig
from tests.support import (
    data_dir,
    why_no_amtool,
    why_no_browser,
    why_no_containers,
    why_no_helm,
    why_no_promtool,
    why_no_recordings,
)

# There may be no registry to fetch testcontainers' reaper from; fixtures clean up by themselves.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
# The keys that processes of tests sign with are no user's; the workers of one run share them.
if "ARB_TEST_STATE" not in os.environ:
    os.environ["ARB_TEST_STATE"] = tempfile.mkdtemp(prefix="arb-test-")
    atexit.register(shutil.rmtree, os.environ["ARB_TEST_STATE"], ignore_errors=True)
os.environ["XDG_STATE_HOME"] = os.environ["ARB_TEST_STATE"]

# How long an example takes is the machine's affair.
settings.register_profile("arbstream", deadline=None)
settings.load_profile("arbstream")

NEEDS = {
    "recorded": why_no_recordings,
    "containers": why_no_containers,
    "promtool": why_no_promtool,
    "amtool": why_no_amtool,
    "browser": why_no_browser,
    "helm": why_no_helm,
}

RESEARCH = ("duckdb", "numba", "numpy", "pyarrow")
WITHOUT_RESEARCH = any(importlib.util.find_spec(name) is None for name in RESEARCH)
"""The extra is a part of the extra ``test``; an environment that was made before may lack it."""
if WITHOUT_RESEARCH and os.environ.get("CI", "").lower() == "true":
    raise pytest.UsageError("CI=true and the extra research is not installed: pip -e '.[test]'")
collect_ignore_glob = ["*/test_research_*.py"] if WITHOUT_RESEARCH else []

WITHOUT_TUI = importlib.util.find_spec("textual") is None
"""The same of the extra ``tui``."""
if WITHOUT_TUI and os.environ.get("CI", "").lower() == "true":
    raise pytest.UsageError("CI=true and the extra tui is not installed: pip -e '.[test]'")
collect_ignore_glob += ["*/test_top*.py"] if WITHOUT_TUI else []

if importlib.util.find_spec("matplotlib") is None and os.environ.get("CI", "").lower() == "true":
    raise pytest.UsageError("CI=true and the extra plot is not installed: pip -e '.[test]'")


GROUPS = {
    "tests/e2e/": "stacks",
    "tests/integration/test_helm_run.py": "stacks",
    "tests/integration/test_chaos.py": "chaos",
    "tests/browser/": "browser",
    "tests/integration/test_compose.py": "containers",
    "tests/integration/test_vps_recipe.py": "containers",
}
"""With several workers (pytest -n) one of them runs the tests of a group, one after another: stacks
of processes side by side would slow each other beyond what their tests wait for. By path, because
pytest-xdist 3.8's own groups (--dist loadgroup) do nothing under pytest 9."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker the next test, or the whole of a group; groups come first."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupsFirst(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((name for path, name in GROUPS.items() if nodeid.startswith(path)), nodeid)

    return GroupsFirst(config, log) if config.getoption("dist") == "load" else None


def pytest_configure(config: pytest.Config) -> None:
    """Show at once what failed: several workers print dots until the end."""
    load_keys("risk", BusConfig())  # so that they are there, whichever test is first
    if config.getoption("dist", "no") != "no":
        config.pluginmanager.register(_ShowsFailures(config))


class _ShowsFailures:
    """Names a failed test when it fails."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None and self._config.get_verbosity() <= 0:
            reporter.ensure_newline()
            reporter.write_line(f"FAILED {report.nodeid} ({report.when})", red=True)


_started_modules: set[str] = set()


def pytest_runtest_logstart(nodeid: str) -> None:
    """Set aside what is there before each module of tests.

    A worker comes to hold a gigabyte. A collection that looks through all of it takes a second of
    the processor, and code whose processor time is limited would be stopped for it.
    """
    module = nodeid.partition("::")[0]
    if module not in _started_modules:
        _started_modules.add(module)
        gc.collect()
        gc.freeze()


def pytest_report_header() -> list[str]:
    """Say what is left out."""
    left_out = {"test_research_*": WITHOUT_RESEARCH, "test_top*": WITHOUT_TUI}
    remedy = "are left out: pip install -c constraints.txt -e '.[test]'"
    return [f"{what} {remedy}" for what, is_left_out in left_out.items() if is_left_out]


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
