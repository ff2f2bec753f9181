"""`arb halt`, `resume` and `flatten` against a real server: what counts as confirmed."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal

import pytest

from services.cli.commands_operate import outlook
from shared.embedded import EmbeddedServer
from shared.messages.base import Certainty, TradingState
from shared.messages.control import Alert, Audited, Command, CommandKind, Heartbeat, Severity
from shared.messages.execution import ExecutorReady, RiskReport, TradingStateChanged
from shared.streams import CTL_COMMAND, SYS_AUDIT
from shared.watch.link import Link
from shared.watch.operate import CommandResult, command
from tests.decision_builders import make_beat
from tests.integration.test_cli import arb_meanwhile, say
from tests.support import eventually


async def test_a_halt_is_kept_when_nobody_is_there(link: Link, server: EmbeddedServer) -> None:
    done = await arb_meanwhile("halt", "--reason", "test", "--json", "--redis", server.url)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["confirmed"]) == (1, False)
    (kept,) = await link.newest(CTL_COMMAND, count=5)
    assert isinstance(kept.message, Command)
    assert (kept.message.kind, kept.message.reason) == (CommandKind.HALT, "test")
    (audited,) = [item.message for item in await link.newest(SYS_AUDIT, count=5)]
    assert isinstance(audited, Audited)
    assert (audited.action, audited.address, audited.who) == (
        "halt",
        "terminal",
        kept.message.operator,
    )
    assert audited.outcome.startswith("not confirmed")
    assert (audited.arguments, audited.command_id) == ({"reason": "test"}, answer["command_id"])


def trading(state: TradingState, *commands: str, reason: str = "by test") -> TradingStateChanged:
    """What risk says of the trading state, and of the commands it took."""
    now_ns = time.time_ns()
    return TradingStateChanged(
        ts_ns=now_ns, state=state, reason=reason, ts_since_ns=now_ns, commands=[*commands]
    )


async def obey(
    link: Link, state: TradingState, exposures: list[str], reason: str = "by test"
) -> None:
    """What risk and executor say after a command, one exposure after the other."""
    (command,) = await eventually(lambda: link.newest(CTL_COMMAND, count=1), timeout_s=30)
    assert isinstance(command.message, Command)
    for left in exposures:
        now_ns = time.time_ns()
        await say(
            link,
            trading(state, command.message.command_id, reason=reason),
            RiskReport(
                ts_ns=now_ns,
                state=state,
                exposure={"BTC": Decimal(left)},
                realized={},
                fees={},
                realized_today={},
                reserved=Decimal(0),
                plans_in_flight=0,
                certainty=Certainty.KNOWN,
            ),
            ExecutorReady(ts_ns=now_ns, ready=True, mode="paper", open_plans=0, unknown_orders=0),
        )
        await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("word", "state"), [("halt", TradingState.HALTED), ("resume", TradingState.ACTIVE)]
)
async def test_a_command_is_confirmed_by_its_effect(
    link: Link, server: EmbeddedServer, word: str, state: TradingState
) -> None:
    asked = asyncio.create_task(arb_meanwhile(word, "--json", "--redis", server.url))
    await obey(link, state, ["0"])
    done = await asked
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == state


async def test_what_risk_says_is_text_and_no_markup(link: Link, server: EmbeddedServer) -> None:
    asked = asyncio.create_task(arb_meanwhile("halt", "--redis", server.url))
    await obey(link, TradingState.HALTED, ["0"], "[Errno 2] [/x]")
    done = await asked
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "HALT: done, trading is HALTED ([Errno 2] [/x])\n"


@pytest.mark.parametrize("taken", [(), ("halt-1",)])
async def test_halted_for_another_reason_confirms_no_halt(
    link: Link, server: EmbeddedServer, taken: tuple[str, ...]
) -> None:
    """It waits for the executor, or obeys an older command: it may yet trade on."""
    asked = asyncio.create_task(arb_meanwhile("halt", "--json", "--redis", server.url))
    await eventually(lambda: link.newest(CTL_COMMAND, count=1), timeout_s=30)
    await say(link, trading(TradingState.HALTED, *taken))
    done = await asked
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["confirmed"], answer["state"]) == (1, False, "HALTED")


async def test_a_halt_that_redis_lost_is_said_again(link: Link) -> None:
    """A fail-over to an older copy took it before risk had read it."""
    asked = asyncio.create_task(command(link, CommandKind.HALT, "lost", within_s=30))
    (first,) = await eventually(lambda: link.newest(CTL_COMMAND, count=1))
    assert isinstance(first.message, Command)
    await link._redis.xdel(first.key, first.entry_id)
    (again,) = await eventually(lambda: link.newest(CTL_COMMAND, count=1))
    assert again.message == first.message
    await say(link, trading(TradingState.HALTED, first.message.command_id))
    answer = await asked
    assert (answer.confirmed, answer.sent) == (True, 2)


@pytest.mark.parametrize(
    ("kind", "instead"), [(CommandKind.FLATTEN, [CommandKind.HALT]), (CommandKind.RESUME, [])]
)
async def test_what_was_decided_on_a_lost_ledger_is_not_said_again(
    link: Link, kind: CommandKind, instead: list[CommandKind]
) -> None:
    asked = asyncio.create_task(command(link, kind, "lost", within_s=3))
    (first,) = await eventually(lambda: link.newest(CTL_COMMAND, count=1))
    await link._redis.xdel(first.key, first.entry_id)
    answer = await asked
    kept = [each.message for each in await link.newest(CTL_COMMAND, count=5)]
    assert [each.kind for each in kept if isinstance(each, Command)] == instead
    assert (answer.confirmed, answer.is_kept) == (False, bool(instead))


async def test_a_refused_resume_says_why(link: Link, server: EmbeddedServer) -> None:
    asked = asyncio.create_task(arb_meanwhile("resume", "--redis", server.url))
    await obey(link, TradingState.HALTED, ["0"])
    done = await asked
    assert done.returncode == 1
    assert "HALTED (by test)" in done.stdout


async def test_flatten_waits_until_nothing_is_left(link: Link, server: EmbeddedServer) -> None:
    asked = asyncio.create_task(arb_meanwhile("flatten", "--json", "--redis", server.url))
    await obey(link, TradingState.HALTED, ["1.5", "0.5"])
    assert not asked.done(), "confirmed although exposure is left"
    await obey(link, TradingState.HALTED, ["0"])
    answer = json.loads((await asked).stdout)
    assert answer["confirmed"]
    assert answer["exposure"] == {}


def beat(service: str, **gauges: float) -> Heartbeat:
    now_ns = time.time_ns()
    return make_beat(service, now_ns, now_ns, gauges=gauges)


async def unconfirmed(link: Link, kind: CommandKind, *beats: Heartbeat) -> CommandResult:
    """What comes of a command that nobody confirms while these alone are heard."""
    asked = asyncio.create_task(command(link, kind, "test", within_s=0.5))
    await say(link, *beats)
    answer = await asked
    assert not answer.confirmed
    return answer


async def test_who_is_dead_is_said_and_who_does_it_instead(link: Link) -> None:
    halt, flatten = CommandKind.HALT, CommandKind.FLATTEN
    nobody = await unconfirmed(link, halt)
    assert nobody.dead == {"risk": None, "executor": None, "sentinel": None}
    command = outlook(nobody, halt)
    assert "risk was never heard, executor was never heard" in command
    assert "what rests stays: arb kill cancels every order" in command
    acting = await unconfirmed(link, flatten, beat("risk"), beat("sentinel", acts=1.0))
    assert list(acting.dead) == ["executor"] and acting.sentinel_acts
    assert "the sentinel takes it over" in outlook(acting, flatten)
    only = await unconfirmed(link, flatten, beat("risk"), beat("sentinel", acts=0.0))
    assert not only.sentinel_acts
    assert "only alerts (sentinel.act); arb kill --flatten does it" in outlook(only, flatten)
    slow = await unconfirmed(link, halt, beat("risk"), beat("executor"), beat("sentinel"))
    assert slow.dead == {}
    assert "stop the executor" in outlook(slow, halt)


async def test_what_the_sentinel_did_of_a_flatten_ends_the_wait(link: Link) -> None:
    asked = asyncio.create_task(command(link, CommandKind.FLATTEN, "test", within_s=30))
    await eventually(lambda: link.newest(CTL_COMMAND, count=1))
    told = Alert(
        ts_ns=time.time_ns(),
        service="sentinel",
        severity=Severity.CRITICAL,
        code="SENTINEL_ACTED",
        text="cancel-all taken at 3 of 3 venues, 0 working orders found after it, "
        "none left after 51 ms",
    )
    await say(link, told)
    answer = await asked
    assert (answer.confirmed, answer.sentinel) == (False, told.text)
    assert outlook(answer, CommandKind.FLATTEN).endswith(f"sentinel: {told.text}")


async def test_without_redis_a_halt_names_the_way_that_needs_none() -> None:
    done = await arb_meanwhile("halt", "--redis", "redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "HALT could not be sent: cannot reach Redis" in done.stderr
    assert "arb kill cancels every order at the venues, with or without Redis" in done.stderr
