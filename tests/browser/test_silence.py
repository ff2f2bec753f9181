"""What the page says when it hears nothing, hears late, or hears old figures."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Screen
from tests.browser.contract_server import ContractServer, now_ms
from tests.support import eventually_sync

pytestmark = pytest.mark.browser


def set_bid(server: ContractServer, bid: str) -> None:
    row = server.topics["books"]["rows"]["binance|BTC/USDT"]
    row |= {"bid": bid, "as_of_ms": now_ms()}


def test_a_killed_server_is_stale_and_heals(server: ContractServer, screen: Screen) -> None:
    screen.sign_in(name="books")
    server.kill()
    screen.see("STALE", ".banner")
    assert screen.page.locator("main.stale").count() == 1
    set_bid(server, "64999.5")
    server.start()
    screen.see("64,999.50")
    screen.page.wait_for_selector(".banner", state="detached")
    assert not screen.crashes


def test_silence_is_stale_though_the_channel_is_open(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in(name="books")
    server.is_mute = True
    screen.see("STALE", ".banner")
    server.is_mute = False
    screen.page.wait_for_selector(".banner", state="detached")


def test_without_websockets_the_page_polls(server: ContractServer, screen: Screen) -> None:
    screen.sign_in(name="books")
    server.has_websocket = False
    server.kill()
    server.start()
    screen.see("No live channel")
    set_bid(server, "64888.5")
    screen.see("64,888.50")
    server.has_websocket = True
    screen.page.wait_for_selector(".banner", state="detached")


def test_a_session_that_is_over_leads_to_the_sign_in(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in()
    screen.page.context.clear_cookies()
    server.is_over = True
    server.kill()
    server.start()
    screen.see("The session is over: older than 12 hours; sign in again.")


def test_a_slow_machine_gets_fewer_frames_and_the_newest(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in(name="books")
    devtools = screen.page.context.new_cdp_session(screen.page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 20})
    for step in range(60):
        set_bid(server, f"{64_000 + step}.5")
        screen.page.wait_for_timeout(30)
    screen.see("64,059.50")
    acked = [said["n"] for said in server.received if said["type"] == "ack"]
    assert acked == sorted(set(acked))
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})


def test_a_hidden_tab_pauses(server: ContractServer, screen: Screen) -> None:
    screen.sign_in(name="books")
    hide = """(isHidden) => {
      Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    screen.page.evaluate(hide, True)
    eventually_sync(lambda: {"type": "pause"} in server.received)
    set_bid(server, "64777.5")
    screen.page.evaluate(hide, False)
    screen.see("64,777.50")
    assert {"type": "resume"} in server.received


def test_an_old_figure_is_grey_with_its_age(server: ContractServer, screen: Screen) -> None:
    cells = server.topics["overview"]["cells"]
    cells |= {"money_as_of_ms": now_ms() - 90_000}
    screen.sign_in()
    screen.see("old", ".card .aged")
    screen.open("books")
    stale = screen.page.locator("tr.aged", has_text="STALE")
    assert "s ago" in stale.inner_text() and "< 1 s" not in stale.inner_text()


def test_a_bus_that_cannot_be_read_is_said(server: ContractServer, screen: Screen) -> None:
    cells = server.topics["overview"]["cells"]
    cells |= {"is_bus_read": False, "bus_as_of_ms": now_ms() - 8_000}
    screen.sign_in()
    screen.see("Redis cannot be read", ".banner")


def test_a_state_that_risk_no_longer_confirms_is_no_state_of_now(
    server: ContractServer, screen: Screen
) -> None:
    cells = server.topics["overview"]["cells"]
    at = now_ms() - 90_000
    cells |= {"state": "ACTIVE", "state_as_of_ms": at, "money_as_of_ms": at}
    cells |= {"executor_as_of_ms": at}
    screen.sign_in()
    screen.see("was ACTIVE", "header")
    screen.see("risk is not heard", ".card")
    assert not screen.page.locator("header .state .light.good").count()
    assert not screen.page.locator(".card .light.good").count()
    screen.see("old", ".lines .aged")
    assert "was ACTIVE" in screen.page.title()
