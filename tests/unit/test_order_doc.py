"""docs/orders.md is what the table of orders says."""

from __future__ import annotations

import re

from shared.domain.order import CONTRADICTIONS, TRANSITIONS
from shared.domain.order_doc import render
from tests.support import ROOT


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "orders.md").read_text()
    assert page == render(), "run python -m shared.domain.order_doc > docs/orders.md"


def test_the_diagram_shows_every_step_that_changes_something() -> None:
    shown = set()
    for before, after, names in re.findall(r"^    (\w+) --> (\w+): (.+)$", render(), re.M):
        shown |= {(before, name, after) for name in names.split(", ")}
    wanted = {
        (before.value, news.value, after.value)
        for (before, news), after in TRANSITIONS.items()
        if before is not after and (before, news) not in CONTRADICTIONS
    }
    assert shown == wanted
