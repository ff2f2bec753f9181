"""A writer without a signing key: forges plans and commands on the bus.

It also replays entries that were signed once. None of this may have any effect. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import msgspec

from shared.bus.signing import KEY_BYTES, SigningKeys
from shared.codec import encode
from shared.messages.base import Message
from shared.messages.control import Command, CommandKind
from shared.messages.execution import OrderEvent, PlanDone, TradingStateChanged
from shared.streams import EXEC_PLAN, SIGNED, STREAM_OF

if TYPE_CHECKING:
    from services.lab.chaos import Chaos
    from services.lab.world import World

_MS = 1_000_000
FORGED_CHANCE = 0.4
"""That somebody forges in a world."""
FORGE_NS = (300 * _MS, 3_000 * _MS)
REPEATED_MAX = 20
"""So many of the newest plans may be repeated."""
STRANGER = SigningKeys(
    {spec.signed_with: (b"stranger".ljust(KEY_BYTES[0], b"."),) for spec in SIGNED}
)
KINDS = (CommandKind.RESUME, CommandKind.FLATTEN, CommandKind.REDUCE)


class Forger:
    """Draws and writes forged entries, while chaos is on."""

    def __init__(self, world: World, chaos: Chaos, random: Random) -> None:
        self._world, self._chaos, self._random = world, chaos, random
        self.plans: set[str] = set()
        self.commands: set[str] = set()

    def start(self) -> None:
        """Begin, in some worlds."""
        if self._random.random() < FORGED_CHANCE:
            self._chaos.again(FORGE_NS, self._forge)

    def check(self, messages: Sequence[Message]) -> None:
        """See that no order is sent for what was forged, and nobody says that he took it.

        Every order is told with its plan before it leaves (checker ``order_on_record``).
        """
        if not (self.plans or self.commands):
            return
        for message in messages:
            if isinstance(message, PlanDone | OrderEvent) and message.plan_id in self.plans:
                self._report(f"the executor took plan {message.plan_id}, which nobody approved")
            if not isinstance(message, TradingStateChanged):
                continue
            if obeyed := self.commands.intersection(message.commands):
                self._report(f"risk obeyed {sorted(obeyed)}, which no operator said")

    def _report(self, text: str) -> None:
        self._world.checkers.report("forged", text)

    def _forge(self) -> None:
        draw = self._random.randrange(4)
        if draw == 0:
            self._repeat_plan()
        elif draw == 1:
            self._say(self._random.choice(KINDS))
        else:
            self._approve()

    def _approve(self) -> None:
        """Approve what risk approved before, once more and as of now."""
        plans = list(self._world.checkers.plans.values())
        if not plans:
            return
        now_ns = self._world.kernel.now_ns()
        true = plans[-1]
        plan_id = f"forged{len(self.plans):06}"  # no hexadecimal number, as those of risk are
        self.plans.add(plan_id)
        self._write(
            msgspec.structs.replace(
                true,
                plan_id=plan_id,
                opportunity_id=f"forged-{plan_id}",
                ts_ns=now_ns,
                ts_expire_ns=now_ns + true.ts_expire_ns - true.ts_ns,
            )
        )

    def _say(self, kind: CommandKind) -> None:
        now_ns = self._world.kernel.now_ns()
        command_id = f"forged-{len(self.commands)}"
        self.commands.add(command_id)
        self._write(Command(ts_ns=now_ns, command_id=command_id, kind=kind, operator="mallory"))

    def _write(self, message: Message) -> None:
        """Write it unsigned, or signed with a key that is none of ours."""
        spec = STREAM_OF[type(message)]
        payload = encode(spec, [message])
        signature = STRANGER.sign(spec, payload) if self._random.random() < 0.5 else b""
        self._put(spec.key(), payload, signature)
        self._chaos.fault(f"somebody forges: {type(message).__name__}")
        self._world.notify(spec.consumers)

    def _repeat_plan(self) -> None:
        """Write a plan of risk's once more, as it was signed: it is known by its id."""
        entries = self._world.server.stream(EXEC_PLAN.key()).newest(REPEATED_MAX)
        signed = [entry for entry in entries if entry[1]]
        if signed:
            self._put(EXEC_PLAN.key(), *self._random.choice(signed))
            self._chaos.fault("somebody repeats a signed plan")
            self._world.notify(EXEC_PLAN.consumers)

    def _put(self, key: str, payload: bytes, signature: bytes) -> None:
        if self._world.server.is_up:
            self._world.server.add(key, payload, signature)
