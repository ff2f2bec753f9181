"""What the lab's checks of limits make of books that nobody tells of for a while."""

from __future__ import annotations

import msgspec
import pytest

from services.lab.kinds import Kind
from services.lab.limits_checker import UNREAD_NS, LimitsChecker
from services.lab.world import START_NS, World
from shared.messages.base import BookState
from tests.decision_builders import make_view
from tests.ledger_builders import approved

LATER_NS = START_NS + 3 * UNREAD_NS
IN_DOLLARS = {"bids": [(0.9999, 10.0)], "asks": [(1.0001, 10.0)]}
OFF_PEG = {"bids": [(0.97, 10.0)], "asks": [(0.9702, 10.0)]}


class Watched:
    """A world's check of the peg of two dollars, and the views it is given."""

    def __init__(self) -> None:
        self.world = World(1, Kind.CONVERSION)
        config = self.world.config
        risk = msgspec.structs.replace(config.risk, depeg_bps_max=40.0)
        self.world.config = msgspec.structs.replace(config, risk=risk)
        self.checker = LimitsChecker(self.world)

    def see(self, after_ns: int, prices: dict[str, list[tuple[float, float]]], **more) -> None:
        self.world.kernel.run_until(START_NS + after_ns)
        self.checker.on_view(
            make_view("beta", "USDC/USDT", ts_ns=START_NS + after_ns, **prices, **more)
        )

    def is_violated(self) -> bool:
        self.checker.on_plan(approved(1, LATER_NS))
        return any(each.checker == "depeg" for each in self.world.checkers.violations)


def test_a_dollar_that_was_off_its_peg_all_the_while_is_seen() -> None:
    watched = Watched()
    watched.see(0, OFF_PEG)
    watched.see(UNREAD_NS, OFF_PEG)
    assert watched.is_violated()


def test_a_book_that_nobody_tells_of_is_where_it_was() -> None:
    """An orderbook that died tells nothing: that is no dollar off its peg."""
    watched = Watched()
    watched.see(0, IN_DOLLARS)
    assert not watched.is_violated()


@pytest.mark.parametrize("state", [BookState.LIVE, BookState.STALE])
def test_one_that_came_back_to_it_or_is_not_live_begins_anew(state: BookState) -> None:
    watched = Watched()
    watched.see(0, OFF_PEG)
    watched.see(UNREAD_NS // 2, IN_DOLLARS if state is BookState.LIVE else OFF_PEG, state=state)
    assert not watched.is_violated()
