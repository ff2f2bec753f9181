"""Carries out what the sentinel asks: the venues through gateways, Redis through a link. IO.

One result comes back for each action, whatever happens; nothing is repeated here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from services.sentinel.requests import (
    AllCanceled,
    CancelAll,
    CancelAnswered,
    CancelOrder,
    Close,
    CloseAnswered,
    LagsRead,
    OrdersRead,
    PositionsRead,
    ReadFailed,
    ReadLags,
    ReadOrders,
    ReadPositions,
    ReadTouch,
    ReadTruth,
    Say,
    TouchRead,
    TruthRead,
    VenueRead,
)
from shared.accounts.gateway import PricedGateway
from shared.domain.instrument import is_spot
from shared.engine import Action, Result
from shared.errors import ArbError, Cause, Rejected, Unavailable, VenueError
from shared.messages.control import Severity
from shared.streams import BY_NAME
from shared.watch.kept_link import KeptLink
from shared.watch.lags import read_lags
from shared.watch.link import Target

log = logging.getLogger(__name__)

Deliver = Callable[[Result], None]
START_TIMEOUT_S: Final = 60.0
"""Reading all markets of a venue is many megabytes."""
READ_TIMEOUT_S: Final = 20.0
CANCEL_ALL_WITHIN_S: Final = 1.0
"""Working orders are read after that, whether the venue has answered cancel-all or not."""
WATCHED: Final = ("exec.plan", "exec.event", "ctl.command", "risk.event", "md.depth")
"""Streams whose readers must keep up."""


class VenueGateways:
    """The venues' gateways; each is made ready at the first request, and again after a failure."""

    def __init__(
        self,
        gateways: Mapping[str, PricedGateway],
        *,
        timeout_s: float,
        missing: Mapping[str, str] | None = None,
    ) -> None:
        self._gateways, self._timeout_s, self._missing = gateways, timeout_s, missing or {}
        self._ready: dict[str, None] = {}
        self._starting = {venue: asyncio.Lock() for venue in gateways}

    async def carry_out(self, action: Action) -> Result:
        """Do it; never raises a ``VenueError``."""
        if isinstance(action, CancelAll):
            return await self._cancel_all(action)
        if isinstance(action, CancelOrder):
            return CancelAnswered(action.key, await self._try(self._cancel(action)))
        if isinstance(action, Close):
            return CloseAnswered(action.order, await self._try(self._close(action)))
        assert isinstance(action, VenueRead), "there are no other actions"
        try:
            gateway = await self._gateway(action.venue)
            async with asyncio.timeout(max(self._timeout_s, READ_TIMEOUT_S)):
                return await self._read(gateway, action)
        except VenueError as error:
            return ReadFailed(action, str(error))
        except TimeoutError:
            return ReadFailed(action, "no answer in time")

    async def close(self) -> None:
        """Close the venues' connections."""
        for gateway in self._gateways.values():
            await gateway.close()

    async def _gateway(self, venue: str) -> PricedGateway:
        if venue not in self._gateways:
            text = self._missing.get(venue, "there is no way to it")
            raise Unavailable(f"{venue}: {text}", cause=Cause.KEY)
        gateway = self._gateways[venue]
        async with self._starting[venue]:
            if venue not in self._ready:
                async with asyncio.timeout(START_TIMEOUT_S):
                    try:
                        await gateway.start()
                    except Rejected as why:  # it may not trade here; orders can be canceled
                        log.warning("not_to_be_traded", extra={"venue": venue, "why": str(why)})
                self._ready[venue] = None
        return gateway

    async def _try(self, request: Coroutine[Any, Any, None]) -> str:
        """Return why it was not answered well; empty if it was."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await request
        except VenueError as error:
            return str(error)
        except TimeoutError:
            return "no answer in time"
        return ""

    async def _cancel_all(self, action: CancelAll) -> AllCanceled:
        try:
            gateway = await self._gateway(action.venue)
            async with asyncio.timeout(min(self._timeout_s, CANCEL_ALL_WITHIN_S)):
                none = await gateway.cancel_all(action.instruments)
        except VenueError as error:
            return AllCanceled(action.venue, problem=str(error))
        except TimeoutError:
            return AllCanceled(action.venue, problem="no answer in time")
        return AllCanceled(action.venue, none=none)

    async def _cancel(self, action: CancelOrder) -> None:
        await (await self._gateway(action.key.venue)).cancel(action.key)

    async def _close(self, action: Close) -> None:
        await (await self._gateway(action.order.terms.venue)).submit(action.order)

    async def _read(self, gateway: PricedGateway, action: VenueRead) -> Result:
        if not isinstance(action, ReadTruth):
            gateway.hurry()
        if isinstance(action, ReadOrders):
            orders = await gateway.open_orders(action.instruments)
            return OrdersRead(action.venue, tuple(orders))
        if isinstance(action, ReadPositions):
            return PositionsRead(action.venue, await gateway.positions(action.instruments))
        if isinstance(action, ReadTouch):
            touch = await gateway.touch(action.instrument)
            return TouchRead(action.venue, action.instrument, touch.bid, touch.ask, touch.tick_size)
        listed = set(action.instruments) - set(gateway.unlisted(action.instruments))
        derivatives = [name for name in action.instruments if name in listed and not is_spot(name)]
        orders = await gateway.open_orders(action.instruments)
        balances = await gateway.balances()
        positions = await gateway.positions(derivatives) if derivatives else {}
        return TruthRead(
            action.venue,
            tuple(orders),
            {asset: each.free + each.used for asset, each in balances.items()},
            positions,
        )


class SentinelTransport:
    """Carries actions out side by side.

    Args:
        gateways: Of the venues.
        target: Redis, for what is read there beside the inputs.
        shards: Of the streams that have any.
        spawn: Starts a task whose failure ends the service.
    """

    def __init__(
        self,
        gateways: VenueGateways,
        target: Target,
        shards: int,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._gateways, self._link, self._spawn = gateways, KeptLink(target), spawn
        self._keys = {
            spec.key(shard): spec.name
            for spec in map(BY_NAME.__getitem__, WATCHED)
            for shard in range(shards if spec.sharded else 1)
        }

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action."""
        if isinstance(action, Say):
            level = logging.INFO if action.severity is Severity.INFO else logging.ERROR
            log.log(level, action.event, extra={"reason": action.text})
        else:
            self._spawn(self._carry_out(action, deliver))

    async def close(self) -> None:
        """Close the connections to venues and Redis; the tasks are ended by their owner."""
        try:
            await self._gateways.close()
        finally:
            await self._link.close()

    async def _carry_out(self, action: Action, deliver: Deliver) -> None:
        if isinstance(action, ReadLags):
            deliver(await self._read_lags(action))
        else:
            deliver(await self._gateways.carry_out(action))

    async def _read_lags(self, action: ReadLags) -> Result:
        try:
            async with self._link.lent() as link:
                return LagsRead(await read_lags(link, self._keys))
        except ArbError as error:
            return ReadFailed(action, str(error))
