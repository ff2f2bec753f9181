"""Risk on a bus that lost data: halted until an operator resumes, whoever noticed it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.risk.__main__ import build
from services.risk.checkpoint import NAMES
from services.risk.engine import RiskEngine
from shared import ledger_engine
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.ledger import WITNESS_NS, Opened, lost_marks
from shared.messages.base import Message, TradingState
from shared.messages.control import Alert, CommandKind
from shared.messages.execution import TradingStateChanged
from shared.observe import Observer
from shared.runtime.shell import Shell
from tests.decision_builders import (
    SECOND,
    T0,
    feed_market,
    make_balances,
    make_command,
    make_config,
    make_ready,
)
from tests.support import eventually

VENUES = ("alpha", "beta", "gamma")


def informed(engine: RiskEngine, now_ns: int) -> list[Message]:
    out: list[Message] = []
    feed_market(engine, now_ns)
    for message in (make_ready(now_ns), *(make_balances(venue, now_ns) for venue in VENUES)):
        out += engine.on_message(message, now_ns).messages
    return out


def opened(loss: str = "", *, is_new: bool = False) -> Opened:
    began_ns = T0 if is_new else T0 - 10 * SECOND
    return Opened(ledger_id="one", began_ns=began_ns, is_new=is_new, loss=loss)


def test_a_loss_halts_from_the_first_step_until_resume() -> None:
    engine = RiskEngine(make_config(), opened("Redis lost its data"))
    out = [*engine.on_timer(T0).messages, *informed(engine, T0)]
    (alert,) = [m for m in out if isinstance(m, Alert)]
    assert (alert.code, alert.severity) == ("DATA_LOST", "critical")
    assert engine.state.trading.published is TradingState.HALTED
    assert engine.state.trading.published_reason.startswith("DATA_LOST: Redis lost its data")
    restarted = RiskEngine(make_config(), opened())
    restarted.start(engine.checkpoints(), T0 + SECOND)
    informed(restarted, T0 + SECOND)
    assert restarted.state.trading.published is TradingState.HALTED
    restarted.on_message(make_command(CommandKind.RESUME), T0 + SECOND)
    assert restarted.state.trading.published is TradingState.ACTIVE


def test_a_resume_said_before_a_loss_does_not_lift_it() -> None:
    """An older copy of the bus may tell the command again after the loss."""
    engine = RiskEngine(make_config(), opened("Redis lost its data"))
    informed(engine, T0)
    engine.on_message(make_command(CommandKind.RESUME, T0 - SECOND), T0 + SECOND)
    assert engine.state.trading.published is TradingState.HALTED
    assert "published before the loss was noticed" in engine.state.trading.published_reason
    engine.on_message(make_command(CommandKind.RESUME, T0 + SECOND), T0 + SECOND)
    assert engine.state.trading.published is TradingState.ACTIVE


def test_a_flatten_said_before_a_loss_only_halts() -> None:
    engine = RiskEngine(make_config(), opened("Redis lost its data"))
    informed(engine, T0)
    engine.on_message(make_command(CommandKind.FLATTEN, T0 - SECOND), T0 + SECOND)
    assert engine.state.trading.level is TradingState.HALTED
    assert not engine.state.ledger.flattens, "the executor closes nothing for it"
    engine.on_message(make_command(CommandKind.FLATTEN, T0 + SECOND), T0 + SECOND)
    assert engine.state.ledger.flattens


def test_a_loss_noted_while_running_halts_at_once() -> None:
    engine = RiskEngine(make_config(), opened())
    informed(engine, T0)
    assert engine.state.trading.published is TradingState.ACTIVE
    engine.checkpoints()
    assert engine.is_saved
    out = engine.note_loss("Redis lost its data", T0 + 1).messages
    assert not engine.is_saved
    assert [m.state for m in out if isinstance(m, TradingStateChanged)] == [TradingState.HALTED]
    assert not [m for m in engine.note_loss("x", T0 + 1).messages if isinstance(m, Alert)]
    assert not [m for m in engine.on_timer(T0 + 2).messages if isinstance(m, Alert)], "said once"


def test_a_new_ledger_waits_for_witnesses_and_then_trades_by_itself() -> None:
    engine = RiskEngine(make_config(), opened(is_new=True))
    informed(engine, T0 + 1)
    assert engine.state.trading.published is TradingState.HALTED
    assert engine.state.trading.published_reason.startswith("STARTING: the ledger is new")
    engine._control.note_look(T0 + WITNESS_NS - 1)
    informed(engine, T0 + WITNESS_NS)
    assert engine.state.trading.published is TradingState.HALTED, "what they said is not read yet"
    engine._control.note_look(T0 + WITNESS_NS)
    informed(engine, T0 + WITNESS_NS)
    assert engine.state.trading.published is TradingState.ACTIVE


def test_a_restart_does_not_cut_the_wait_for_witnesses_short() -> None:
    first = RiskEngine(make_config(), opened(is_new=True))
    informed(first, T0 + 1)
    again = RiskEngine(make_config(), Opened("one", began_ns=T0, is_new=False, loss=""))
    again.start(first.checkpoints(), T0 + SECOND)
    informed(again, T0 + SECOND)
    assert again.state.trading.published is TradingState.HALTED
    again._control.note_look(T0 + WITNESS_NS)
    informed(again, T0 + WITNESS_NS)
    assert again.state.trading.published is TradingState.ACTIVE


@pytest.mark.parametrize(("unkept_ns", "waits"), [(2 * SECOND, False), (3 * SECOND, True)])
def test_a_ledger_nobody_has_renewed_may_be_an_older_copy(unkept_ns: int, waits: bool) -> None:
    before = RiskEngine(make_config(), opened())
    informed(before, T0)
    found = Opened(ledger_id="one", began_ns=T0, is_new=False, loss="", unkept_ns=unkept_ns)
    engine = RiskEngine(make_config(), found)
    engine.start(before.checkpoints(), T0 + 10 * SECOND)
    informed(engine, T0 + 10 * SECOND)
    assert (engine.state.trading.published is TradingState.HALTED) is waits
    engine._control.note_look(T0 + 10 * SECOND + WITNESS_NS)
    informed(engine, T0 + 10 * SECOND + WITNESS_NS)
    assert engine.state.trading.published is TradingState.ACTIVE


class Stack:
    """One risk service on a bus in memory."""

    def __init__(self) -> None:
        self.server = MemoryServer(SystemClock())
        self.bus = MemoryBus(self.server, service="risk")
        self.tasks: list[asyncio.Task[None]] = []
        self.shells: list[Shell] = []

    def start(self) -> RiskEngine:
        bus = MemoryBus(self.server, service="risk")
        engine = RiskEngine(make_config())
        observer = Observer("risk", "risk-1")
        self.shells.append(build(make_config(), engine, bus, SystemClock(), observer))
        self.tasks.append(asyncio.create_task(self.shells[-1].run()))
        return engine

    async def stop(self) -> None:
        task = self.tasks.pop()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self.shells.pop().drain()

    def trips(self, engine: RiskEngine) -> dict[str, str]:
        return engine.state.trading.trips


@pytest.fixture
async def stack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    monkeypatch.setattr(ledger_engine, "LOOK_NS", 50_000_000)
    stack = Stack()
    yield stack
    while stack.tasks:
        await stack.stop()


async def test_marks_of_the_ledger_are_kept(stack: Stack) -> None:
    engine = stack.start()
    await eventually(lambda: "risk" in stack.server.marks)
    assert stack.server.marks["risk"] == stack.server.marks["id"]
    assert stack.server.marks["mode"] == "paper"
    assert not stack.trips(engine)
    await stack.stop()
    again = stack.start()
    await eventually(lambda: stack.shells[-1].readiness() == (True, ""))
    assert not stack.trips(again), "a restart is no loss"


async def test_a_word_of_another_process_is_taken_over_and_then_taken_away(stack: Stack) -> None:
    engine = stack.start()
    await eventually(lambda: "risk" in stack.server.marks)
    await stack.bus.mark(lost_marks("Redis lost its data"), only_new=True)
    await eventually(lambda: "Redis lost its data" in stack.trips(engine).get("DATA_LOST", ""))
    await eventually(lambda: "lost:risk" not in stack.server.marks)
    assert "lost:executor" in stack.server.marks, "the executor has not heard it yet"


async def test_marks_that_vanish_are_a_loss_and_come_back(stack: Stack) -> None:
    engine = stack.start()
    await eventually(lambda: "risk" in stack.server.marks)
    ledger_id = stack.server.marks["id"]
    stack.server.marks.clear()
    await eventually(lambda: "DATA_LOST" in stack.trips(engine))
    await eventually(lambda: stack.server.marks.get("id") == ledger_id)


async def test_a_deleted_checkpoint_halts_the_next_start(stack: Stack) -> None:
    stack.start()
    await eventually(lambda: "risk" in stack.server.marks)
    await stack.stop()
    for name in NAMES:
        del stack.server.values[name]
    engine = stack.start()
    await eventually(
        lambda: "checkpoint of risk is gone" in stack.trips(engine).get("DATA_LOST", "")
    )


async def test_data_of_another_mode_ends_the_service(stack: Stack) -> None:
    await stack.bus.mark({"id": "one", "mode": "simulated"})
    stack.start()
    with pytest.raises(ConfigError, match='is "paper", but this Redis holds the ledger of mode "s'):
        await stack.tasks.pop()
