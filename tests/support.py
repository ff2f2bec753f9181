"""Shared by tests: waiting for a condition, and telling what this machine offers."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib.util
import inspect
import os
import shutil
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
POLL_S = 0.01
ALERTMANAGER_TEMPLATES = "/usr/share/prometheus/alertmanager/default.tmpl"
"""Without these Debian's server does not start."""
PATIENCE, PATIENT_S = 3, 90
"""On a busy machine a test waits this many times as long, up to so many seconds: waiting longer
hides no fault, and a test states what must be fast by measuring it, not by its patience."""


def _deadline(timeout_s: float) -> float:
    return time.monotonic() + max(timeout_s, min(PATIENCE * timeout_s, PATIENT_S))


async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, timeout_s: float = 10.0, what: str = ""
) -> T:
    """Wait until ``condition`` (plain or async) is true and return its value.

    ``AssertionError`` inside the condition counts as "not yet", so a condition may assert. After
    ``timeout_s``, and some patience, the last one is raised, or one that says ``what`` was awaited.
    """
    deadline, last = _deadline(timeout_s), None
    while True:
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            raise last or AssertionError(f"not within {timeout_s} s: {what or condition}")
        await asyncio.sleep(POLL_S)


def eventually_sync(
    condition: Callable[[], T], *, timeout_s: float = 10.0, every_s: float = 0.05, what: str = ""
) -> T:
    """The same for tests without an event loop."""
    deadline, last = _deadline(timeout_s), None
    while True:
        try:
            if value := condition():
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            raise last or AssertionError(f"not within {timeout_s} s: {what or condition}")
        time.sleep(every_s)


def data_dir() -> Path:
    """Return where the recorded market data would be."""
    return Path(os.environ.get("ARB_DATA") or ROOT.parent / "shared" / "data")


def why_no_recordings() -> str:
    """Return why tests on recordings cannot run here; empty if they can."""
    if data_dir().is_dir():
        return ""
    return f"no recorded market data at {data_dir()}; set ARB_DATA to a folder that has it"


def why_no_promtool() -> str:
    """Return why tests with Prometheus and its promtool cannot run here; empty if they can."""
    missing = [name for name in ("prometheus", "promtool") if not shutil.which(name)]
    return f"there is no {missing[0]} (Debian's package prometheus)" if missing else ""


def why_no_amtool() -> str:
    """Return why tests with Alertmanager and its amtool cannot run here; empty if they can."""
    package = "Debian's package prometheus-alertmanager"
    missing = [name for name in ("prometheus-alertmanager", "amtool") if not shutil.which(name)]
    missing += [name for name in (ALERTMANAGER_TEMPLATES,) if not Path(name).exists()]
    return f"there is no {missing[0]} ({package})" if missing else ""


def why_no_helm() -> str:
    """Return why tests of the Helm chart cannot run here; empty if they can."""
    modules = ("helm_python", "kubernetes_validate")
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"there is no {missing[0]}; install the extra [helm]" if missing else ""


@functools.cache
def why_no_containers() -> str:
    """Return why container tests cannot run here; empty if they can."""
    try:
        import docker
        import docker.errors
    except ImportError:
        return "the docker package is missing; install the [test] extra"
    with warnings.catch_warnings():
        # docker 7 leaves its socket open where nothing listens: collected here, in no test.
        warnings.simplefilter("ignore", ResourceWarning)
        reason = _why_no_engine(docker)
        gc.collect()
    return reason


def _why_no_engine(docker: Any) -> str:
    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except docker.errors.DockerException as error:
        return f"no Docker engine answers: {str(error)[:120]}"
    return ""


CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Return the path of the Chromium that browser tests drive: ``ARB_CHROMIUM``, else of PATH."""
    chosen = os.environ.get("ARB_CHROMIUM")
    return chosen or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def why_no_browser() -> str:
    """Return why browser tests cannot run here; empty if they can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is missing; install the [browser] extra"
    return "" if find_chromium() else "there is no Chromium (Debian's package chromium)"
