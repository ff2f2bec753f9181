"""The newest view and the rules of every instrument, as risk received them. Pure."""

from __future__ import annotations

from typing import TypeVar

from services.risk.decision_context import BookKey
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.rules import InstrumentRules

_T = TypeVar("_T")

BOOKS_MAX = 4_096
"""Views and rules followed; more are refused and counted."""


class LatestBooks:
    """The newest view and rules of each book; the bus repeats them, so a restart begins empty."""

    def __init__(self) -> None:
        self.views: dict[BookKey, DepthView] = {}
        self.rules: dict[BookKey, InstrumentRules] = {}
        self.counters = {"books_refused": 0, "rules_refused": 0}

    def on_view(self, view: DepthView) -> None:
        """Take the newest view of a book."""
        _follow(self.views, (view.venue, view.instrument), view, self.counters, "books_refused")

    def on_rules(self, info: InstrumentInfo) -> None:
        """Take an instrument's rules."""
        rules = info.rules
        key = (rules.venue, rules.instrument)
        _follow(self.rules, key, rules, self.counters, "rules_refused")


def _follow(
    known: dict[BookKey, _T], key: BookKey, value: _T, counters: dict[str, int], refused: str
) -> None:
    if key in known or len(known) < BOOKS_MAX:
        known[key] = value
    else:
        counters[refused] += 1
