"""Compares the balances that venues report with what we booked there. Pure.

Of every asset, what the venue reports is its opening balance and all that our fills, fees, funding
payments and known transfers changed since. The opening balance is taken from the first report that
can be compared. A report can be compared while nothing is in flight at the venue; else the balance
is unknown, not wrong:

* the executor has reconciled with the venue, and does not wait for data that was lost;
* no plan is open there, no order works or is doubtful, all fills of our orders are told, and none
  was over only when balances had been asked for;
* no payment is owed. A fee that the venue left out of an execution is never told later: what it was
  is taken with the balances, which are opened anew;
* no derivative that we trade is held: what it realizes is booked by another rule than venues use.

Compared is what no price moves (``Balance.settled``): a position in a market that is not configured
changes it by what it realizes, its fees and funding, and by nothing else.

A difference beyond dust has the venue's executions and payments read again, now and a little later.
What another report then still shows is told as ``BalanceMoved`` and booked as a transfer, once, and
they are read once more: a fill that is found even later takes it back. Accounts on paper are our
own, and not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from services.executor.actions import BalancesAnswered
from services.executor.state import ExecutorState, LedgerStage
from services.executor.venue_account import VenueAccount
from shared.domain.booked_balances import booked_at, by_venue
from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.engine import Step
from shared.messages.balances import BalanceMoved

DUST_SHARE: Final = Decimal("0.000001")
"""Of a balance, or of the opening one: a difference up to this is rounding. It is not booked, so it
adds up until it is more."""
READ_BACK_NS: Final = 600_000_000_000
"""Executions are read again from when balances last agreed, at most this far back."""
READ_AGAIN_NS: Final = 4_000_000_000
"""After a difference was seen, executions are read a last time before it is taken for a transfer:
in time for the next report."""
LOOK_BACK_NS: Final = 30_000_000_000
"""And so much further: covers venue clocks."""

EMPTY_NS: Final = 60_000_000_000
"""Answers without any balance, where there were some, are no knowledge for this long."""


class Difference(NamedTuple):
    """What a report showed by asset beyond what was booked, and when it came (UNIX ns)."""

    moved: dict[str, Decimal]
    ts_ns: int


class BalanceCheck:
    """Compares each report; what it waits for is not saved, so a start looks twice again.

    Args:
        state: The books, and the opening balances.
        mode: Of the executor.
    """

    def __init__(self, state: ExecutorState, mode: str) -> None:
        self._state, self._is_on = state, mode != "paper"
        self._found: dict[str, Difference] = {}
        self._agreed_ns: dict[str, int] = {}
        self._empty_ns: dict[str, tuple[int, int]] = {}
        """Since when a venue answers without any balance, and when it did so last."""
        self._has_told: set[str] = set()

    def is_unknown(self, reply: BalancesAnswered, now_ns: int) -> bool:
        """Tell whether an answer without any balance is to be taken for none at all.

        Where there were some, that may be a fault of the venue; told for ``EMPTY_NS`` it is true.
        """
        venue, held = reply.venue, self._state.opening_balances.get(reply.venue, {})
        if reply.balances or not self._is_on:
            self._empty_ns.pop(venue, None)
            if any(each.settled for each in reply.balances.values()):
                self._has_told.add(venue)
            return False
        booked = self._booked(venue)
        had = any(amount + booked.get(asset, ZERO) for asset, amount in held.items())
        since_ns, last_ns = self._empty_ns.get(venue, (now_ns, now_ns))
        if now_ns - last_ns >= EMPTY_NS:  # nothing was answered between
            since_ns = now_ns
        self._empty_ns[venue] = since_ns, now_ns
        return (had or venue in self._has_told) and now_ns - since_ns < EMPTY_NS

    def on_balances(
        self, account: VenueAccount, reply: BalancesAnswered, now_ns: int, out: Step
    ) -> None:
        """Compare a report, where that can be done."""
        venue = account.venue
        if self._state.locked:  # what is booked may lack what was lost: an operator compares
            self._state.opening_balances.pop(venue, None)
            self._found.pop(venue, None)
        elif self._is_on and self._is_settled(account, reply):
            self._open_anew(account)
            moved = self._moved(account, reply)
            before = self._found.get(venue)
            if not moved:
                self._agreed_ns[venue] = now_ns
                self._found.pop(venue, None)
            elif before is None:
                self._found[venue] = Difference(moved, now_ns)
                self._read_again(account, now_ns)
            elif account.fills_read_ns >= before.ts_ns + READ_AGAIN_NS and not account.is_reading:
                self._found[venue] = Difference(moved, now_ns)
                self._tell(venue, before.moved, moved, now_ns, out)
                self._read_again(account, now_ns)

    def _open_anew(self, account: VenueAccount) -> None:
        """Forget the opening balances where another fee is untold since they were taken."""
        venue, results = account.venue, self._state.books.results
        cash = {split_instrument(name).cash for name in account.instruments}
        untold = sum(results[each].fees_missing for each in cash & results.keys())
        if untold != self._state.fees_untold.get(venue, 0):
            self._state.fees_untold[venue] = untold
            self._state.opening_balances.pop(venue, None)
            self._found.pop(venue, None)

    def _moved(self, account: VenueAccount, reply: BalancesAnswered) -> dict[str, Decimal]:
        """Return what moved beyond dust; an asset seen for the first time is taken as it is.

        That waits until no execution is being read: it may tell a fill of before. An asset that is
        not reported any more is gone: venues leave out what is zero. Others list every coin there
        is: of those with nothing, what is traded is kept, as all is saved before every order.
        """
        venue = account.venue
        booked = self._booked(venue)
        opening = self._state.opening_balances.setdefault(venue, {})
        traded = {each for name in account.instruments for each in split_instrument(name)[:2]}
        moved = {}
        for asset in {**opening, **reply.balances}:
            told = reply.balances.get(asset)
            now = ZERO if told is None else told.settled
            change = booked.get(asset, ZERO)
            if asset not in opening:
                if not account.is_reading and (now or change or asset in traded):
                    opening[asset] = now - change
                continue
            amount = now - opening[asset] - change
            most = max(abs(now), abs(now - amount), abs(opening[asset]))
            if abs(amount) > max(MONEY_STEP, DUST_SHARE * most):
                moved[asset] = amount
        return dict(sorted(moved.items()))

    def _booked(self, venue: str) -> dict[str, Decimal]:
        books = self._state.books
        return booked_at(venue, by_venue(books.inventory), by_venue(books.transfers))

    def _tell(
        self,
        venue: str,
        before: Mapping[str, Decimal],
        moved: Mapping[str, Decimal],
        now_ns: int,
        out: Step,
    ) -> None:
        """Book what both reports show; what only this one shows is left to the next."""
        since_ns = self._agreed_ns.get(venue, 0)
        for asset, amount in list(moved.items()):
            told = min(amount, before.get(asset, ZERO), key=abs)
            if told * amount > 0:
                self._found[venue].moved[asset] -= told
                self._state.books.transfer(venue, asset, told)
                out.messages.append(
                    BalanceMoved(
                        ts_ns=now_ns, venue=venue, asset=asset, amount=told, ts_since_ns=since_ns
                    )
                )

    def _read_again(self, account: VenueAccount, now_ns: int) -> None:
        """Look for what explains a difference: a fill or a payment that was told late."""
        since_ns = max(self._agreed_ns.get(account.venue, 0), now_ns - READ_BACK_NS)
        account.sweep_later(since_ns - LOOK_BACK_NS, now_ns)
        account.sweep(now_ns + READ_AGAIN_NS)
        account.due["fills"] = now_ns
        if account.derivatives:
            account.due["funding"] = now_ns

    def _is_settled(self, account: VenueAccount, reply: BalancesAnswered) -> bool:
        """Tell whether nothing is in flight at a venue."""
        state, venue = self._state, account.venue
        is_known = account.is_reconciled and venue not in state.down
        if not is_known or account.reductions or state.stage is LedgerStage.NEW:
            return False
        if any(reply.positions.values()) or self._owes(account):
            return False
        orders = [order for order in state.orders.values() if order.venue == venue]
        asked_ns = account.balances_asked_ns
        if any(not o.life.is_settled or o.ts_ended_ns > asked_ns for o in orders):
            return False
        return not any(
            venue in {leg.venue for leg in plan.legs} | {o.venue for o in state.orders_of(plan)}
            for plan in state.open_plans()
        )

    def _owes(self, account: VenueAccount) -> bool:
        """Tell whether a payment is not told, or a derivative is held as we know."""
        books, venue = self._state.books, account.venue
        held = [books.quantities.get(f"{venue}|{name}") for name in account.derivatives]
        if all(qty is None for qty in held):
            return False
        record = self._state.funding.get(venue)
        is_awaited = record is not None and bool(record.awaited)
        is_asked = "funding" in account.due or "funding" in account.pending
        return any(held) or is_awaited or is_asked or not account.has_funding
