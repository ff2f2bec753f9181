"""Carries actions out at the venues and reports every outcome. IO only through gateways.

Exactly one report comes back for every action but ``Cancel``, whose effect a query shows. A request
that that is not answered in time counts as lost (outcome unknown), never as failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from services.executor.actions import (
    AccountChecked,
    AccountFollowed,
    AccountMissed,
    AccountSeen,
    BalancesAnswered,
    Cancel,
    CheckAccount,
    Fetch,
    FetchFailed,
    FetchFills,
    FetchFunding,
    FetchOpenOrders,
    FillsAnswered,
    FollowAccount,
    FundingAnswered,
    OpenOrdersAnswered,
    Query,
    QueryAnswered,
    QueryFailed,
    Report,
    SetSwitch,
    Submit,
    SubmitLost,
    SubmitNotSent,
    SubmitRefused,
    Submitted,
    SwitchFailed,
    SwitchSet,
)
from services.executor.request_counts import ANSWERED, FAILED, RequestCounts, result_of
from shared.accounts.gateway import BEFORE_SENDING, Gateway, OrderReport, StreamNews
from shared.clock import Clock
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.engine import Action, Result
from shared.errors import Cause, OutcomeUnknown, Rejected, Unavailable, VenueError
from shared.freed_memory import give_back
from shared.histogram import Histogram
from shared.messages.execution import OrderPurpose

READ_TIMEOUT_S = 300.0
"""Many pages of executions wait for the venue's rate limit; each request has its own timeout."""
QUERY_TIMEOUT_S = 20.0
"""The same goes for an order and its executions: given up while it waits, it would have used up
the venue's limit for nothing, and the next one as well."""
CHECK_TIMEOUT_S = 30.0
"""Reading all markets of a venue is many megabytes."""
TIMEOUTS_S: Mapping[type[Action], float] = {
    CheckAccount: CHECK_TIMEOUT_S,
    FetchFills: READ_TIMEOUT_S,
    FetchFunding: READ_TIMEOUT_S,
}
"""Where it is not ``executor.request_timeout_ms``."""


