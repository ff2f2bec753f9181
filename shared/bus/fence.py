"""The check that goes before every write of a process that holds a lease: is it still the holder?

``WATCH token; EVAL check`` stand before ``MULTI``: where the token is another one, the check breaks
the WATCH and Redis carries out nothing. A WATCH lasts until the next transaction, so the check of
that one is sent as soon as nothing else is: then it costs no time between a decision and its write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from shared.bus.connection import RedisLink, reply_error
from shared.bus.wire import pack
from shared.turns import Turns

AHEAD_S: Final = 0.002
"""How long after a write the check of the next one is sent ahead."""
_CHECK = """
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then return 1 end
redis.call('SET', KEYS[1], held or '0 ')
return redis.error_reply('FENCED the lease is held as ' .. (held or 'nothing'))
"""
"""Where the token is another one, the key is written as it is: that breaks the WATCH. So does a
change between this check and EXEC."""
_MULTI, _EXEC = pack("MULTI"), pack("EXEC")


class Fence:
    """Puts writes on one connection behind the check, once a lease is held.

    Args:
        link: The connection whose checks are sent ahead.
        turns: Taken by whoever writes on ``link`` and waits for the outcome.
    """

    def __init__(self, link: RedisLink, turns: Turns) -> None:
        self._link, self._turns = link, turns
        self._check: list[bytes] = []
        self._checked_on = 0
        """The connection on which a check was sent ahead; 0: on none."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def stands(self) -> bool:
        """Whether a lease is held, so that every write is checked."""
        return bool(self._check)

    @property
    def check(self) -> list[bytes]:
        """The commands of the check."""
        return [*self._check]

    def guard(self, key: str, holder: str) -> None:
        """From now on check before every write that ``key`` is ``holder``."""
        self._check = [pack("WATCH", key), pack("EVAL", _CHECK, 1, key, holder)]
        self._checked_on = 0

    def around(self, commands: Sequence[bytes]) -> list[bytes]:
        """Return commands as one transaction that is carried out only while the lease is ours."""
        return [*self._check, _MULTI, *commands, _EXEC] if self._check else [*commands]

    def next_around(self, commands: Sequence[bytes]) -> list[bytes]:
        """The same for what is sent on the connection at once: without a check sent ahead."""
        if not self._check:
            return [*commands]
        is_checked = self._link.is_connected and self._checked_on == self._link.connects
        self._checked_on = 0
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AHEAD_S, self._check_ahead)
        return [*(() if is_checked else self._check), _MULTI, *commands, _EXEC]

    def stop(self) -> None:
        """Send no check ahead any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _check_ahead(self) -> None:
        self._timer = None
        link = self._link
        if not link.is_connected or link.wire.refused is not None or self._turns.is_taken:
            return  # the next write brings its own
        link.send_now(b"".join(self._check), len(self._check))
        self._checked_on = link.connects

    def check_done(self, result: object) -> None:
        """Refuse the last reply to a transaction that was not carried out.

        Raises:
            ReplyError: Another instance has the lease.
        """
        if self._check and result is None:
            raise reply_error("FENCED the lease changed hands while this was written")
