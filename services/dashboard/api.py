"""What signed-in browsers may ask for: snapshots, charts, and an operator's commands. IO."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from services.dashboard.access import Access, Refused, Role, Session
from services.dashboard.answers import ADDRESS, SESSION, error_of, json_of, read_body
from services.dashboard.channel import RequestError, snapshot
from services.dashboard.commands import ACTIONS, TYPED, give, not_answered, outcome_of
from services.dashboard.engine import AGE_MS_MAX, DashboardEngine
from services.dashboard.live import LiveChannel
from services.dashboard.trail import Trail
from shared.cancel import cancel_and_wait
from shared.clock import Clock
from shared.errors import BusUnavailable, ConfigError
from shared.messages.control import CommandKind
from shared.watch.link import Target

ANSWER_WITHIN_S: Final = 7.0
"""Longer than risk has to confirm, and shorter than the page waits."""
AT_ONCE_MAX: Final = 8
"""Commands that wait for their confirmation; a HALT is given however many there are."""
HALT_FIRST_S: Final = 1.0
"""A HALT is sent before it is written down, as a disk may hang; so long at most."""
GIVEN_MAX: Final = 64
"""So many of the last commands are remembered by their ids."""


class CommandBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a command.

    ``id`` is the sender's name for it: one command of an action and an id is given however often it
    arrives, as a browser repeats a request by itself where a connection that was kept open is cut.
    Another action under the same id is another command.
    """

    action: str
    typed: str = ""
    token: str = ""
    id: Annotated[str, Meta(max_length=64)] = ""


Given = tuple[int, dict[str, Any]]
"""What became of a command: the status and body of the answer."""


class _Once:
    """Writes once that a command was asked for."""

    def __init__(self, trail: Trail, who: str, address: str, action: str) -> None:
        self._trail, self._what, self._is_written = trail, (who, address, action), False

    def write(self) -> None:
        """Write it, unless that is done."""
        if not self._is_written:
            self._is_written = True
            self._trail.did(*self._what, "asked for")


