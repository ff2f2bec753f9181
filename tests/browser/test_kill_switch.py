"""The kill switch in the browser: what an operator presses, what a viewer cannot."""

from __future__ import annotations

import pytest

from services.dashboard.commands import outcome_of
from shared.messages.control import CommandKind
from shared.watch.operate import CommandResult
from tests.browser.conftest import Screen
from tests.browser.contract_server import ContractServer, now_ms
from tests.support import eventually_sync

pytestmark = pytest.mark.browser


def test_halt_is_one_press_and_says_that_risk_confirmed(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in()
    screen.page.click("header button:has-text('HALT')")
    screen.see("confirmed by risk: HALTED", "header")
    assert server.commands == [{"action": "halt"}]


def test_shift_h_halts_on_every_page_but_not_while_typing(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in(name="log")
    screen.page.keyboard.press("/")
    screen.page.keyboard.type("H")
    screen.page.keyboard.press("Escape")
    assert not server.commands
    screen.page.keyboard.press("Shift+H")
    eventually_sync(lambda: server.commands == [{"action": "halt"}])


def test_flatten_needs_the_typed_word_and_shows_the_exposure(
    server: ContractServer, screen: Screen
) -> None:
    server.topics["overview"]["cells"] |= {"money_as_of_ms": now_ms() + 60_000}
    screen.sign_in()
    screen.page.click("text=FLATTEN…")
    assert "+0.0125" in screen.text("dialog")
    cost = screen.page.locator("dialog dd", has_text="fees 1.61").inner_text()
    words = " ".join(cost.split())
    assert "~3.8100 USDT spread 2.2, fees 1.61" in words
    assert "— not known; known of it: spread 0, fees 0 USDC" in words
    assert "0.4 ETH/USDC:USDC at bybit: no LIVE book prices it" in words
    confirm = screen.page.get_by_role("button", name="Flatten everything")
    screen.page.fill("input[name=typed]", "flatten")
    assert confirm.is_disabled()
    screen.page.fill("input[name=typed]", "FLATTEN")
    confirm.click()
    screen.see("confirmed by risk", "header")
    assert server.commands == [{"action": "flatten", "typed": "FLATTEN"}]
    screen.page.wait_for_selector("dialog", state="detached")


def test_what_flattening_costs_is_not_known_while_risk_is_silent(
    server: ContractServer, screen: Screen
) -> None:
    server.topics["overview"]["cells"] |= {"money_as_of_ms": now_ms() - 90_000}
    screen.sign_in()
    screen.page.click("text=FLATTEN…")
    screen.see("not known: risk is not heard", "dialog")


def test_escape_sends_nothing(server: ContractServer, screen: Screen) -> None:
    screen.sign_in()
    screen.page.click("text=FLATTEN…")
    screen.page.fill("input[name=typed]", "FLATTEN")
    screen.page.keyboard.press("Escape")
    screen.page.wait_for_selector("dialog", state="detached")
    assert not server.commands


def test_what_is_not_confirmed_is_said_with_the_other_ways(
    server: ContractServer, screen: Screen
) -> None:
    result = CommandResult("HALT", "halt-1", dead={"risk": 8.0})
    server.answer = outcome_of(result, CommandKind.HALT)
    screen.sign_in()
    screen.page.click("header button:has-text('HALT')")
    screen.see(
        "not confirmed in 5 s. trading is unknown (nobody answered); risk has been", "header"
    )
    screen.see("silent for 8 s; the command is kept", "header")
    screen.see("In a terminal: arb halt", "header")
    assert screen.text("header").count("not confirmed") == 1


def test_a_proxy_that_gives_up_is_no_command_that_was_not_sent(
    server: ContractServer, screen: Screen
) -> None:
    screen.sign_in()
    screen.page.route("**/api/v1/command", lambda route: route.fulfill(status=504, body="<html>"))
    screen.page.click("header button:has-text('HALT')")
    screen.see("whether it was sent is not known", "header")
    assert "not sent" not in screen.text("header")


def test_a_dead_server_is_said_with_the_other_ways(server: ContractServer, screen: Screen) -> None:
    screen.sign_in()
    server.kill()
    screen.page.click("header button:has-text('HALT')")
    screen.see("whether it was sent is not known. Look at the state", "header")


def test_an_old_sign_in_needs_the_token_again(server: ContractServer, screen: Screen) -> None:
    server.is_token_fresh = False
    screen.sign_in()
    screen.page.click("text=FLATTEN…")
    screen.page.fill("input[name=token]", "operator-token")
    screen.page.fill("input[name=typed]", "FLATTEN")
    screen.page.get_by_role("button", name="Flatten everything").click()
    order = {"action": "flatten", "typed": "FLATTEN", "token": "operator-token"}
    eventually_sync(lambda: server.commands == [order])


def test_resume_shows_the_cause_and_needs_the_typed_state(
    server: ContractServer, screen: Screen
) -> None:
    server.topics["overview"]["cells"] |= {"state": "HALTED", "cause": "BALANCE_LOSS: kraken"}
    server.answer = {"outcome": "confirmed", "state": "ACTIVE", "text": ""}
    screen.sign_in()
    screen.page.click("text=RESUME…")
    assert "BALANCE_LOSS: kraken" in screen.text("dialog")
    screen.page.fill("input[name=typed]", "ACTIVE")
    screen.page.get_by_role("button", name="Resume trading").click()
    screen.see("confirmed by risk: ACTIVE", "header")
    assert server.commands == [{"action": "resume", "typed": "ACTIVE"}]


def test_a_viewer_has_no_kill_switch_and_no_key(server: ContractServer, screen: Screen) -> None:
    screen.sign_in("viewer")
    screen.see("viewer: read-only")
    assert not screen.page.locator(".kill").count()
    screen.page.keyboard.press("Shift+H")
    screen.open("books")
    assert not server.commands
    status = """() => fetch('/api/v1/command', {method: 'POST', headers: {'X-Arb': '1',
      'Content-Type': 'application/json'}, body: '{"action":"halt"}'}).then((r) => r.status)"""
    assert screen.page.evaluate(status) == 403
