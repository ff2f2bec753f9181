"""Send a command to the running system and wait, bounded, until it shows its effect."""

from __future__ import annotations

import asyncio
import getpass
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from shared.bus.keys import OPERATOR_KEY, find_command_keys, variable_of
from shared.bus.signing import NO_KEYS, SigningKeys
from shared.clock import SystemClock
from shared.errors import BusUnavailable, ConfigError
from shared.messages.base import TradingState
from shared.messages.control import Alert, Command, CommandKind, Heartbeat
from shared.messages.execution import ExecutorReady, RiskReport, TradingStateChanged
from shared.streams import ALERT, CTL_COMMAND, EXEC_EVENT, RISK_EVENT, SYS_HEALTH, StreamSpec
from shared.watch.link import Link

CONFIRM_WITHIN_S = 5.0
FLAT_WITHIN_S = 30.0
BLOCK_MS = 250
KILL_BY_HAND = "arb kill cancels every order at the venues, with or without Redis"
STOP_BY_HAND = (
    "to stop trading now, stop the executor (systemctl stop arbstream@executor, or docker compose "
    f"stop executor); {KILL_BY_HAND}"
)
SILENT_AFTER_NS = 5_000_000_000
"""Heartbeats come every second; who was not heard for this long is dead."""
HANDS = ("risk", "executor", "sentinel")
"""Who carries commands out."""
BEATS_BACK = 200


@dataclass(slots=True)
class CommandResult:
    """What became of a command.

    ``is_kept`` tells whether Redis still held it when we looked last, ``is_redis_heard`` whether it
    answered when it was asked last; ``sent`` how often it was
    sent, more than once where Redis' data fell back behind it. ``dead`` are those who would carry
    it out and are not heard, and for how many seconds (``None``: never); ``sentinel`` is what the
    sentinel said that it did about it, ``sentinel_acts`` whether it lives and may act.
    ``audit_problem`` is why the audit trail does not have it.
    """

    command: str
    command_id: str
    confirmed: bool = False
    state: str = "unknown"
    reason: str = "nobody answered"
    exposure: dict[str, Decimal] | None = None
    positions: dict[str, Decimal] = field(default_factory=dict)
    is_kept: bool = True
    is_redis_heard: bool = True
    sent: int = 1
    dead: dict[str, float | None] = field(default_factory=dict)
    sentinel: str = ""
    sentinel_acts: bool = False
    audit_problem: str = ""


def new_command(kind: CommandKind, reason: str, operator: str = "") -> Command:
    """Return a command given now by this user on this machine."""
    now_ns = SystemClock.now_ns()
    return Command(
        ts_ns=now_ns,
        command_id=f"{kind.lower()}-{now_ns}",
        kind=kind,
        operator=operator or by_whom(),
        reason=reason,
    )


async def command(
    link: Link,
    kind: CommandKind,
    reason: str,
    *,
    within_s: float | None = None,
    operator: str = "",
) -> CommandResult:
    """Publish the command (it is durable: a service that is down obeys when it is back) and wait.

    ``confirmed`` is true when risk names the command as taken and is in the state asked for; for
    FLATTEN also when nothing is in flight, no exposure is left and no derivative is held (a net
    exposure of zero may well be two open positions). Redis may fall back behind the command while
    it waits for risk, by a fail-over to an older copy: then it is said again. ``operator`` says who
    gives it, where that is not this process's user.

    Raises:
        BusUnavailable: It could not be sent.
        ConfigError: It must be signed and this user has no key; a HALT is sent all the same.
    """
    keys = signing_keys(kind)
    sent = new_command(kind, reason, operator)
    after: dict[str, tuple[StreamSpec, str]] = {
        spec.key(): (spec, await link.last_id(spec.key()))
        for spec in (RISK_EVENT, EXEC_EVENT, ALERT)
    }
    try:
        entry_id = await link.publish(sent, CTL_COMMAND, keys)
    except BusUnavailable as error:
        raise BusUnavailable(f"{kind} could not be sent: {error}; {STOP_BY_HAND}") from error
    watch = _Watch(sent, CommandResult(command=kind, command_id=sent.command_id))
    if within_s is None:
        within_s = FLAT_WITHIN_S if kind is CommandKind.FLATTEN else CONFIRM_WITHIN_S
    give_up_ns = SystemClock.monotonic_ns() + int(within_s * 1e9)
    while not watch.is_over() and SystemClock.monotonic_ns() < give_up_ns:
        try:
            for heard in await link.read(after, BLOCK_MS):
                watch.on_message(heard.message)
            watch.answer.is_redis_heard = True
            if not watch.done():
                entry_id = await _keep(link, watch, entry_id, keys)
        except BusUnavailable as error:  # a fail-over: the next try may find the new primary
            watch.answer.reason, watch.answer.is_redis_heard = str(error), False
            await asyncio.sleep(BLOCK_MS / 1_000)
    if not watch.answer.confirmed:
        with suppress(BusUnavailable):
            await _look_who_lives(link, watch.answer)
    return watch.answer


