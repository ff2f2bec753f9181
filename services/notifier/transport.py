"""Carries out what the notifier asks: messages and pings over a courier, its state to Redis, and
what metrics need of Redis and the host. IO.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from services.notifier.requests import Ping, Pinged, Save
from shared.bus.port import Bus
from shared.engine import Action, Result
from shared.errors import BusUnavailable
from shared.metrics.reader import Reader
from shared.notify.courier import Courier
from shared.notify.requests import Send

log = logging.getLogger(__name__)

Deliver = Callable[[Result], None]


class ChannelTransport:
    """Carries actions out, all beside each other.

    Args:
        courier: Of the channels.
        heartbeat_url: The dead man's switch.
        bus: Where the state is kept.
        spawn: Starts a task whose failure ends the service.
        reader: Of what metrics need of Redis and the host.
    """

    def __init__(
        self,
        courier: Courier,
        heartbeat_url: str,
        bus: Bus,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        reader: Reader,
    ) -> None:
        self._reader = reader
        self._courier, self._heartbeat_url = courier, heartbeat_url
        self._bus, self._spawn = bus, spawn

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action."""
        if isinstance(action, Send):
            self._spawn(self._send(action, deliver))
        elif isinstance(action, Ping):
            self._spawn(self._ping(deliver))
        elif isinstance(action, Save):
            self._spawn(self._save(action))
        else:
            self._reader.carry_out(action, deliver)

    async def close(self) -> None:
        """Close the connections."""
        await self._courier.close()
        await self._reader.close()

    async def _send(self, send: Send, deliver: Deliver) -> None:
        sent = await self._courier.send(send)
        if sent.problem:
            log.warning("not_sent", extra={"channel": sent.channel, "reason": sent.problem})
        deliver(sent)

    async def _ping(self, deliver: Deliver) -> None:
        deliver(Pinged(await self._courier.ping(self._heartbeat_url)))

    async def _save(self, action: Save) -> None:
        try:
            await self._bus.save_checkpoint("notifier", action.state)
        except BusUnavailable as error:  # it is saved again within a minute
            log.warning("state_not_saved", extra={"reason": str(error)})
