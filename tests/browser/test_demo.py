"""The page on the dashboard of a running demo: real processes, real commands."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.browser.conftest import OpenScreen
from tests.browser.test_pages import PAGES, open_a_detail
from tests.support import ROOT, eventually_sync

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/#token=(\S+)")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, str]]:
    """Run a demo with its dashboard; give its process id, address and the operator's token."""
    said = tmp_path_factory.mktemp("demo") / "said"
    with said.open("wb") as file:
        command = (sys.executable, "-m", "services.cli.main", "demo", "--web")
        running = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        found = eventually_sync(
            lambda: address_of(said, running), timeout_s=60, what="the address of the dashboard"
        )
        yield running.pid, found[1], found[2]
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(90)


def address_of(said: Path, running: subprocess.Popen[bytes]) -> re.Match[str] | None:
    text = said.read_text()
    assert running.poll() is None, text
    return ADDRESS.search(text)


def dashboard_of(pid: int) -> psutil.Process | None:
    """Return the dashboard's process among a demo's."""
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "services.dashboard" in process.cmdline():
                return process
    return None


def test_every_page_shows_a_running_demo_and_commands_are_confirmed(
    open_screen: OpenScreen, demo: tuple[int, str, str]
) -> None:
    pid, url, token = demo
    screen = open_screen(url)
    screen.go(f"{url}/#token={token}")
    screen.see("ACTIVE", "header")
    for name in PAGES:
        screen.open(name)
        open_a_detail(screen)
        assert screen.overflow_px() <= 0, name
    assert not screen.errors + screen.crashes
    assert screen.hosts == {url.removeprefix("http://")}

    screen.page.click("header button.halt")
    screen.see("confirmed by risk: HALTED", "header")
    screen.page.click("text=RESUME…")
    screen.page.fill("input[name=typed]", "ACTIVE")
    screen.page.get_by_role("button", name="Resume trading").click()
    screen.see("confirmed by risk: ACTIVE", "header")
    screen.page.click("text=FLATTEN…")
    screen.page.fill("input[name=typed]", "FLATTEN")
    screen.page.get_by_role("button", name="Flatten everything").click()
    screen.see("confirmed by risk: HALTED", "header")
    screen.open("audit")
    for action in ("halt", "resume", "flatten"):
        assert screen.page.locator("td[data-name=Action]", has_text=action).count()

    was = eventually_sync(lambda: dashboard_of(pid))
    os.kill(was.pid, signal.SIGSTOP)
    screen.see("STALE", ".banner")
    os.kill(was.pid, signal.SIGKILL)
    eventually_sync(lambda: (now := dashboard_of(pid)) and now.pid != was.pid, timeout_s=30)
    screen.see("The dashboard was started again, which ends all sessions")
    screen.go(f"{url}/#token={token}")
    screen.see("HALTED", "header")
    assert not screen.crashes