async def _look_who_lives(link: Link, answer: CommandResult) -> None:
    """Note who would carry the command out and is dead."""
    now_ns, newest = SystemClock.now_ns(), dict[str, Heartbeat]()
    for item in await link.newest(SYS_HEALTH, count=BEATS_BACK):
        if isinstance(item.message, Heartbeat):
            newest[item.message.service] = item.message
    for name in HANDS:
        beat = newest.get(name)
        if beat is None or now_ns - beat.ts_ns > SILENT_AFTER_NS:
            answer.dead[name] = None if beat is None else round((now_ns - beat.ts_ns) / 1e9, 1)
    acts = newest["sentinel"].gauges.get("acts", 0.0) if "sentinel" in newest else 0.0
    answer.sentinel_acts = "sentinel" not in answer.dead and acts > 0


def signing_keys(kind: CommandKind) -> SigningKeys:
    """Return the operator's key; a HALT goes out also without one, or with one that is wrong.

    Raises:
        ConfigError: There is none, and the command is obeyed only if it is signed.
    """
    if kind is not CommandKind.HALT:
        return operator_keys(kind)
    try:
        return find_command_keys()
    except ConfigError:
        return NO_KEYS


def operator_keys(what: str) -> SigningKeys:
    """Return the operator's key.

    Raises:
        ConfigError: There is none, and ``what`` is obeyed only if it is signed.
    """
    keys = find_command_keys()
    if not keys.has(OPERATOR_KEY):
        name = variable_of(OPERATOR_KEY)
        raise ConfigError(
            f"{what} must be signed and there is no key: set {name} or {name}_FILE, or say it as "
            "the user who runs the services; HALT alone needs none"
        )
    return keys


async def _keep(link: Link, watch: _Watch, entry_id: str, keys: SigningKeys) -> str:
    """Look whether Redis still holds the command; say again what is gone, and return its entry."""
    answer = watch.answer
    if await link.holds(CTL_COMMAND, entry_id):
        answer.is_kept = True
        return entry_id
    answer.is_kept = False
    again = watch.to_repeat()
    if again is None:
        return entry_id
    entry_id = await link.publish(again, CTL_COMMAND, keys)
    answer.is_kept, answer.sent = True, answer.sent + 1
    return entry_id


TAKEN_OVER = frozenset(("SENTINEL_ACTED", "SENTINEL_NOT_TAKEN"))
"""Alerts in which the sentinel says what became of a FLATTEN that found the executor dead."""
WANTED = {
    CommandKind.HALT: TradingState.HALTED,
    CommandKind.FLATTEN: TradingState.HALTED,
    CommandKind.REDUCE: TradingState.REDUCING,
    CommandKind.RESUME: TradingState.ACTIVE,
}


class _Watch:
    """Whether the messages read show the command's effect."""

    def __init__(self, sent: Command, answer: CommandResult) -> None:
        self._sent, self.answer = sent, answer
        self._idle = self._flat = sent.kind is not CommandKind.FLATTEN
        self._is_taken = False

    def to_repeat(self) -> Command | None:
        """Return the command to repeat after Redis lost it.

        RESUME and FLATTEN were decided by looking at a ledger that is gone, so an operator must
        look again. A FLATTEN becomes a HALT, which is right whatever the ledger says.
        """
        if self._sent.kind is CommandKind.RESUME:
            return None
        if self._sent.kind is CommandKind.FLATTEN:
            return new_command(
                CommandKind.HALT, f"{self._sent.command_id} was lost", self._sent.operator
            )
        return self._sent

    def is_over(self) -> bool:
        """Tell whether nothing more is to be waited for: the sentinel did it, or nobody can."""
        return bool(self.answer.sentinel) or self.done()

    def on_message(self, message: object) -> None:
        flatten = self._sent.kind is CommandKind.FLATTEN
        match message:
            case TradingStateChanged(ts_ns=ts_ns, commands=commands):
                self._is_taken = self._sent.command_id in commands
                if self._is_taken or ts_ns > self._sent.ts_ns:
                    self.answer.state, self.answer.reason = message.state, message.reason
            case RiskReport(ts_ns=ts_ns) if ts_ns > self._sent.ts_ns:
                self.answer.exposure = {a: q for a, q in message.exposure.items() if q}
                self.answer.positions = {
                    f"{p.venue} {p.instrument}": p.qty for p in message.positions if p.venue
                }
                left = self.answer.exposure or self.answer.positions
                self._flat = not flatten or (not left and message.plans_in_flight == 0)
            case Alert(service="sentinel", ts_ns=ts_ns, code=code) if ts_ns > self._sent.ts_ns:
                if code in TAKEN_OVER and flatten:
                    self.answer.sentinel = message.text
            case ExecutorReady(ts_ns=ts_ns) if ts_ns > self._sent.ts_ns:
                self._idle = not flatten or (
                    message.open_plans == 0 and message.unknown_orders == 0
                )

    def done(self) -> bool:
        """Tell whether risk took this very command and shows its effect.

        HALTED alone is no answer: risk may wait for the executor, and trade once it is there.
        """
        reached = self._is_taken and self.answer.state == WANTED[self._sent.kind]
        self.answer.confirmed = reached and self._idle and self._flat
        return self.answer.confirmed


def by_whom() -> str:
    """Return this user on this machine."""
    return f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id may have no name
        return "operator"
