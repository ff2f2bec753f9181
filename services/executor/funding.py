"""Funding payments: read from the venues after each settlement, booked once. Pure.

Only the venue's own income history counts. It is read at the start and after every settlement of a
derivative of the venue: at the times the venue announces, at those that follow from its interval
while it announces none, and every full hour. Until the payment for a position that was held at a
settlement is reported, the funding is unknown, and risk and the screens show it as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.executor.actions import FetchFailed, FundingAnswered
from services.executor.funding_record import Awaited, FundingRecord, Settles
from services.executor.journal import alert
from services.executor.state import ExecutorState
from services.executor.venue_account import VenueAccount
from shared.accounts.gateway import PaymentReport
from shared.domain.funding import HOUR_NS, SECOND_NS, to_second
from shared.engine import Step
from shared.messages.control import Severity
from shared.messages.execution import FundingKnown, FundingPaid
from shared.messages.market import Funding, FundingSettled

ASK_AFTER_NS: Final = SECOND_NS
"""After a settlement; a venue may book it some time later."""
AGAIN_NS: Final = 2 * SECOND_NS
"""Pause until a payment that is not told yet is asked for again; doubles each time."""
AGAIN_NS_MAX: Final = 60 * SECOND_NS
UNTOLD_NS_MAX: Final = 600 * SECOND_NS
"""A payment that is not told for so long is alerted. It stays unknown, and is asked for, until the
history tells it, or a later one of the same instrument, or the rate was zero."""
LOOK_BACK_NS: Final = HOUR_NS
"""Payments are read again from this long before the last settlement known: some come late."""
SEEN_MAX: Final = 256
"""Payments remembered per venue."""


class FundingPayments:
    """Collects the payments that the venues booked, and reports up to when they are known.

    Args:
        state: The ledger, and which payments are in it.
        accounts: By venue; they carry the requests.
    """

    def __init__(self, state: ExecutorState, accounts: Mapping[str, VenueAccount]) -> None:
        self._state = state
        self._accounts = {venue: each for venue, each in accounts.items() if each.derivatives}
        self._next_ns: dict[tuple[str, str], int] = {}
        self._settled_ns: dict[tuple[str, str], int] = {}
        self._unpaid_ns: dict[tuple[str, str], int] = {}
        """The newest settlement that paid nothing, its rate being zero."""
        self._asked: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        self._settles_ns = 0
        """The next settlement of any; 0: there is none."""

    def begin(self, now_ns: int, out: Step) -> None:
        """Begin at a start: payments made since the last run are unknown."""
        for venue, account in self._accounts.items():
            if not self._state.began_ns and venue not in self._state.funding:
                # Saved by a version that knew no payments, nor when its ledger began.
                saved_ns = self._state.ts_ns or now_ns
                record = FundingRecord(known_ns=saved_ns, forgotten_ns=saved_ns)
                self._state.funding[venue] = record
            account.funding_since_ns = self._since_ns(venue)
            if self._was_traded(venue):
                self._tell(venue, "its payments were not read since the start", now_ns, out)
            for instrument in account.derivatives:
                self._next_ns[venue, instrument] = self._next_of(venue, instrument, now_ns)
                self._settled_meanwhile(venue, instrument, now_ns, out)
        self._note_next()

    def on_market(self, told: Funding | FundingSettled, now_ns: int, out: Step) -> None:
        """Take in what the venue says of its rates."""
        if isinstance(told, Funding):
            self._on_rate(told, now_ns, out)
        else:
            self._on_settled(told, now_ns)

    def _on_rate(self, rate: Funding, now_ns: int, out: Step) -> None:
        """Learn when a derivative settles next; a later time says that it has settled."""
        key, instant_ns = (rate.venue, rate.instrument), to_second(rate.ts_funding_ns)
        before_ns = self._next_ns.get(key)
        if before_ns is None or instant_ns <= self._settled_ns.get(key, 0):
            return
        if rate.interval_ns:
            settles = Settles(instant_ns, rate.interval_ns)
            self._record(rate.venue).settles[rate.instrument] = settles
        last_ns = instant_ns - (rate.interval_ns or 0)
        if key not in self._settled_ns and 0 < now_ns - last_ns < UNTOLD_NS_MAX:
            self._settle(*key, last_ns, now_ns, out)  # just before this process began
        elif instant_ns > before_ns and before_ns - now_ns < ASK_AFTER_NS:
            self._settle(*key, before_ns, now_ns, out)
        if instant_ns != before_ns:
            self._next_ns[key] = instant_ns
            self._note_next()

    def on_time(self, now_ns: int, out: Step) -> None:
        """Note what has settled by now."""
        if not self._settles_ns or now_ns < self._settles_ns:
            return
        for (venue, instrument), instant_ns in self._next_ns.items():
            if instant_ns <= now_ns:
                self._settle(venue, instrument, instant_ns, now_ns, out)
                self._next_ns[venue, instrument] = self._next_of(venue, instrument, now_ns)
        self._note_next()

    def _on_settled(self, settled: FundingSettled, now_ns: int) -> None:
        """Await nothing of a settlement that pays nothing."""
        instrument, record = settled.instrument, self._state.funding.get(settled.venue)
        awaited = None if record is None else record.awaited.get(instrument)
        is_it = awaited is not None and awaited.instant_ns == to_second(settled.ts_funding_ns)
        if record is not None and is_it and not settled.rate:
            del record.awaited[instrument]
            self._unpaid_ns[settled.venue, instrument] = to_second(settled.ts_funding_ns)
            self._accounts[settled.venue].due["funding"] = now_ns

    def on_payments(self, reply: FundingAnswered, now_ns: int, out: Step) -> None:
        """Book what is new; ask again where the payment of a position held is not told yet."""
        venue, account = reply.venue, self._accounts[reply.venue]
        account.answered("funding")
        account.has_funding = True
        record = self._record(venue)
        for paid in sorted(reply.payments, key=lambda paid: paid.ts_venue_ns):
            if paid.instrument in account.derivatives:
                self._book(venue, record, paid, now_ns, out)
        self._await_held_after_all(venue, record, now_ns, out)
        for instrument, awaited in list(record.awaited.items()):
            if not self._state.books.held_at(venue, instrument, awaited.instant_ns):
                del record.awaited[instrument]  # a trade of before it was told after it
            elif any(
                paid.instrument == instrument
                and record.settled_before(instrument, paid.ts_venue_ns) >= awaited.instant_ns
                for paid in reply.payments
            ):
                del record.awaited[instrument]
            elif not awaited.is_told and now_ns - awaited.since_ns > UNTOLD_NS_MAX:
                awaited.is_told = True
                text = (
                    f"{venue} has told no payment of {instrument} for the funding of "
                    f"{awaited.instant_ns} in {UNTOLD_NS_MAX // SECOND_NS} s; what it paid is "
                    "unknown until it is told"
                )
                alert(out, Severity.WARNING, "FUNDING_NOT_TOLD", text, now_ns)
        if record.awaited:
            self._ask_again(account, now_ns)
        else:
            self._asked.pop(venue, None)
            record.known_ns = reply.until_ns
            self._tell(venue, "", now_ns, out)
        self._prune(venue, record)

    def on_failed(self, reply: FetchFailed, now_ns: int, out: Step) -> None:
        """It could not be asked, and is asked again: unknown is not zero. Trading goes on."""
        venue = reply.action.venue
        account = self._accounts[venue]
        account.failed(reply, now_ns)
        failures = min(account.failures["funding"], 10)
        account.due["funding"] = now_ns + min(AGAIN_NS << failures, AGAIN_NS_MAX)
        if self._record(venue).awaited or (not account.has_funding and self._was_traded(venue)):
            self._tell(venue, f"its payments cannot be read: {reply.reason}", now_ns, out)

    def next_deadline_ns(self, before_ns: int | None) -> int | None:
        """Return when ``on_time`` must be called, or ``before_ns`` where that is earlier."""
        if not self._settles_ns:
            return before_ns
        return self._settles_ns if before_ns is None else min(before_ns, self._settles_ns)

    def _settle(self, venue: str, instrument: str, instant_ns: int, now_ns: int, out: Step) -> None:
        self._settled_ns[venue, instrument] = instant_ns
        due = self._accounts[venue].due
        due["funding"] = min(due.get("funding", now_ns + ASK_AFTER_NS), now_ns + ASK_AFTER_NS)
        if self._state.books.held_at(venue, instrument, instant_ns):
            self._await(venue, instrument, instant_ns, now_ns, out)

    def _await(self, venue: str, instrument: str, instant_ns: int, now_ns: int, out: Step) -> None:
        """Await a payment; the answer that has it has those of earlier settlements too."""
        awaited = self._record(venue).awaited
        before = awaited.get(instrument)
        if before is None or instant_ns > before.instant_ns:
            since_ns = now_ns if before is None else before.since_ns
            is_told = before is not None and before.is_told
            awaited[instrument] = Awaited(instant_ns=instant_ns, since_ns=since_ns, is_told=is_told)
        self._asked.pop(venue, None)
        text = f"what {instrument} paid when it settled at {instant_ns} is not told yet"
        self._tell(venue, text, now_ns, out)

    def _await_held_after_all(
        self, venue: str, record: FundingRecord, now_ns: int, out: Step
    ) -> None:
        """Await what was held at the last settlements, by trades that were told after them."""
        for instrument in self._accounts[venue].derivatives:
            key = venue, instrument
            instant_ns = self._settled_ns.get(key, 0)
            if instant_ns <= max(record.known_ns, self._unpaid_ns.get(key, 0)):
                continue
            if instrument not in record.awaited and self._state.books.held_at(
                venue, instrument, instant_ns
            ):
                self._await(venue, instrument, instant_ns, now_ns, out)

    def _settled_meanwhile(self, venue: str, instrument: str, now_ns: int, out: Step) -> None:
        """Await payments for what was held at settlements while the executor was down."""
        record = self._record(venue)
        for instant_ns in record.settlements(
            instrument, max(record.known_ns, self._state.began_ns), now_ns
        ):
            if self._state.books.held_at(venue, instrument, instant_ns):
                self._settle(venue, instrument, instant_ns, now_ns, out)
                return

    def _book(
        self, venue: str, record: FundingRecord, paid: PaymentReport, now_ns: int, out: Step
    ) -> None:
        key = payment_key(paid)
        is_old = paid.ts_venue_ns <= max(record.forgotten_ns, self._state.began_ns)
        if is_old or key in record.seen:
            return
        record.seen[key] = paid.ts_venue_ns
        self._state.books.fund(venue, paid.instrument, paid.amount, paid.asset)
        out.messages.append(
            FundingPaid(
                ts_ns=now_ns,
                venue=venue,
                instrument=paid.instrument,
                payment_id=paid.payment_id,
                amount=paid.amount,
                asset=paid.asset,
                ts_funding_ns=paid.ts_venue_ns,
                ts_settled_ns=record.settled_before(paid.instrument, paid.ts_venue_ns),
            )
        )

    def _ask_again(self, account: VenueAccount, now_ns: int) -> None:
        asked = self._asked.get(account.venue, 0)
        self._asked[account.venue] = asked + 1
        account.due["funding"] = now_ns + min(AGAIN_NS << min(asked, 10), AGAIN_NS_MAX)

    def _prune(self, venue: str, record: FundingRecord) -> None:
        """Forget payments that are not asked for again, and the oldest beyond the bound."""
        since_ns = self._since_ns(venue)
        by_age = sorted(record.seen.items(), key=lambda item: item[1])
        for key, ts_ns in by_age:
            if ts_ns < since_ns or len(record.seen) > SEEN_MAX:
                del record.seen[key]
                record.forgotten_ns = max(record.forgotten_ns, ts_ns)
        self._accounts[venue].funding_since_ns = since_ns

    def _record(self, venue: str) -> FundingRecord:
        return self._state.funding.setdefault(venue, FundingRecord())

    def _since_ns(self, venue: str) -> int:
        record = self._state.funding.get(venue, FundingRecord())
        return max(self._state.began_ns, record.known_ns - LOOK_BACK_NS, 0)

    def _was_traded(self, venue: str) -> bool:
        quantities = self._state.books.quantities
        return any(f"{venue}|{name}" in quantities for name in self._accounts[venue].derivatives)

    def _tell(self, venue: str, reason: str, now_ns: int, out: Step) -> None:
        """Say how far it is known; the same lack is told once."""
        if reason and self._reasons.get(venue) == reason:
            return
        self._reasons[venue] = reason
        record = self._state.funding.get(venue, FundingRecord())
        out.messages.append(
            FundingKnown(ts_ns=now_ns, venue=venue, ts_known_ns=record.known_ns, reason=reason)
        )

    def _next_of(self, venue: str, instrument: str, now_ns: int) -> int:
        record = self._state.funding.get(venue, FundingRecord())
        return record.next_settlement(instrument, now_ns)

    def _note_next(self) -> None:
        self._settles_ns = min(self._next_ns.values(), default=0)


def payment_key(paid: PaymentReport) -> str:
    """Return the name of a payment among those of its venue."""
    return f"{paid.instrument}|{paid.payment_id}"
