"""Send a command to the running system and wait, bounded, until it shows its effect."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass, field
from decimal import Decimal

from shared.clock import SystemClock
from shared.errors import BusUnavailable
from shared.messages.base import TradingState
from shared.messages.control import Command, CommandKind
from shared.messages.execution import ExecutorReady, RiskReport, TradingStateChanged
from shared.streams import CTL_COMMAND, EXEC_EVENT, RISK_EVENT, StreamSpec
from shared.watch.link import Link

CONFIRM_WITHIN_S = 5.0
FLAT_WITHIN_S = 30.0
BLOCK_MS = 250
STOP_BY_HAND = (
    "to stop trading now, stop the executor (systemctl stop arbstream@executor, or docker compose "
    "stop executor)"
)


@dataclass(slots=True)
class CommandResult:
    """What became of a command."""

    command: str
    command_id: str
    confirmed: bool = False
    state: str = "unknown"
    reason: str = "nobody answered"
    exposure: dict[str, Decimal] | None = None
    positions: dict[str, Decimal] = field(default_factory=dict)


def new_command(kind: CommandKind, reason: str, operator: str = "") -> Command:
    """Return a command given now by this user on this machine."""
    now_ns = SystemClock.now_ns()
    return Command(
        ts_ns=now_ns,
        command_id=f"{kind.lower()}-{now_ns}",
        kind=kind,
        operator=operator or f"{_user()}@{socket.gethostname()}",
        reason=reason,
    )


async def command(
    link: Link, kind: CommandKind, reason: str, *, within_s: float | None = None
) -> CommandResult:
    """Publish the command (it is durable: a service that is down obeys when it is back) and wait.

    ``confirmed`` is true when the system reported after the command that it is in the state asked
    for; for FLATTEN also that nothing is in flight, no exposure is left and no derivative is held
    (a net exposure of zero may well be two open positions).
    """
    sent = new_command(kind, reason)
    after: dict[str, tuple[StreamSpec, str]] = {
        spec.key(): (spec, await link.last_id(spec.key())) for spec in (RISK_EVENT, EXEC_EVENT)
    }
    try:
        await link.publish(sent, CTL_COMMAND)
    except BusUnavailable as error:
        raise BusUnavailable(f"{kind} could not be sent: {error}; {STOP_BY_HAND}") from error
    watch = _Watch(sent, CommandResult(command=kind, command_id=sent.command_id))
    if within_s is None:
        within_s = FLAT_WITHIN_S if kind is CommandKind.FLATTEN else CONFIRM_WITHIN_S
    give_up_ns = SystemClock.monotonic_ns() + int(within_s * 1e9)
    while not watch.done() and SystemClock.monotonic_ns() < give_up_ns:
        for heard in await link.read(after, BLOCK_MS):
            watch.on_message(heard.message)
    return watch.answer


_WANTED = {
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

    def on_message(self, message: object) -> None:
        flatten = self._sent.kind is CommandKind.FLATTEN
        match message:
            case TradingStateChanged(ts_ns=ts_ns) if ts_ns > self._sent.ts_ns:
                self.answer.state, self.answer.reason = message.state, message.reason
            case RiskReport(ts_ns=ts_ns) if ts_ns > self._sent.ts_ns:
                self.answer.exposure = {a: q for a, q in message.exposure.items() if q}
                self.answer.positions = {
                    f"{p.venue} {p.instrument}": p.qty for p in message.positions if p.venue
                }
                left = self.answer.exposure or self.answer.positions
                self._flat = not flatten or (not left and message.plans_in_flight == 0)
            case ExecutorReady(ts_ns=ts_ns) if ts_ns > self._sent.ts_ns:
                self._idle = not flatten or (
                    message.open_plans == 0 and message.unknown_orders == 0
                )

    def done(self) -> bool:
        reached = self.answer.state == _WANTED[self._sent.kind]
        self.answer.confirmed = reached and self._idle and self._flat
        return self.answer.confirmed


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id may have no name
        return "operator"
