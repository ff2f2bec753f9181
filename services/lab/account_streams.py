"""What the exchanges push about the account: at once, late, twice, out of order, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from services.executor import actions as act
from shared.accounts.gateway import OrderReport
from shared.engine import Result
from shared.errors import Cause
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Fill, Order

if TYPE_CHECKING:
    from services.lab.world import World

_MS = 1_000_000
STREAMED_CHANCE = 0.6
"""That the executor of a world follows accounts."""
LOST_CHANCE = 0.03
TWICE_CHANCE = 0.05
LATE_CHANCE = 0.1
SOON_NS = (1 * _MS, 9 * _MS)
LATE_NS = (20 * _MS, 2_500 * _MS)
"""Also after the answer to a query, and after the plan has ended."""
CUT_NS = (400 * _MS, 4_000 * _MS)
"""Between two losses of a connection."""
NOTICED_NS = (1 * _MS, 800 * _MS)
"""A connection that is dead is noticed so much later; what is pushed until then is lost."""
AWAY_NS = (50 * _MS, 2_000 * _MS)


def is_streamed(seed: int) -> bool:
    """Tell whether the executor of a world follows accounts."""
    return Random(f"{seed}/streamed").random() < STREAMED_CHANCE


class AccountStreams:
    """The account streams of all exchanges, each to its latest follower."""

    def __init__(self, world: World, report: Callable[[Order, Fill | None], OrderReport]) -> None:
        self._world, self._report = world, report
        self._random = Random(f"{world.seed}/streams")
        self._deliver: dict[str, Callable[[Result], None]] = {}
        self._is_up: dict[str, bool] = {}
        self._numbered = {venue: self._random.random() < 0.5 for venue in world.exchanges}
        """Whether a venue numbers what it pushes, so that a hole is seen."""
        self._has_hole: dict[str, bool] = {}
        for venue, exchange in world.exchanges.items():
            self._listen(venue, exchange)

    def start(self) -> None:
        """Begin to lose connections."""
        if self._world.config.executor.account_streams:
            self._world.chaos.again(CUT_NS, self._cut)

    def follow(self, action: act.FollowAccount, deliver: Callable[[Result], None]) -> None:
        """Push to this one from now on."""
        self._deliver[action.venue] = deliver
        self._world.kernel.after(self._random.randrange(*SOON_NS), partial(self._up, action.venue))

    def revoke(self, venue: str) -> None:
        """End the stream of a key that was revoked; the venue says so at once."""
        if self._is_up.get(venue):
            self._is_up[venue] = False
            self._tell(venue, act.AccountMissed(venue, "the key was revoked", is_down=True))
            self._world.kernel.after(self._random.randrange(*AWAY_NS), partial(self._up, venue))

    def _up(self, venue: str) -> None:
        if self._world.account.conditions[venue].barred is Cause.KEY:
            self._world.kernel.after(self._random.randrange(*AWAY_NS), partial(self._up, venue))
            return
        self._is_up[venue], self._has_hole[venue] = True, False
        self._deliver[venue](act.AccountFollowed(venue))

    def _cut(self) -> None:
        venues = [venue for venue, is_up in self._is_up.items() if is_up]
        if not venues:
            return
        venue = self._random.choice(venues)
        self._world.chaos.fault(f"{venue}: the account's stream is cut")
        self._is_up[venue] = False
        after, noticed_ns = self._world.kernel.after, self._random.randrange(*NOTICED_NS)
        after(noticed_ns, partial(self._tell, venue, act.AccountMissed(venue, "cut", is_down=True)))
        after(noticed_ns + self._random.randrange(*AWAY_NS), partial(self._up, venue))

    def _tell(self, venue: str, news: Result) -> None:
        self._deliver[venue](news)

    def _listen(self, venue: str, exchange: Exchange) -> None:
        def on_order(order: Order, what: str, fill: Fill | None) -> None:
            if self._is_up.get(venue):
                self._push(venue, act.AccountSeen(venue, self._report(order, fill)))

        exchange.order_listeners.append(on_order)

    def _push(self, venue: str, news: act.AccountSeen) -> None:
        draw, is_troubled = self._random, self._world.chaos.is_on
        name = news.report.client_order_id
        if is_troubled and (
            draw.random() < LOST_CHANCE or self._world.account.conditions[venue].is_down
        ):
            self._world.note(f"{venue}: news of {name} is lost")
            self._has_hole[venue] = self._numbered[venue]
            return
        is_late = is_troubled and draw.random() < LATE_CHANCE
        times = 2 if is_troubled and draw.random() < TWICE_CHANCE else 1
        if self._has_hole.get(venue):
            self._has_hole[venue] = False
            missed = act.AccountMissed(venue, "a hole in its numbers", is_down=False)
            self._world.kernel.after(draw.randrange(*SOON_NS), partial(self._tell, venue, missed))
        for _ in range(times):
            delay_ns = draw.randrange(*(LATE_NS if is_late else SOON_NS))
            self._world.kernel.after(delay_ns, partial(self._tell, venue, news))