class VenueRequests:
    """The venues' gateways, and how long a request may take.

    ``tick_to_order`` receives, for each leg, the time from the causing tick until the request is
    handed to its gateway. ``check`` raises where another process may be the active executor by
    now: it is called before a request that trades, and again right before that leaves. ``counts``
    is told of every request that has ended.
    """

    def __init__(
        self,
        gateways: Mapping[str, Gateway],
        clock: Clock,
        tick_to_order: Histogram,
        *,
        timeout_s: float,
        check: Callable[[], None] = lambda: None,
        counts: RequestCounts | None = None,
    ) -> None:
        self.gateways = gateways
        self._clock = clock
        self._tick_to_order = tick_to_order
        self._timeout_s, self._check, self._counts = timeout_s, check, counts

    async def carry_out(self, action: Action) -> Report | None:
        """Do it; never raises a ``VenueError``, but whatever ``check`` raises."""
        if isinstance(action, Submit | Cancel | SetSwitch):
            self._check()
            BEFORE_SENDING.set(self._check)
        began_ns = self._clock.monotonic_ns()
        report = None
        if isinstance(action, Cancel):
            result = ANSWERED if await self._cancel(action) else FAILED
        else:
            report = await self._report(action)
            result = result_of(report)
        if self._counts is not None:
            self._counts.note(action, result, self._clock.monotonic_ns() - began_ns)
        return report

    async def _report(self, action: Action) -> Report:
        if isinstance(action, Submit):
            return await self._submit(action)
        if isinstance(action, Query):
            return await self._query(action)
        if isinstance(action, SetSwitch):
            return await self._set_switch(action)
        assert isinstance(action, Fetch), "there are no other actions"
        timeout_s = TIMEOUTS_S.get(type(action), self._timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._fetch(action)
        except VenueError as error:
            return FetchFailed(action, str(error), error.cause)
        except TimeoutError:
            return FetchFailed(action, "no answer in time")

    async def follow(self, action: FollowAccount, deliver: Callable[[Result], None]) -> None:
        """Deliver what a venue pushes about the account, for as long as the process lives."""
        venue = action.venue

        def take(news: StreamNews) -> None:
            if isinstance(news, OrderReport):
                deliver(AccountSeen(venue, news))
            elif news.is_followed:
                deliver(AccountFollowed(venue))
            else:
                deliver(AccountMissed(venue, news.reason, news.is_down))

        await self._gateway(venue).follow(action.instruments, take)

    def _gateway(self, venue: str) -> Gateway:
        """Return the gateway of a venue.

        Raises:
            Unavailable: The venue of an older order is not configured any more.
        """
        gateway = self.gateways.get(venue)
        if gateway is None:
            text = f"{venue} is not traded here any more; trade it until its orders are known"
            raise Unavailable(text, cause=Cause.SERVICE)
        return gateway

    async def _submit(self, action: Submit) -> Report:
        order = action.order
        sent_ns = self._clock.now_ns()
        try:
            async with asyncio.timeout(self._timeout_s):
                report = await self._gateway(order.terms.venue).submit(order)
        except Rejected as error:
            return SubmitRefused(order.client_order_id, str(error), sent_ns, error.cause)
        except Unavailable as error:
            return SubmitNotSent(order.client_order_id, str(error), error.cause)
        except OutcomeUnknown as error:
            return SubmitLost(order.client_order_id, str(error), sent_ns)
        except TimeoutError:
            return SubmitLost(order.client_order_id, "no answer in time", sent_ns)
        finally:  # only now: the other leg waits until this one is on its way
            if action.ts_recv_ns and order.purpose is OrderPurpose.LEG:
                self._tick_to_order.record(sent_ns - action.ts_recv_ns)
        return Submitted(report, sent_ns)

    async def _query(self, action: Query) -> Report:
        try:
            async with asyncio.timeout(max(self._timeout_s, QUERY_TIMEOUT_S)):
                report = await self._gateway(action.key.venue).query(action.key)
        except VenueError as error:
            return QueryFailed(action.key, str(error), error.cause)
        except TimeoutError:
            return QueryFailed(action.key, "no answer in time")
        return QueryAnswered(action.key, report)

    async def _set_switch(self, action: SetSwitch) -> Report:
        try:
            async with asyncio.timeout(self._timeout_s):
                gateway = self._gateway(action.venue)
                none = await gateway.cancel_all_after(action.instruments, action.after_s)
        except VenueError as error:
            return SwitchFailed(action, str(error))
        except TimeoutError:
            return SwitchFailed(action, "no answer in time")
        return SwitchSet(action, none)

    async def _cancel(self, action: Cancel) -> bool:
        """Tell whether the venue took it; the query that follows tells whether the order works."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._gateway(action.key.venue).cancel(action.key)
        except (VenueError, TimeoutError):
            return False
        return True

    async def _fetch(self, action: Fetch) -> Report:
        gateway = self._gateway(action.venue)
        if isinstance(action, CheckAccount):
            await gateway.start()
            give_back()  # what reading all markets took
            return AccountChecked(action.venue, tuple(gateway.unlisted(action.instruments)))
        if isinstance(action, FetchOpenOrders):
            reports = await gateway.open_orders(action.instruments)
            return OpenOrdersAnswered(action.venue, tuple(reports))
        if isinstance(action, FetchFills):
            fills = await gateway.fills_since(action.instruments, action.since_ns)
            return FillsAnswered(action.venue, tuple(fills))
        if isinstance(action, FetchFunding):
            payments = await gateway.funding_since(action.instruments, action.since_ns)
            return FundingAnswered(action.venue, tuple(payments), action.until_ns)
        balances = await gateway.balances()
        perpetual = [
            name
            for name in action.instruments
            if split_instrument(name).kind is not InstrumentKind.SPOT
        ]
        positions = await gateway.positions(perpetual) if perpetual else {}
        return BalancesAnswered(action.venue, balances, positions)


class VenueTransport:
    """Carries actions out side by side.

    Args:
        requests: Carries one out.
        spawn: Starts a task whose failure ends the service.
    """

    def __init__(
        self,
        requests: VenueRequests,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._requests, self._spawn = requests, spawn

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Start an action."""
        if isinstance(action, FollowAccount):
            self._spawn(self._requests.follow(action, deliver))
        else:
            self._spawn(self._carry_out(action, deliver))

    async def _carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        report = await self._requests.carry_out(action)
        if report is not None:
            deliver(report)

    async def close(self) -> None:
        """Nothing to close: the tasks are ended by their owner."""
