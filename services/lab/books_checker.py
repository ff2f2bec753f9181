"""Checks of books: a LIVE view is what its venue had, and no other prices anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.lab.rounds_checker import READ_NS_MAX, went_on_lately
from shared.messages.arb import Opportunity
from shared.messages.base import BookState
from shared.messages.market import DepthView

if TYPE_CHECKING:
    from services.lab.world import World


class BooksChecker:
    """Watches views and opportunities."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._not_live_since_ns: dict[tuple[str, str], int] = {}

    def on_bus_lost(self) -> None:
        """Forget what the bus may have lost."""
        self._not_live_since_ns.clear()

    def on_opportunity(self, found: Opportunity) -> None:
        """No book may price anything that was published as not LIVE a while before.

        A scanner that stood still until now has yet to read what came meanwhile.
        """
        if went_on_lately(self._world, "scanner"):
            return
        for leg in found.legs:
            since_ns = self._not_live_since_ns.get((leg.venue, leg.instrument))
            if since_ns is not None and found.ts_ns - since_ns > READ_NS_MAX:
                text = f"{leg.venue} {leg.instrument} was not LIVE"
                self._world.checkers.report("trusted_book", text)

    def on_view(self, view: DepthView) -> None:
        """Compare a LIVE view with the exchange's book at its number, level by level."""
        key, report = (view.venue, view.instrument), self._world.checkers.report
        if view.state is not BookState.LIVE:
            self._not_live_since_ns.setdefault(key, self._world.kernel.now_ns())
            return
        self._not_live_since_ns.pop(key, None)
        truth = self._world.feed.true_books.get((view.venue, view.instrument, view.seq))
        if truth is None:
            report("true_book", f"{view.venue} {view.instrument} {view.seq} never was")
        elif (list(view.bids), list(view.asks)) != (truth[0][:20], truth[1][:20]):
            report("true_book", f"{view.venue} {view.instrument} {view.seq} is wrong")
