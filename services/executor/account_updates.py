"""What venues push about our orders, beside the answers to requests. Pure.

News of an order may come before the answer to its request, after it, twice, late, out of order or
not at all. Each piece is applied like an answer, through the order's table, fills once by trade id:
whichever channel tells a fill first makes it known. REST stays authoritative: an order that is
pushed but not on record is looked up by REST first, unless its fills are old (a new subscription
may tell the last ones again); one that rests makes the open orders be listed at once. Where
something may be missing (the connection was lost, the numbering has a hole, a message could not be
read) executions and working orders are read again, from shortly before the stream was last
complete.

While the stream is complete, an order that was answered but is not settled is queried a little
later than otherwise: the stream nearly always reports the rest, and some venues limit queries.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.executor.actions import AccountFollowed, AccountMissed, AccountSeen, FollowAccount
from services.executor.ids import parse_client_order_id
from services.executor.journal import alert
from services.executor.old_fills import old_until_ns
from services.executor.reductions import LOOK_BACK_NS
from services.executor.state import ExecutorState
from services.executor.venue_account import VenueAccount
from services.executor.working_orders import WorkingOrders
from shared.config_sections import ExecutorConfig
from shared.engine import Step
from shared.messages.control import Severity
from shared.messages.execution import OrderStatus


class AccountUpdates:
    """Applies account updates. Not part of the checkpoint: a start reads the accounts again."""

    def __init__(
        self,
        state: ExecutorState,
        orders: WorkingOrders,
        accounts: Mapping[str, VenueAccount],
        settings: ExecutorConfig,
    ) -> None:
        self._state, self._orders, self._accounts = state, orders, accounts
        self._is_wanted = settings.account_streams
        self._asked: set[str] = set()
        self._whole_ns: dict[str, int] = {}
        """Venue -> until when everything that it pushed has arrived, if something is missing."""
        self._down: set[str] = set()

    def follow(self, venue: str, out: Step) -> None:
        """Ask for it, once, now that the account is as it must be."""
        account = self._accounts[venue]
        if self._is_wanted and venue not in self._asked:
            self._asked.add(venue)
            out.actions.append(FollowAccount(venue, account.listed))

    def on_followed(self, reply: AccountFollowed, now_ns: int, out: Step) -> None:
        """Everything is pushed from now on: read what was not."""
        venue = reply.venue
        if venue in self._down:
            self._down.discard(venue)
            text = f"{venue} tells of orders and fills as they happen again"
            alert(out, Severity.INFO, "ACCOUNT_STREAM_BACK", text, now_ns, venue)
        self._orders.streamed.add(venue)
        self._read_again(venue, self._whole_ns.pop(venue, now_ns), now_ns)

    def on_missed(self, reply: AccountMissed, now_ns: int, out: Step) -> None:
        """Something is missing: read it; while all is, answers alone tell."""
        venue = reply.venue
        if not reply.is_down:
            self._read_again(venue, now_ns, now_ns)
            return
        self._orders.streamed.discard(venue)
        for order in self._state.orders.values():  # asked at once, as without it
            if order.venue == venue and order.ts_ended_ns and not order.life.is_settled:
                order.next_query_ns = min(order.next_query_ns or now_ns, now_ns)
        self._whole_ns.setdefault(venue, now_ns)
        if venue not in self._down:
            self._down.add(venue)
            text = f"{venue} does not tell of orders and fills as they happen ({reply.reason}); "
            text += "they are asked for"
            alert(out, Severity.WARNING, "ACCOUNT_STREAM_DOWN", text, now_ns, venue)

    def on_seen(self, reply: AccountSeen, now_ns: int, out: Step) -> list[str]:
        """Apply news of an order of ours; return the plans touched."""
        report = reply.report
        order = self._state.orders.get(report.client_order_id)
        if order is not None:
            if order.terms.market != (reply.venue, report.terms.instrument):
                return []
            self._orders.apply(order, report, now_ns, out)
            return [order.plan_id]
        is_ours = parse_client_order_id(report.client_order_id) is not None
        if report.fills and (is_ours or report.forced):
            account = self._accounts[reply.venue]
            filled_ns = max(fill.ts_venue_ns for fill in report.fills)
            if 0 < filled_ns <= old_until_ns(self._state):
                return []
            question = account.look_up(report.venue_order_id, report.terms.instrument, filled_ns)
            out.actions.extend([question] if question else [])
        elif is_ours and report.status is OrderStatus.ACCEPTED:
            # Its record was lost before it arrived there: it rests, and may trade with the next.
            due = self._accounts[reply.venue].due
            due["open"] = min(due.get("open", now_ns), now_ns)
        return []

    def _read_again(self, venue: str, whole_ns: int, now_ns: int) -> None:
        account = self._accounts[venue]
        if account.has_fills:  # else that is under way
            account.sweep_later(whole_ns - LOOK_BACK_NS, now_ns)
            account.due["fills"] = account.due["open"] = now_ns
