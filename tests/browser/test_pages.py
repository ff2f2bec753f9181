"""Every page in three sizes and two themes: it fits, reports no error, and can be used by all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import scenes
from tests.browser.conftest import SIZES, THEMES, OpenScreen, Screen
from tests.browser.contract_server import ContractServer
from tests.support import eventually_sync

pytestmark = pytest.mark.browser

PAGES = [
    "overview",
    "books",
    "spreads",
    "opportunities",
    "plans",
    "positions",
    "funding",
    "charts",
    "health",
    "alerts",
    "log",
    "settings",
    "audit",
]
OPENERS = ".opener, .matrix .cell"
SERIOUS = {"serious", "critical"}
BROKEN_FIGURES = """() => [...document.querySelectorAll('.card .value .num')]
  .filter((figure) => !figure.querySelector('.unit') && figure.getClientRects().length > 1)
  .map((figure) => figure.innerText)"""
"""Large figures that go over two lines."""
LOOKS = [(size, theme) for size in SIZES for theme in THEMES]


def open_a_detail(screen: Screen) -> None:
    """Open the first row or cell that has something beneath it, where the page has one."""
    if (opener := screen.page.locator(OPENERS).first).count():
        opener.click()
        screen.page.wait_for_selector(".walk, .depth")


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_every_page_fits_and_reports_no_error(
    open_screen: OpenScreen, server: ContractServer, size: str, theme: str
) -> None:
    screen = open_screen(server.url, size, theme)
    screen.sign_in()
    assert screen.page.evaluate("document.documentElement.dataset.theme") == theme
    for name in PAGES:
        server.topics = scenes.full()
        screen.open(name)
        open_a_detail(screen)
        assert screen.overflow_px() <= 0, name
        assert screen.page.evaluate(BROKEN_FIGURES) == [], name
        assert not screen.errors + screen.crashes, name
    assert screen.hosts == {f"127.0.0.1:{server.port}"}


@pytest.mark.parametrize(("size", "theme"), [("desk", "dark"), ("phone", "light")])
@pytest.mark.parametrize("scene", [scenes.full, scenes.empty])
def test_axe_finds_nothing_serious(
    open_screen: OpenScreen, server: ContractServer, size: str, theme: str, scene: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    server.topics = scene()
    screen = open_screen(server.url, size, theme)
    screen.sign_in()
    for name in PAGES:
        server.topics = scene()
        screen.open(name)
        open_a_detail(screen)
        assert not serious(Axe().run(screen.page).response), name


def test_axe_finds_nothing_serious_in_dialogs_and_the_sign_in(
    server: ContractServer, screen: Screen
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    screen.go(server.url)
    screen.see("Sign in with")
    assert not serious(Axe().run(screen.page).response)
    screen.sign_in()
    for press in ("text=FLATTEN…", "[aria-label=Keys]"):
        screen.page.click(press)
        screen.page.wait_for_selector("dialog[open]")
        assert not serious(Axe().run(screen.page).response)
        screen.page.keyboard.press("Escape")
        screen.page.wait_for_selector("dialog[open]", state="detached")


def serious(found: dict[str, Any]) -> list[str]:
    return [
        f"{fault['id']}: {node['html'][:160]} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]


def test_what_is_not_known_is_a_dash_and_what_is_empty_says_why(
    server: ContractServer, screen: Screen
) -> None:
    server.topics, server.charts = scenes.empty(), {}
    screen.sign_in("viewer")
    screen.see("No opportunity for 14 min")
    overview = screen.text()
    assert "best near miss \N{MINUS SIGN}1.3 bps, stopped by FEES" in overview
    cards = screen.page.locator(".card .value").all_inner_texts()
    assert cards == ["not known", "—", "—", "—"]
    for name in PAGES[1:]:
        screen.open(name)
        screen.page.wait_for_selector(".empty .title")
    screen.open("opportunities")
    assert "No opportunity for 14 min; best \N{MINUS SIGN}1.3 bps, stopped by FEES" in screen.text()
    assert not screen.errors + screen.crashes


def test_the_menu_has_only_what_the_server_offers(server: ContractServer, screen: Screen) -> None:
    for name in ("funding", "audit", "charts"):
        del server.topics[name]
    screen.sign_in()
    titles = screen.page.locator("nav a > span").all_inner_texts()
    assert [title.split()[0] for title in titles] == (
        [
            "Overview",
            "Books",
            "Spreads",
            "Opportunities",
            "Plans",
            "Positions",
            "Health",
            "Alerts",
            "Log",
            "Settings",
        ]
    )


def test_data_is_never_markup(screen: Screen) -> None:
    screen.sign_in(name="alerts")
    screen.see("<b>not markup</b>")
    assert not screen.page.locator("td b").count()


def test_the_keyboard_reaches_everything(screen: Screen) -> None:
    screen.sign_in()
    press = screen.page.keyboard.press
    press("g")
    press("b")
    screen.page.wait_for_selector("td >> text=gateio")
    press("/")
    screen.page.keyboard.type("kraken btc")
    screen.page.wait_for_selector("td >> text=gateio", state="detached")
    assert screen.page.locator("tbody tr").count() == 1
    press("Escape")
    press("?")
    screen.see("dark or light", "dialog")
    press("Escape")
    screen.page.wait_for_selector("dialog", state="detached")
    press("Shift+T")
    assert screen.page.evaluate("document.documentElement.dataset.theme") == "light"
    screen.page.reload()
    screen.page.wait_for_selector("main h1")
    assert screen.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_table_sorts_with_what_is_not_known_last(screen: Screen) -> None:
    screen.sign_in(name="books")
    for name in ("Bid", "Bid"):  # up, then down
        screen.page.get_by_role("button", name=name, exact=True).click()
        bids = screen.page.locator("td[data-name=Bid]").all_inner_texts()
        assert bids[-1] == "—"
    assert bids[0] > bids[3]
    assert screen.page.locator("th[aria-sort=descending]").inner_text().startswith("Bid")


def test_money_shows_its_certainty(screen: Screen) -> None:
    screen.sign_in(name="positions")
    unrealized = screen.page.locator("td[data-name=Unrealized]").all_inner_texts()
    assert [text.strip() for text in unrealized] == [
        "▼~\N{MINUS SIGN}16.6500",
        "—",
        "—",
        "▲~+28.4800",
    ]


def test_a_plan_shows_the_steps_from_expected_to_realized(screen: Screen) -> None:
    screen.sign_in(name="plans")
    screen.page.locator("tr", has_text="filled").locator(".opener").first.click()
    steps = screen.page.locator(".walk .waterfall .head").all_inner_texts()
    assert steps == ["expected edge", "expected fees", "slippage", "fees", "conversion", "realized"]


def test_the_token_leaves_the_address(screen: Screen) -> None:
    screen.sign_in("viewer")
    assert "token" not in screen.page.url
    cookie = screen.page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert screen.page.evaluate("document.cookie") == ""


def test_a_wrong_token_is_said_so(screen: Screen, server: ContractServer) -> None:
    screen.go(f"{server.url}/#token=cut%2")
    screen.see("This token is not known here")
    screen.go(f"{server.url}/#token=wrong")
    screen.see("This token is not known here")
    assert not screen.crashes
    screen.page.fill("input[name=token]", "viewer-token")
    screen.page.click("button:has-text('Sign in')")
    screen.see("viewer: read-only")


def test_holes_in_a_chart_stay_holes(screen: Screen) -> None:
    screen.sign_in(name="charts")
    screen.page.wait_for_selector(".u-over")
    script = """async () => {
      const { addPoint, align } = await import('/static/js/series.js');
      const series = { id: 'x', stepMs: 1000, slot0: 100, values: [1, null, 3] };
      addPoint(series, 105_400, 6, 5);
      addPoint(series, 105_900, null, 5);
      return align([series, { id: 'y', stepMs: 1000, slot0: 103, values: [7] }], 900);
    }"""
    assert screen.page.evaluate(script) == [
        [101, 102, 103, 104, 105],
        [None, 3, None, None, 6],
        [None, None, 7, None, None],
    ]


def test_live_points_reach_the_charts(server: ContractServer, screen: Screen) -> None:
    screen.sign_in(name="charts")
    screen.page.wait_for_selector(".u-over")
    from tests.browser.contract_server import now_ms

    point = {"unit": "USDT", "ts_ms": now_ms() + 1_000, "value": 64_777.25}
    server.topics["charts"] = {"rows": {"price|kraken|BTC/USDT": point}}
    eventually_sync(lambda: "64,777.25" in screen.text(".charts"), what="the newest price")
