"""A network that changes while the page loads or works: what was cut off is asked again.

Chromium aborts the requests that wait for a connection when a network interface comes or goes, also
those to this machine itself. What is cut on a connection that was kept open Chromium repeats by
itself, a POST as well, so one cut is not enough.
"""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenScreen, Screen
from tests.browser.contract_server import STATIC, ContractServer
from tests.support import eventually_sync

pytestmark = pytest.mark.browser

CUTS = 2
ALWAYS = 10_000
FILES = sorted(
    f"/static/{path.relative_to(STATIC)}"
    for path in STATIC.rglob("*")
    if path.suffix in {".js", ".mjs", ".css"}
)
REQUESTS = [
    "POST /api/v1/session",
    "GET /api/v1/me",
    "GET /api/v1/live",
    "GET /api/v1/snapshot",
    "GET /api/v1/series",
    "GET /api/v1/chart",
]


def test_every_file_of_the_page_may_be_cut_off(
    open_screen: OpenScreen, server: ContractServer
) -> None:
    for path in FILES:
        server.cut["GET " + path] = CUTS
        screen = open_screen(server.url)
        screen.sign_in(name="charts")
        assert not +server.cut, path
        assert not screen.crashes, path
        open_screen.close()


def test_all_files_may_be_cut_off_at_once(server: ContractServer, screen: Screen) -> None:
    guard = "/static/js/guard.js"  # without it only a text is left: reload the page
    server.cut.update({"GET " + path: CUTS for path in FILES if path != guard})
    screen.sign_in()
    assert not screen.crashes


def test_a_file_that_never_arrives_is_named(server: ContractServer, screen: Screen) -> None:
    server.cut["GET /static/js/pages/plans.js"] = ALWAYS
    # The fourth load takes itself for the ninth: waiting for nine takes minutes.
    many = "if (history.state?.arbLoads > 2) history.replaceState({ arbLoads: 8 }, '')"
    screen.page.add_init_script(many)
    screen.go(f"{server.url}/#token=viewer-token")
    screen.see("Loading the page again: /static/js/pages/plans.js did not arrive.")
    screen.see("cannot be loaded: /static/js/pages/plans.js did not arrive in 9 tries")
    server.cut.clear()
    screen.page.click("text=Load the page again")
    screen.see("viewer: read-only")


def test_a_server_that_is_away_while_the_page_loads(server: ContractServer, screen: Screen) -> None:
    server.cut["GET /static/js/main.js"] = ALWAYS
    server.cut["GET /healthz"] = ALWAYS
    screen.go(f"{server.url}/#token=viewer-token")
    screen.see("The dashboard does not answer. Trying again")
    server.cut.clear()
    screen.see("viewer: read-only")


@pytest.mark.parametrize("request_name", REQUESTS)
def test_each_request_of_the_page_may_be_cut_off(
    server: ContractServer, screen: Screen, request_name: str
) -> None:
    server.cut[request_name] = CUTS
    if request_name.endswith("snapshot"):
        server.has_websocket = False
    screen.sign_in(name="charts")
    screen.page.wait_for_selector(".u-over")
    assert not +server.cut
    assert not screen.crashes


def test_a_sign_in_waits_for_a_server_that_is_away(server: ContractServer, screen: Screen) -> None:
    server.cut["POST /api/v1/session"] = ALWAYS
    screen.go(f"{server.url}/#token=operator-token")
    screen.see("The dashboard does not answer")
    server.cut.clear()
    screen.see("ACTIVE", "header")


def test_a_sign_out_that_did_not_arrive_is_said(server: ContractServer, screen: Screen) -> None:
    screen.sign_in()
    server.cut["DELETE /api/v1/session"] = ALWAYS
    screen.page.click("text=Sign out")
    screen.see("Not signed out: the dashboard does not answer. Try again.", ".banner")
    server.cut.clear()
    screen.page.click("text=Sign out")
    screen.see("Signed out.")


def test_a_channel_that_is_cut_comes_back(server: ContractServer, screen: Screen) -> None:
    screen.sign_in(name="books")
    server.cut["GET /api/v1/live"] = CUTS
    server.cut["GET /api/v1/me"] = CUTS
    server.kill()
    server.start()
    screen.page.wait_for_selector("header .light.good:has-text('live')")
    eventually_sync(lambda: not +server.cut)


def test_a_halt_that_did_not_arrive_is_said_not_to_be_sent(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in()
    server.cut["POST /api/v1/command"] = ALWAYS
    screen.page.click("header button:has-text('HALT')")
    screen.see("not sent: the connection was cut before the dashboard had it", "header")
    assert not server.commands


def test_a_halt_whose_answer_is_lost_is_asked_after_and_given_once(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in()
    server.cut_after["POST /api/v1/command"] = ALWAYS
    server.cut["GET /api/v1/command"] = CUTS
    screen.page.click("header button:has-text('HALT')")
    screen.see("confirmed by risk: HALTED", "header")
    assert server.commands == [{"action": "halt"}]


def test_a_halt_of_which_nothing_is_known_is_said_so(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in()
    server.cut_after["POST /api/v1/command"] = ALWAYS
    server.cut["GET /api/v1/command"] = ALWAYS
    screen.page.click("header button:has-text('HALT')")
    screen.see("no answer came back; asking what became of it", "header")
    screen.see("whether it was sent is not known. Look at the state", "header")
    assert server.commands == [{"action": "halt"}]
