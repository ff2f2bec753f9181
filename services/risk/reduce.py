"""Works off what is held above a soft limit, by plans that only reduce. Pure.

While an exposure is above its soft limit (``soft_limits.py``) the trading state is REDUCING, and
one plan at a time closes a part of a round that holds of it: the largest part first, no more than
what is above, than ``risk.order_notional_max``, and than the book shows within
``risk.loss_cap_bps`` of its middle, but as much as the venues of all its legs take. It is
judged, reserved and executed like any plan that closes a round; the strategy is told by the round's
position. What no round holds cannot be closed so: that is said, and left to FLATTEN.

The state returns by itself once all exposures are at nine tenths of their soft limits or below,
unless a limit on losses was reached meanwhile: then an operator must resume. What is not worked off
yet is saved: a restart in between opens nothing either. Until books price all that is held again,
and for ``STANDS_NS`` at most, what was saved is not taken to be worked off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import blake2b
from typing import Final

import msgspec

from services.risk.checkpoint import CheckpointWriter
from services.risk.decision_context import market_of
from services.risk.exposure import ZERO, Ledger
from services.risk.halt_causes import HaltCause
from services.risk.market import LatestBooks
from services.risk.quote_limits import LimitsByQuote
from services.risk.rounds import Round
from services.risk.soft_limits import CALM, Exposure, Holdings
from services.risk.trading import TradingControl, alert
from shared.config_sections import Config
from shared.domain.accounting import holding_key
from shared.domain.fees import BPS
from shared.domain.instrument import MarketKey
from shared.domain.rounding import exact, is_enough
from shared.messages.arb import Opportunity
from shared.messages.base import Message, TradingState
from shared.messages.control import Severity
from shared.messages.execution import ApprovedPlan
from shared.messages.market import DepthView
from shared.messages.rounds import Intent, RoundState
from shared.strategies.round_plans import KnownBook, close_round

ATTEMPT_NS: Final = 200_000_000
"""Between two plans: one may have filled nothing, or been refused."""
RETRY_NS: Final = 1_000_000_000
"""Between two attempts of which the first was denied, or found nothing to close."""
END_NS: Final = 10_000_000_000
"""A close is waited for until so long after it expired: one whose venue stands down may never end.
What it has closed without a word of it is then closed of other rounds once more."""
STANDS_NS: Final = 5_000_000_000
"""An operator is told where nothing could be closed for so long: books are away for moments."""
DOUBLED_MAX: Final = 10
"""A part that is too small for the venue of a leg, or leaves what is, is doubled so often, at most
to all of the round."""
_CAN_CLOSE: Final = frozenset((RoundState.OPEN, RoundState.HALTED))
ONE: Final = Decimal(1)

Decide = Callable[[Opportunity, int], list[Message]]


class Reducer:
    """Finds exposures above their soft limits, and closes of the rounds that hold them.

    Args:
        config: The limits, and those of strategies.
        market: Views and rules, as risk received them.
        writer: Told where what is not worked off yet has changed.
    """

    def __init__(self, config: Config, market: LatestBooks, writer: CheckpointWriter) -> None:
        self._market, self._writer, self._strategies = market, writer, config.strategies
        self.use_limits(config)
        self._next_ns = 0
        self._waits_until_ns: int | None = None
        self._stands_since_ns: int | None = None
        self._is_told = False
        self.counters = {"soft_limits_exceeded": 0, "reducing_plans": 0}

    def use_limits(self, config: Config) -> None:
        """Work off by these limits from now on."""
        self._config, self._share = config.risk, exact(config.risk.soft_limit_share)
        self._by_quote = LimitsByQuote(config.risk)

    def work_off(
        self, ledger: Ledger, control: TradingControl, now_ns: int, decide: Decide
    ) -> list[Message]:
        """Note in the ledger what is above a soft limit; let risk judge a plan that reduces it.

        Returns risk's decision, and alerts. HALTED sends nothing, so there is nothing to judge.
        """
        if not self._share:
            ledger.above_soft.clear()
            return []
        held = Holdings(ledger, self._market.views)
        above = self._above(held)
        out = self._told(ledger, above, held, now_ns)
        if not above or now_ns < self._next_ns or _is_closing(ledger, now_ns):
            return out
        if control.now(now_ns).state is TradingState.HALTED:
            return out
        for offer in self._offers(held, above, ledger, now_ns):
            decided = decide(offer, now_ns)
            out += decided
            if isinstance(decided[0], ApprovedPlan):
                self.counters["reducing_plans"] += 1
                self._stands_since_ns, self._is_told = None, False
                self._next_ns = now_ns + ATTEMPT_NS
                return out
        self._next_ns = now_ns + RETRY_NS
        if self._stands_since_ns is None:
            self._stands_since_ns = now_ns
        if now_ns - self._stands_since_ns >= STANDS_NS and not self._is_told:
            self._is_told = True
            what = "; ".join(each.text(self._share) for each in above)
            text = f"{what}: no round can be closed for it now; arb flatten closes all that is held"
            out.append(alert(now_ns, Severity.WARNING, "SOFT_LIMIT_STANDS", text))
        return out

    def _above(self, held: Holdings) -> list[Exposure]:
        """Return the exposures that are to be worked off."""
        return [
            each
            for each in held.exposures(self._by_quote, self._strategies)
            if each.held > each.most * self._share * CALM
        ]

    def _told(
        self, ledger: Ledger, above: list[Exposure], held: Holdings, now_ns: int
    ) -> list[Message]:
        """Note which were above their soft limit and are not worked off yet; alert for changes."""
        before, out = dict(ledger.above_soft), list[Message]()
        is_first = self._waits_until_ns is None  # limits may be others than those of before
        ledger.above_soft.clear()
        for each in above:
            if each.held > each.most * self._share and (is_first or each.key not in before):
                text = ledger.above_soft[each.key] = each.text(self._share)
                self.counters["soft_limits_exceeded"] += 1
                out.append(alert(now_ns, Severity.WARNING, HaltCause.SOFT_LIMIT.value, text))
            elif each.key in before:
                ledger.above_soft[each.key] = before[each.key]
        if self._waits_for_prices(held, now_ns):
            for key, text in before.items():
                ledger.above_soft.setdefault(key, text)
        if ledger.above_soft != before:
            self._writer.touch_decided()
        above[:] = [each for each in above if each.key in ledger.above_soft]
        if before and not ledger.above_soft:
            self._stands_since_ns, self._is_told = None, False
            text = "all that was above a soft limit is worked off"
            out.append(alert(now_ns, Severity.INFO, "SOFT_LIMIT_KEPT", text))
        return out

    def _waits_for_prices(self, held: Holdings, now_ns: int) -> bool:
        """Tell whether books have not priced all that is held since the start."""
        if self._waits_until_ns is None:
            self._waits_until_ns = now_ns + STANDS_NS
        if held.is_priced:
            self._waits_until_ns = 0
        return now_ns < self._waits_until_ns

    def _offers(
        self, held: Holdings, above: list[Exposure], ledger: Ledger, now_ns: int
    ) -> Iterator[Opportunity]:
        """Yield what would reduce an exposure, the largest part of the first one first.

        Each round once: what cannot be closed for one exposure cannot be for the next one.
        """
        in_flight, rounds = ledger.rounds_in_flight, ledger.rounds.rounds
        tried: set[str] = set()
        for each in above:
            beyond = each.held - each.most * self._share * CALM
            for key, part in sorted(each.by_round.items(), key=lambda of: (-of[1], of[0])):
                found = rounds[key]
                can_close = found.state(in_flight.get(key)) in _CAN_CLOSE and not found.ending
                if key in tried or not can_close:
                    continue
                tried.add(key)
                limits = self._by_quote.of(found.quote) or self._config
                worth = held.worth(found)
                of_order = limits.order_notional_max / worth if worth else ONE
                enough = beyond / part + self._lot_share(found)  # lots are rounded down
                offer = self._closing(found, min(ONE, enough, of_order), now_ns)
                if offer is not None:
                    yield offer

    def _closing(self, held: Round, share: Decimal, now_ns: int) -> Opportunity | None:
        """Return what closes a share of a round, more where that is too small to be traded."""
        position, books = held.position(None, now_ns), self._books(held)
        age_ms_max = self._config.book_age_ms_max
        for _ in range(DOUBLED_MAX):
            plan = close_round(position, books, now_ns, age_ms_max=age_ms_max, share=share)
            if plan is not None and (share == ONE or self._may_be_left(held, plan)):
                text = f"{plan.opportunity_id}|{now_ns}"
                own_id = blake2b(text.encode(), digest_size=8).hexdigest()
                return msgspec.structs.replace(plan, detector="soft_limit", opportunity_id=own_id)
            if share == ONE:
                return None
            share = min(ONE, share * 2)
        return None

    def _lot_share(self, held: Round) -> Decimal:
        """Return what share of a round its coarsest lot is."""
        lots = [
            rules.lot_size / abs(qty)
            for key, qty in held.books.quantities.items()
            if qty and (rules := self._market.rules.get(market_of(key).book)) is not None
        ]
        return max(lots, default=ZERO)

    def _may_be_left(self, held: Round, plan: Opportunity) -> bool:
        """Tell whether a plan leaves a round that is no less hedged, and can be closed later.

        A leg of which a venue takes no such part is in no plan: alone the others would unhedge it.
        """
        own, base = held.held, held.books.opened_base()
        before = after = sum(base.values(), ZERO)
        coarsest = ZERO
        for leg in plan.legs:
            key, rules = holding_key(leg.venue, leg.instrument), self._market.rules[leg.market]
            base_each = base[key] / abs(own[key])
            after -= base_each * leg.qty
            coarsest = max(coarsest, abs(base_each) * rules.lot_size)
            left = abs(held.books.quantities[f"{leg.venue}|{leg.instrument}"]) - leg.qty
            if left > 0 and not is_enough(rules, left, leg.price_limit):
                return False
        return abs(after) < coarsest or abs(after) <= abs(before)

    def _books(self, held: Round) -> dict[MarketKey, KnownBook]:
        """Return the books of a round, as far as their prices are worth trading at."""
        found: dict[MarketKey, KnownBook] = {}
        for key in held.books.quantities:
            market = market_of(key).book
            book, view = KnownBook(), self._market.views.get(market)
            book.view = None if view is None else self._within_band(view)
            book.rules = self._market.rules.get(market)
            found[market] = book
        return found

    def _within_band(self, view: DepthView) -> DepthView:
        """Return a view without the levels further from its middle than evening out may cost.

        The best price of a side may be far away, too, where that side is empty for a moment.
        """
        if not (view.bids and view.asks):
            return view
        middle = (view.bids[0][0] + view.asks[0][0]) / 2
        room = float(self._config.loss_cap_bps / BPS)
        least, most = middle * (1 - room), middle * (1 + room)
        return msgspec.structs.replace(
            view,
            bids=[level for level in view.bids if level[0] >= least],
            asks=[level for level in view.asks if level[0] <= most],
        )


def _is_closing(ledger: Ledger, now_ns: int) -> bool:
    """Tell whether any plan in flight closes a round: its end is waited for."""
    return any(
        held.intent is Intent.CLOSE and now_ns - held.ts_due_ns < END_NS
        for held in ledger.reservations.values()
    )
