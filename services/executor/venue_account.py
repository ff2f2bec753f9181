"""Queries of one venue account other than orders: checks, executions, balances. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.executor.actions import (
    CheckAccount,
    FetchBalances,
    FetchFailed,
    FetchFills,
    FetchFunding,
    FetchOpenOrders,
    Query,
)
from shared.accounts.gateway import FillReport, OrderKey, OrderReport
from shared.domain.instrument import is_spot
from shared.engine import Action
from shared.errors import Cause
from shared.messages.fill_key import FillKey

SWEEP_AFTER_NS: Final = 1_500_000_000
"""Executions are read again this long after a plan ended."""
RETRY_NS: Final = 1_000_000_000
"""Pause after a first failure; doubles with each further one."""
RETRY_NS_MAX: Final = 5_000_000_000
READ_WAIT_NS: Final = 20_000_000_000
"""After a start, a venue must have been read within this."""
LOOKUPS_MAX: Final = 256
"""Unknown executions looked up at a time; foreign orders remembered."""


class VenueAccount:
    """One venue's part of the reconciliation; not part of the checkpoint: a start has none."""

    def __init__(self, venue: str, instruments: tuple[str, ...]) -> None:
        self.venue = venue
        self.instruments = instruments
        self.listed = instruments
        self.derivatives = tuple(name for name in instruments if not is_spot(name))
        self.has_funding = False
        self.funding_since_ns = 0
        self.is_checked = False
        self.was_read = False
        self.has_open_orders = False
        self.has_fills = False
        self.has_balances = False
        self.problem = "no answer yet"
        self.cause = Cause.SERVICE
        self.failures: dict[str, int] = {}
        self.ts_begun_ns = 0
        self.lookups: dict[str, int] = {}
        """When an order that is looked up was filled, 0 if that is not known; by the venue's id."""
        self.foreign: dict[str, None] = {}
        self.forced: dict[str, OrderReport] = {}
        self.reductions: dict[FillKey, tuple[OrderReport, FillReport]] = {}
        self.odd: dict[str, Decimal] = {}
        self.positions_ns = 0
        self.due: dict[str, int] = {}
        self.since_ns = 0
        self.sweep_until_ns = 0
        self.read_again_ns = 0
        self.fills_read_ns = self.balances_asked_ns = 0
        self.pending: set[str] = set()

    @property
    def is_reconciled(self) -> bool:
        """Whether everything that the venue shows has been taken over."""
        is_read = self.has_open_orders and self.has_fills and self.has_balances
        return self.is_checked and is_read and not self.lookups

    def begin(self, since_ns: int, now_ns: int) -> None:
        """Check the account, then ask for everything, executions from ``since_ns`` on."""
        self.since_ns, self.ts_begun_ns = since_ns, now_ns
        self.due = {"check": now_ns}

    def check(self, now_ns: int) -> None:
        """Check the account now."""
        self.due["check"] = now_ns

    def answered(self, what: str) -> None:
        """Note that a request was answered."""
        self.pending.discard(what)
        self.failures.pop(what, None)

    def read(self, now_ns: int) -> None:
        """Ask for what was never answered: a failed check does not prevent that."""
        for what, is_known in (
            ("open", self.has_open_orders),
            ("fills", self.has_fills),
            ("balances", self.has_balances),
            ("funding", self.has_funding or not self.derivatives),
        ):
            if not is_known and what not in self.pending:
                self.due.setdefault(what, now_ns)

    def sweep_later(self, since_ns: int, now_ns: int) -> None:
        """Read the executions once more, a little later; other requests stay."""
        if "fills" not in self.due and "fills" not in self.pending:
            self.since_ns = since_ns
        self.since_ns = min(self.since_ns, since_ns)
        self.sweep(now_ns + SWEEP_AFTER_NS)

    def sweep(self, at_ns: int) -> None:
        """Read the executions then, and whenever they were to be read anyway."""
        self.sweep_until_ns = max(self.sweep_until_ns, at_ns)
        self.due["fills"] = min(self.due.get("fills", at_ns), at_ns)

    def read_again(self, since_ns: int, now_ns: int) -> None:
        """Read positions and executions now, and executions once more a little later."""
        self.sweep_later(since_ns, now_ns)
        self.due["balances"] = self.due["fills"] = self.read_again_ns = now_ns

    def is_reading_again(self, until_ns: int, now_ns: int) -> bool:
        """Tell whether that is still under way, and worth waiting for."""
        is_read = self.fills_read_ns > self.read_again_ns and not self.lookups
        return now_ns < until_ns and not is_read

    def ask_due(self, floor_ns: int, now_ns: int) -> list[Action]:
        """Return the fetches that are due, executions from ``floor_ns`` on at the earliest."""
        asked: list[Action] = []
        for what in [w for w, at in self.due.items() if at <= now_ns and w not in self.pending]:
            del self.due[what]
            self.pending.add(what)
            if what == "check":
                asked.append(CheckAccount(self.venue, self.instruments))
            elif what == "open":
                asked.append(FetchOpenOrders(self.venue, self.listed))
            elif what == "fills":
                since = max(self.since_ns, floor_ns)
                if now_ns < self.sweep_until_ns:  # too early for the newest plan's late fills
                    self.due[what] = self.sweep_until_ns
                asked.append(FetchFills(self.venue, self.listed, since))
            elif what == "funding":
                asked.append(
                    FetchFunding(self.venue, self.derivatives, self.funding_since_ns, now_ns)
                )
            else:
                self.balances_asked_ns = now_ns
                asked.append(FetchBalances(self.venue, self.listed))
        return asked

    def failed(self, reply: FetchFailed, now_ns: int) -> None:
        """Ask again in a while."""
        what = _WHAT[type(reply.action)]
        self.pending.discard(what)
        self.problem, self.cause = f"{what}: {reply.reason}", reply.cause
        if what == "check":
            self.read(now_ns)
        if what != "check" or not self.is_checked:  # a probe is repeated by its caller
            failures = self.failures.get(what, 0)
            self.due[what] = now_ns + min(RETRY_NS << min(failures, 10), RETRY_NS_MAX)
            self.failures[what] = failures + 1

    @property
    def is_reading(self) -> bool:
        """Whether executions are being read, or will be: one of before may be told then."""
        return "fills" in self.due or "fills" in self.pending

    @property
    def read_until_ns(self) -> int:
        """Until when it must have been read for the first time."""
        return self.ts_begun_ns + READ_WAIT_NS

    @property
    def unread(self) -> str:
        """What is wrong where it was not read in time."""
        return f"its account could not be read since the start, {self.problem}"

    def next_deadline_ns(self) -> int | None:
        """Return when the next fetch is due."""
        if not self.due:  # nearly always
            return None
        due_ns, pending = None, self.pending
        for what, at_ns in self.due.items():  # asked after every step, so written out
            if (due_ns is None or at_ns < due_ns) and what not in pending:
                due_ns = at_ns
        return due_ns

    def remember_foreign(self, venue_order_id: str) -> None:
        """Remember an order that is not ours, so that it is not looked up again."""
        self.foreign[venue_order_id] = None
        while len(self.foreign) > LOOKUPS_MAX:
            del self.foreign[next(iter(self.foreign))]

    def remember_forced(self, venue_order_id: str, report: OrderReport) -> None:
        """Remember an order of the venue's own, of which more fills may come."""
        self.forced[venue_order_id] = report
        while len(self.forced) > LOOKUPS_MAX:
            del self.forced[next(iter(self.forced))]

    def look_up(self, venue_order_id: str, instrument: str, filled_ns: int) -> Action | None:
        """Return the question for an order we do not know, unless it was asked already."""
        if venue_order_id in self.lookups or venue_order_id in self.foreign:
            return None
        if len(self.lookups) >= LOOKUPS_MAX:
            return None
        self.lookups[venue_order_id] = filled_ns
        key = OrderKey(venue=self.venue, instrument=instrument, venue_order_id=venue_order_id)
        return Query(key)


_WHAT: Final = {
    CheckAccount: "check",
    FetchOpenOrders: "open",
    FetchFills: "fills",
    FetchBalances: "balances",
    FetchFunding: "funding",
}
