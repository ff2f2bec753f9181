"""Plans and commands are authenticated on every implementation of the bus."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from services.lab.keys import keys_for
from shared import streams
from shared.bus.inputs import followed_by
from shared.bus.port import Batch, Bus, Inbox, Input
from shared.bus.signing import (
    COMMAND_AGE_NS_MAX,
    NO_KEYS,
    UNSIGNED_HALTS_MAX,
    SigningKeys,
)
from shared.codec import encode
from shared.messages.control import Command, CommandKind, LimitsChange, Severity
from shared.messages.execution import ApprovedPlan
from tests.contract.bus_harness import Harness
from tests.executor_model import make_plan

PLAN, COMMAND = streams.EXEC_PLAN, streams.CTL_COMMAND
OLD, NEW, STRANGER = (bytes([letter]) * 32 for letter in b"ons")
GOOD = keys_for("risk")


def plan(plan_id: str = "p1") -> ApprovedPlan:
    return make_plan(plan_id, now_ns=time.time_ns())


def command(kind: CommandKind, number: int = 1, *, age_ns: int = 0) -> Command:
    return Command(
        ts_ns=time.time_ns() - age_ns, command_id=f"{kind}{number}", kind=kind, operator="test"
    )


def limits_change(number: int, *, age_ns: int = 0) -> LimitsChange:
    return LimitsChange(
        ts_ns=time.time_ns() - age_ns,
        command_id=f"limits{number}",
        operator="test",
        mode="paper",
        limits={"daily_loss_max": "2"},
        before={"daily_loss_max": "1"},
    )


def payload_of(*messages: Any) -> bytes:
    return encode(streams.STREAM_OF[type(messages[0])], messages)


async def inbox_of(bus: Bus, spec: streams.StreamSpec) -> Inbox:
    return await bus.open_inbox([Input(spec)], service="executor", instance="e1", exclusive=True)


async def next_batch(inbox: Inbox) -> Batch:
    async with asyncio.timeout(10):
        while not (batch := await inbox.read(0.5)).last_ids:
            pass
    return batch


async def read(bus: Bus, inbox: Inbox, count: int) -> list[Any]:
    """Return so many messages, each batch acknowledged."""
    messages: list[Any] = []
    while len(messages) < count:
        batch = await next_batch(inbox)
        messages += batch.messages
        await bus.commit(batch, [])
    return messages


async def test_risk_signs_what_the_executor_verifies(bus_harness: Harness) -> None:
    risk, executor = await bus_harness.bus("risk"), await bus_harness.bus("executor")
    inbox = await inbox_of(executor, PLAN)
    sent = plan()
    await risk.publish([sent])
    batch = await next_batch(inbox)
    assert batch.messages == [sent]
    (entry_id,) = batch.pending[PLAN.key()]
    expected = GOOD.sign(PLAN, payload_of(sent))
    assert await bus_harness.signature(PLAN.key(), entry_id) == expected
    assert len(expected) == 64, "the bytes of the messages are as they were; this lies beside them"
    await inbox.close()


FORGED = {
    "not signed": b"",
    "signed by a stranger": SigningKeys({"plan": [STRANGER]}).sign(PLAN, payload_of(plan())),
    "signed as a command": SigningKeys({"command": [b"plan".ljust(32, b".")]}).sign(
        COMMAND, payload_of(plan())
    ),
    "signed for another plan": GOOD.sign(PLAN, payload_of(plan("p2"))),
    "no digest at all": b"\x00\xff",
}


@pytest.mark.parametrize("signature", FORGED.values(), ids=FORGED.keys())
async def test_a_plan_that_risk_did_not_approve_is_not_read(
    bus_harness: Harness, signature: bytes
) -> None:
    risk, executor = await bus_harness.bus("risk"), await bus_harness.bus("executor")
    inbox = await inbox_of(executor, PLAN)
    alerts = await executor.open_inbox([Input(streams.ALERT)], service="tail", instance="t")
    forged = payload_of(plan("forged"))
    entry_id = await bus_harness.add_raw(PLAN.key(), forged, signature)
    await risk.publish([plan("good")])
    assert [each.plan_id for each in await read(executor, inbox, 1)] == ["good"]
    (letter,) = await bus_harness.dead("exec.plan")
    assert (letter["id"].decode(), letter["m"]) == (entry_id, forged)
    stats = await executor.stats()
    assert (stats["unverified"], stats["rejected"], stats["dead_lettered"]) == (1, 1, 1)
    await executor.publish([command(CommandKind.HALT)])  # alerts go with what is sent next
    told = {each.code: each for each in (await next_batch(alerts)).messages}
    assert told["ENTRY_UNVERIFIED"].severity is Severity.CRITICAL
    await inbox.close()
    await alerts.close()


async def test_a_changed_plan_is_not_read(bus_harness: Harness) -> None:
    executor = await bus_harness.bus("executor")
    inbox = await inbox_of(executor, PLAN)
    payload = payload_of(plan())
    signature = GOOD.sign(PLAN, payload)
    await bus_harness.add_raw(PLAN.key(), payload.replace(b'"p1"', b'"p2"', 1), signature)
    batch = await next_batch(inbox)
    assert (batch.messages, batch.rejected) == ([], 1)
    await inbox.close()


async def test_a_process_without_a_key_trusts_nothing(bus_harness: Harness) -> None:
    risk, reader = await bus_harness.bus("risk"), await bus_harness.bus("executor", keys=NO_KEYS)
    inbox = await inbox_of(reader, PLAN)
    await risk.publish([plan()])
    batch = await next_batch(inbox)
    assert (batch.messages, batch.rejected) == ([], 1)
    (letter,) = await bus_harness.dead("exec.plan")
    assert letter["reason"] == b"this process has no plan key to verify it with"
    await inbox.close()


async def test_keys_are_changed_while_the_system_runs(bus_harness: Harness) -> None:
    """Whichever of the two is restarted first, at each of the three steps."""
    steps = [([OLD], [OLD, NEW]), ([OLD, NEW], [NEW, OLD]), ([NEW, OLD], [NEW])]
    for before, after in steps:
        for signs, verifies in ((before, after), (after, before)):
            risk = await bus_harness.bus("risk", keys=SigningKeys({"plan": signs}))
            executor = await bus_harness.bus("executor", keys=SigningKeys({"plan": verifies}))
            inbox = await inbox_of(executor, PLAN)
            await risk.publish([plan()])
            assert len(await read(executor, inbox, 1)) == 1
            await inbox.close()
    dropped = await bus_harness.bus("risk", keys=SigningKeys({"plan": [OLD]}))
    executor = await bus_harness.bus("executor", keys=SigningKeys({"plan": [NEW]}))
    inbox = await inbox_of(executor, PLAN)
    await dropped.publish([plan()])
    assert (await next_batch(inbox)).rejected == 1
    await inbox.close()


@pytest.mark.parametrize(("until_s", "accepted"), [(60, 1), (-60, 0)])
async def test_unsigned_plans_are_accepted_until_a_moment(
    bus_harness: Harness, until_s: int, accepted: int
) -> None:
    keys = SigningKeys({"plan": [NEW]}, time.time_ns() + until_s * 1_000_000_000)
    executor = await bus_harness.bus("executor", keys=keys)
    inbox = await inbox_of(executor, PLAN)
    await bus_harness.add_raw(PLAN.key(), payload_of(plan()))
    stranger = SigningKeys({"plan": [STRANGER]}).sign(PLAN, payload_of(plan("p2")))
    await bus_harness.add_raw(PLAN.key(), payload_of(plan("p2")), stranger)
    seen: list[Any] = []
    while len(await bus_harness.dead("exec.plan")) < 2 - accepted:
        seen += (await next_batch(inbox)).messages
    assert [each.plan_id for each in seen] == ["p1"] * accepted, "a wrong one is never accepted"
    await inbox.close()


async def test_halt_alone_is_obeyed_unsigned(bus_harness: Harness) -> None:
    executor = await bus_harness.bus("executor")
    inbox = await inbox_of(executor, COMMAND)
    for kind in CommandKind:
        await bus_harness.add_raw(COMMAND.key(), payload_of(command(kind)))
    both = payload_of(command(CommandKind.HALT, 2), command(CommandKind.RESUME, 2))
    await bus_harness.add_raw(COMMAND.key(), both)
    await executor.publish([command(CommandKind.RESUME, 9)])
    heard = [each.command_id for each in await read(executor, inbox, 2)]
    assert heard == ["HALT1", "RESUME9"]
    assert len(await bus_harness.dead("ctl.command")) == 4
    await inbox.close()


async def test_unsigned_halts_cannot_make_anybody_forget(bus_harness: Harness) -> None:
    executor = await bus_harness.bus("executor")
    inbox = await inbox_of(executor, COMMAND)
    for number in range(3 * UNSIGNED_HALTS_MAX):
        await bus_harness.add_raw(COMMAND.key(), payload_of(command(CommandKind.HALT, number)))
    await executor.publish([command(CommandKind.HALT, 999)])
    heard = await read(executor, inbox, UNSIGNED_HALTS_MAX + 1)
    assert [each.command_id for each in heard][-1] == "HALT999", "signed ones go on"
    await inbox.close()


async def test_an_old_command_is_not_obeyed_again(bus_harness: Harness) -> None:
    executor = await bus_harness.bus("executor")
    inbox = await inbox_of(executor, COMMAND)
    second_ns = 1_000_000_000
    ages_ns = [COMMAND_AGE_NS_MAX + 5 * second_ns, COMMAND_AGE_NS_MAX - 5 * second_ns]
    for number, age_ns in enumerate(ages_ns):
        old = payload_of(command(CommandKind.RESUME, number, age_ns=age_ns))
        await bus_harness.add_raw(COMMAND.key(), old, GOOD.sign(COMMAND, old))
    assert [each.command_id for each in await read(executor, inbox, 1)] == ["RESUME1"]
    (letter,) = await bus_harness.dead("ctl.command")
    assert b"an old one, repeated" in letter["reason"]
    await inbox.close()


async def test_a_change_of_limits_is_signed_and_new(bus_harness: Harness) -> None:
    executor = await bus_harness.bus("executor")
    inbox = await inbox_of(executor, COMMAND)
    for number, (age_ns, is_signed) in enumerate([(0, False), (2 * COMMAND_AGE_NS_MAX, True)]):
        forged = payload_of(limits_change(number, age_ns=age_ns))
        signature = GOOD.sign(COMMAND, forged) if is_signed else b""
        await bus_harness.add_raw(COMMAND.key(), forged, signature)
    good = payload_of(limits_change(2))
    await bus_harness.add_raw(COMMAND.key(), good, GOOD.sign(COMMAND, good))
    assert [each.command_id for each in await read(executor, inbox, 1)] == ["limits2"]
    unsigned, old = [each["reason"] for each in await bus_harness.dead("ctl.command")]
    assert b"not signed" in unsigned
    assert b"an old one, repeated" in old
    await inbox.close()


async def test_what_waits_for_a_reader_that_is_down_stays_good(bus_harness: Harness) -> None:
    """The age of a command is that at which it was written, not that at which it is read."""
    executor = await bus_harness.bus("executor")
    first = await inbox_of(executor, COMMAND)
    await executor.publish([command(CommandKind.RESUME)])
    assert len((await next_batch(first)).messages) == 1
    await first.close()  # not acknowledged
    again = await inbox_of(await bus_harness.bus("executor"), COMMAND)
    batch = await next_batch(again)
    assert batch.redelivered
    assert [each.command_id for each in batch.messages] == ["RESUME1"]
    await again.close()


def test_keys_are_never_shown() -> None:
    keys = SigningKeys({"plan": [NEW, OLD]})
    assert repr(keys) == "SigningKeys(plan)"
    assert not hasattr(keys, "__dict__")


async def test_who_follows_commands_without_a_group_verifies_them_too(
    bus_harness: Harness,
) -> None:
    """The sentinel trades for a FLATTEN where the executor is dead."""
    sentinel = await bus_harness.bus("sentinel")
    inputs = followed_by("sentinel", ["ctl.command"])
    inbox = await sentinel.open_inbox(inputs, service="sentinel", instance="s1")
    flatten = payload_of(command(CommandKind.FLATTEN))
    await bus_harness.add_raw(COMMAND.key(), flatten)
    await bus_harness.add_raw(COMMAND.key(), flatten[:-1] + b",null]")  # nothing is salvaged
    await sentinel.publish([command(CommandKind.FLATTEN, 9)])
    messages: list[Any] = []
    while not messages:
        messages += (await next_batch(inbox)).messages
    assert [each.command_id for each in messages] == ["FLATTEN9"]
    assert (await sentinel.stats())["rejected"] == 2
    await inbox.close()
