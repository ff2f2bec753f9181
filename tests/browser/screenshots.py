"""Pictures of a running dashboard for the documentation.

arb demo --web                                # says the address, with its token
python -m tests.browser.screenshots ADDRESS   # writes docs/images/dashboard-*.png
"""

from __future__ import annotations

import sys

from playwright.sync_api import sync_playwright

from tests.browser.conftest import OpenScreen
from tests.support import ROOT, find_chromium

IMAGES = ROOT / "docs" / "images"
SHOTS = (("overview", "dark"), ("spreads", "light"), ("plans", "dark"))
OPENED = {"spreads": ".matrix .cell", "plans": ".opener"}
SETTLED_MS = 2_000
WIDTH, HEIGHT = 1280, 800


def main(address: str) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for name, theme in SHOTS:
            opener = OpenScreen(browser)
            screen = opener(address.partition("/#")[0], theme=theme)
            screen.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            screen.page.goto(address)
            screen.page.wait_for_selector("main h1")
            screen.open(name)
            screen.page.wait_for_timeout(SETTLED_MS)
            if name in OPENED:
                screen.page.locator(OPENED[name]).first.click()
                screen.page.wait_for_timeout(SETTLED_MS)
            path = IMAGES / f"dashboard-{name}.png"
            screen.page.screenshot(path=path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
            opener.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
