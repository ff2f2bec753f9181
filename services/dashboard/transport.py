"""Reads of Redis what the dashboard asks for, on connections of its own. IO.

One result comes back for each action, whatever happens; nothing is repeated here. What lies back is
read with every new connection: who shows it takes each message once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from services.dashboard.requests import (
    DecisionsRead,
    ReadDecisions,
    ReadFailed,
    ReadStreams,
    StreamsRead,
)
from shared.engine import Action, Result
from shared.errors import ArbError
from shared.messages.base import Message
from shared.streams import (
    ALERT,
    ARB_OPPORTUNITY,
    CTL_COMMAND,
    EXEC_EVENT,
    EXEC_PLAN,
    MD_INSTRUMENT,
    StreamSpec,
)
from shared.watch.link import Link, Target, open_link
from shared.watch.stream_state import StreamGauge

Deliver = Callable[[Result], None]
ANSWER_S: Final = 2.5
"""Below the limit after which Redis counts as away."""
FOLLOWED: Final = (EXEC_PLAN, CTL_COMMAND)
HISTORY: Final = (
    (MD_INSTRUMENT, 200),
    (ALERT, 200),
    (ARB_OPPORTUNITY, 100),
    (EXEC_EVENT, 1_000),
)
"""What else is read when a connection is made, and how many entries of it."""
PLANS_BACK: Final = 100


class RedisReader:
    """Carries actions out, each kind on a connection of its own.

    Args:
        target: Redis.
        shards: Of the streams that have any.
        spawn: Starts a task whose failure ends the service.
    """

    def __init__(
        self,
        target: Target,
        shards: int,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._target, self._spawn = target, spawn
        self._gauge = StreamGauge(shards)
        self._links: dict[type[Action], tuple[AsyncExitStack, Link]] = {}
        self._after: dict[str, tuple[StreamSpec, str]] = {}

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action."""
        self._spawn(self._carry_out(action, deliver))

    async def close(self) -> None:
        """Close the connections."""
        for kind in list(self._links):
            await self._drop(kind)

    async def _carry_out(self, action: Action, deliver: Deliver) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                deliver(await self._read(action))
            return
        except TimeoutError:
            reason = f"no answer within {ANSWER_S:g} s"
        except ArbError as error:
            reason = str(error)
        await self._drop(type(action))
        deliver(ReadFailed(action, reason))

    async def _drop(self, kind: type[Action]) -> None:
        if (known := self._links.pop(kind, None)) is not None:
            await known[0].aclose()

    async def _read(self, action: Action) -> Result:
        is_new = type(action) not in self._links
        if is_new:
            stack = AsyncExitStack()
            self._links[type(action)] = (
                stack,
                await stack.enter_async_context(open_link(self._target)),
            )
        link = self._links[type(action)][1]
        if isinstance(action, ReadStreams):
            return StreamsRead(*await self._gauge.read(link))
        assert isinstance(action, ReadDecisions), "there are no other actions"
        messages = await self._history(link) if is_new else []
        messages += [item.message for item in await link.read(self._after)]
        return DecisionsRead(tuple(messages))

    async def _history(self, link: Link) -> list[Message]:
        """Read what lies back, and note where each followed stream ends."""
        messages: list[Message] = []
        for spec in FOLLOWED:
            items = await link.newest(spec, count=PLANS_BACK)
            messages += [item.message for item in items]
            self._after[spec.key()] = spec, items[-1].entry_id if items else "0-0"
        for spec, count in HISTORY:
            messages += [item.message for item in await link.newest(spec, count=count)]
        return messages
