"""A running stack, seen as its operator sees it: what its streams say, and commands."""

from __future__ import annotations

import contextlib
import time
from decimal import Decimal
from typing import Any

import redis

from shared import codec
from shared.bus.signing import SIGNATURE, SigningKeys
from shared.messages.base import Message
from shared.messages.control import Command, CommandKind, Heartbeat
from shared.messages.execution import PlanDone, PlanOutcome, RiskReport, TradingStateChanged
from shared.streams import (
    ALERT,
    CTL_COMMAND,
    EXEC_EVENT,
    RISK_EVENT,
    SYS_HEALTH,
    StreamSpec,
)
from shared.watch.venue_comparison import Account

# Recovery may leave remainders that no venue accepts as an order:
# about what the largest least order (of the perpetuals) is worth.
DUST = {"BTC": Decimal("0.0005"), "ETH": Decimal("0.01"), "SOL": Decimal("0.2")}
GOOD = {PlanOutcome.FILLED, PlanOutcome.HEDGED, PlanOutcome.UNWOUND}


class StackView:
    """What is asked of a stack, whatever runs it; ``redis`` is its Redis as the operator."""

    redis: redis.Redis

    def login(self) -> redis.Redis:
        """Return a client of Redis as the operator, of now."""
        raise NotImplementedError

    def command_key(self) -> bytes:
        """Return what commands are signed with."""
        raise NotImplementedError

    def accounts(self) -> dict[str, Account]:
        """Our accounts as the simulated venues keep them."""
        raise NotImplementedError

    def newest(self, spec: StreamSpec, count: int = 200) -> list[Message]:
        """The last entries' messages, oldest first; none while Redis is away."""
        try:
            entries = self.redis.xrevrange(spec.key(), count=count)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            self._reconnect()
            return []
        except redis.exceptions.BusyLoadingError:
            return []
        decoded = [codec.decode(spec, fields[codec.FIELD]) for _, fields in reversed(entries)]
        return [message for messages in decoded for message in messages]

    def _reconnect(self) -> None:
        """Ask for Redis' port again; it has none while its container starts."""
        with contextlib.suppress(AssertionError):
            self.redis = self.login()

    def plans_done_since(self, ts_ns: int) -> list[PlanDone]:
        events = self.newest(EXEC_EVENT)
        return [e for e in events if isinstance(e, PlanDone) and e.ts_ns > ts_ns]

    def ready(self) -> dict[str, Heartbeat]:
        """The newest heartbeat of every service that is ready and was heard lately."""
        heard = [h for h in self.newest(SYS_HEALTH, 60) if isinstance(h, Heartbeat)]
        oldest_ns = time.time_ns() - 5_000_000_000
        return {h.service: h for h in heard if h.ready and h.ts_ns > oldest_ns}

    def report(self) -> RiskReport | None:
        reports = [m for m in self.newest(RISK_EVENT, 50) if isinstance(m, RiskReport)]
        return reports[-1] if reports else None

    def trading_state(self) -> TradingStateChanged | None:
        told = [m for m in self.newest(RISK_EVENT, 200) if isinstance(m, TradingStateChanged)]
        return told[-1] if told else None

    def is_flat(self) -> bool:
        report = self.report()
        assert report is not None
        assert not report.plans_in_flight, f"{report.plans_in_flight} plans in flight"
        left = {asset: q for asset, q in report.exposure.items() if abs(q) > DUST.get(asset, 0)}
        assert not left, f"exposure {left}\n{self.story()}"
        return True

    def story(self) -> str:
        """What a person would look at: plans that ended uneven, and alerts."""
        odd = [p for p in self.plans_done_since(0) if p.residual or p.outcome not in GOOD]
        return "\n".join(map(str, [*odd, *self.newest(ALERT)]))

    def say(self, kind: CommandKind) -> None:
        now_ns = time.time_ns()
        command = Command(ts_ns=now_ns, command_id=str(now_ns), kind=kind, operator="test")
        payload = codec.encode(CTL_COMMAND, [command])
        signature = SigningKeys({"command": [self.command_key()]}).sign(CTL_COMMAND, payload)
        entry: dict[Any, Any] = {codec.FIELD: payload, SIGNATURE: signature}
        self.redis.xadd(CTL_COMMAND.key(), entry)

    def open_orders(self) -> int:
        return sum(len(account.open_orders) for account in self.accounts().values())
