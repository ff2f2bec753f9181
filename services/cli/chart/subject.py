"""What is charted: the middle price of a book, or the net edge between two. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.cli.top.market_rows import net_bps
from services.cli.top.watched import Place, is_silent
from shared.messages.base import BookState
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules


@dataclass(frozen=True, slots=True)
class Reading:
    """A value, or why it is not known."""

    value: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The book at ``place``; with ``versus`` the edge of buying there and selling at that one."""

    place: Place
    versus: Place | None = None

    @property
    def title(self) -> str:
        """What it is, with its unit."""
        venue, instrument = self.place
        if self.versus is None:
            return f"{instrument} at {venue}, middle of the book"
        there, other = self.versus
        what = "" if other == instrument else f" {other}"
        return f"{instrument}: buy at {venue}, sell{what} at {there}, bps after taker fees"

    def read(
        self,
        views: Mapping[Place, DepthView],
        rules: Mapping[Place, InstrumentRules],
        now_ns: int,
    ) -> Reading:
        """Return its value now; unknown unless every book of it is LIVE and current."""
        best = {}
        for place in (self.place, self.versus) if self.versus else (self.place,):
            view = views.get(place)
            name = " ".join(place)
            if view is None or is_silent(view.ts_ns, now_ns):
                return Reading(None, f"{name} is silent")
            if view.state is not BookState.LIVE or not view.bids or not view.asks:
                return Reading(None, f"{name} is {view.state}")
            best[place] = view.bids[0][0], view.asks[0][0]
        bid, ask = best[self.place]
        if self.versus is None:
            return Reading((bid + ask) / 2)
        net = net_bps(rules, self.place, self.versus, ask, best[self.versus][0])
        return Reading(net, "" if net is not None else "a fee is not known")