class Api:
    """The handlers, behind the checks of the server.

    Args:
        engine: What is shown.
        access: Who may do what.
        trail: Where it is written who did.
        clock: Tells the time.
        target: The Redis that commands go to; ``None``: nobody may give any.
        version: Of the program.
    """

    def __init__(
        self,
        engine: DashboardEngine,
        access: Access,
        trail: Trail,
        clock: Clock,
        *,
        target: Target | None,
        version: str,
    ) -> None:
        self._engine, self._access, self.trail, self.clock = engine, access, trail, clock
        self._target, self._version = target, version
        self._giving: set[asyncio.Task[Given]] = set()
        self._given: dict[tuple[str, str], tuple[CommandKind, asyncio.Task[Given]]] = {}
        self.live = LiveChannel(engine, access, trail, clock, self.hello)

    def hello(self, session: Session) -> dict[str, Any]:
        """Return what a client is told first."""
        return {
            "type": "hello",
            "role": session.role,
            "now_ms": self.clock.now_ns() // 1_000_000,
            "version": self._version,
            "mode": self._engine.mode,
            "is_command_allowed": session.role is Role.OPERATOR and self._target is not None,
            "age_ms_max": AGE_MS_MAX,
            "topics": list(AGE_MS_MAX),
        }

    async def me(self, request: web.Request) -> web.StreamResponse:
        """Answer who is signed in."""
        session = request[SESSION]
        is_fresh = session.is_fresh(self.clock.monotonic_ns())
        return json_of({**self.hello(session), "is_token_fresh": is_fresh})

    async def snapshot(self, request: web.Request) -> web.StreamResponse:
        """Answer with one frame of the topics that are named."""
        names, now_ns = request.query.getall("topic", []), self.clock.now_ns()
        known = [name for name in names if name in self._engine.topics]
        self._engine.refresh(dict.fromkeys(known), now_ns)
        try:
            frame = snapshot(self._engine.topics, names, now_ns)
        except RequestError as error:
            return error_of(400, error.reason)
        hello = msgspec.json.encode(self.hello(request[SESSION]))
        body = frame[:-1] + b',"hello":' + hello + b"}"
        return web.Response(body=body, content_type="application/json")

    async def series(self, request: web.Request) -> web.StreamResponse:
        """Answer which series there are."""
        del request
        return json_of({"series": self._engine.charts.series()})

    async def chart(self, request: web.Request) -> web.StreamResponse:
        """Answer with the window of a series."""
        name, step = request.query.get("series", ""), request.query.get("step_s", "1")
        if step not in {"1", "10", "60"}:
            return error_of(400, "step_s is 1, 10 or 60")
        found = self._engine.charts.window(name, int(step), self.clock.now_ns())
        if found is None:
            return error_of(404, f"no series {name[:100]!r} with a step of {step} s")
        return json_of(found)

    def try_token(self, token: str, address: str, action: str) -> Role | web.Response:
        """Return the role that a token gives, or the answer that it gives none."""
        role = self._access.role_of(token)
        if role is not None:
            return role  # whatever others tried from there, behind the same proxy maybe
        if not self._access.may_try(address, self.clock.monotonic_ns()):
            self.trail.refused(Refused.TOO_OFTEN, "-", address, action)
            return error_of(429, "too many wrong tokens from here; wait a minute")
        self.trail.refused(Refused.TOKEN, "-", address, action)
        return error_of(401, "this token is not known")

    async def command(self, request: web.Request) -> web.StreamResponse:
        """Give an operator's command, and answer what became of it."""
        session, address = request[SESSION], request[ADDRESS]
        body = await read_body(request, CommandBody)
        if isinstance(body, web.Response):
            return body
        kind = ACTIONS.get(body.action)
        if kind is None:
            return error_of(400, f"no such action; there are {', '.join(ACTIONS)}")
        of, known = self._given.get((session.id, body.id), (None, None))
        if known is not None and of is kind:
            return await self._answer(known)
        flaw = self._flaw_of(session, kind, body, address)
        if flaw is not None:
            return flaw
        asked = _Once(self.trail, session.name, address, body.action)
        if kind is not CommandKind.HALT:
            asked.write()
            if self.trail.problem:
                return error_of(503, f"not given: the audit trail {self.trail.problem}")
        giving = asyncio.create_task(self._give(kind, session, address, asked))
        self._giving.add(giving)
        giving.add_done_callback(self._giving.discard)
        if body.id:
            self._given[session.id, body.id] = kind, giving
            if len(self._given) > GIVEN_MAX:
                del self._given[next(iter(self._given))]
        within_s = ANSWER_WITHIN_S
        if kind is CommandKind.HALT:
            await asyncio.wait({giving}, timeout=HALT_FIRST_S)
            asked.write()
            within_s -= HALT_FIRST_S
        answer = await self._answer(giving, within_s)
        if not giving.done():
            self.trail.did(session.name, address, body.action, "no answer of Redis yet")
        return answer

    async def given(self, request: web.Request) -> web.StreamResponse:
        """Answer what became of a command, for who has lost the answer to it."""
        known = self._given.get((request[SESSION].id, request.query.get("id", "")))
        return error_of(404, "no such command") if known is None else await self._answer(known[1])

    @staticmethod
    async def _answer(
        giving: asyncio.Task[Given], within_s: float = ANSWER_WITHIN_S
    ) -> web.Response:
        """Answer what became of a command, or that this is not known yet.

        It goes on where Redis takes its time, and the trail says later what became of it.
        """
        done, _ = await asyncio.wait({giving}, timeout=within_s)
        status, told = giving.result() if done else (202, not_answered())
        return json_of(told, status=status)

    async def _give(self, kind: CommandKind, session: Session, address: str, asked: _Once) -> Given:
        """Give a command, write what became of it and return that."""
        assert self._target is not None
        action = kind.lower()
        try:
            result = await give(self._target, kind, session, address)
        except (BusUnavailable, ConfigError) as error:
            asked.write()
            self.trail.did(session.name, address, action, f"not sent: {error}")
            return 503, {"error": str(error)}
        told = outcome_of(result, kind)
        asked.write()
        self.trail.did(
            session.name,
            address,
            action,
            f"{told['outcome']}: {told['text']}",
            command_id=result.command_id,
        )
        return 202, told

    async def close(self) -> None:
        """Give up commands that are under way."""
        await cancel_and_wait(tuple(self._giving))

    def _flaw_of(
        self, session: Session, kind: CommandKind, body: CommandBody, address: str
    ) -> web.Response | None:
        """Return the answer to who may not give a command, ``None`` where he may."""
        if session.role is not Role.OPERATOR or self._target is None:
            self.trail.refused(Refused.ROLE, session.name, address, body.action)
            if session.role is not Role.OPERATOR:
                return error_of(
                    403, "a viewer gives no commands; sign in with the operator's token"
                )
            return error_of(403, "commands are off: dashboard.operator is false")
        if kind is CommandKind.HALT:
            return None
        if len(self._giving) >= AT_ONCE_MAX:
            return error_of(429, "too many commands at once")
        wanted = TYPED.get(kind)
        if wanted is not None and body.typed != wanted:
            self.trail.refused(Refused.TYPED, session.name, address, body.action)
            return error_of(400, f"type {wanted} to confirm")
        return self._flaw_of_token(session, body, address)

    def _flaw_of_token(
        self, session: Session, body: CommandBody, address: str
    ) -> web.Response | None:
        """Ask for the token again where it was given some time ago."""
        now_ns = self.clock.monotonic_ns()
        if not body.token:
            if session.is_fresh(now_ns):
                return None
            self.trail.refused(Refused.TOKEN, session.name, address, body.action)
            return error_of(403, "token", is_token_needed=True)
        role = self.try_token(body.token, address, body.action)
        if not isinstance(role, Role):
            return role
        if role is not Role.OPERATOR:
            self.trail.refused(Refused.ROLE, session.name, address, body.action)
            return error_of(403, "this is the viewer's token", is_token_needed=True)
        session.fresh_ns = now_ns
        return None
