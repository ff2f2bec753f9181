"""Whose data is on the bus, and what shows that some of it was lost."""

from __future__ import annotations

import pytest

from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.ledger import LossDetector, Opened, account_digest, lost_mark, lost_marks, open_ledger

SECOND = 1_000_000_000
PAPER = {"mode": "paper"}


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(MemoryServer(SystemClock()), service="risk")


async def opened(
    bus: MemoryBus,
    service: str = "risk",
    owner: dict[str, str] = PAPER,
    known_id: str | None = None,
    now_ns: int = SECOND,
) -> Opened:
    return await open_ledger(
        bus, service, owner, known_id=known_id, instance=f"{service}-1", now_ns=now_ns
    )


async def test_a_first_start_begins_a_ledger_that_the_others_join(bus: MemoryBus) -> None:
    first = await opened(bus)
    assert first.is_new
    assert not first.loss
    second = await opened(bus, "executor", now_ns=2 * SECOND)
    assert (second.ledger_id, second.began_ns) == (first.ledger_id, SECOND)
    assert second.is_new
    assert not second.loss


async def test_a_restart_finds_its_ledger_whole(bus: MemoryBus) -> None:
    first = await opened(bus)
    await bus.mark({"risk": first.ledger_id})
    again = await opened(bus, known_id=first.ledger_id)
    assert not again.is_new
    assert not again.loss


async def test_a_checkpoint_of_an_older_version_begins_a_ledger(bus: MemoryBus) -> None:
    assert not (await opened(bus, known_id="")).loss


async def test_a_checkpoint_that_was_there_and_is_gone_is_a_loss(bus: MemoryBus) -> None:
    first = await opened(bus)
    await bus.mark({"risk": first.ledger_id})
    assert (await opened(bus)).loss == "the checkpoint of risk is gone"
    assert not (await opened(bus, "executor")).loss, "it never had one"


async def test_a_checkpoint_without_its_marks_or_of_another_ledger_is_a_loss(
    bus: MemoryBus,
) -> None:
    assert (await opened(bus, known_id="older")).loss == "the marks of the ledger are gone"
    assert "of another ledger" in (await opened(bus, known_id="other")).loss


async def test_what_a_witness_said_is_heard_at_the_start(bus: MemoryBus) -> None:
    await bus.mark(lost_marks("Redis lost its data"))
    assert (await opened(bus)).loss == "Redis lost its data"
    await bus.unmark(lost_mark("risk"))
    assert not (await opened(bus)).loss
    assert (await opened(bus, "executor")).loss == "Redis lost its data", "each hears it itself"


async def test_data_of_another_mode_is_refused_in_one_line(bus: MemoryBus) -> None:
    await opened(bus)
    with pytest.raises(ConfigError) as refused:
        await opened(bus, "executor", {"mode": "simulated"})
    text = str(refused.value)
    assert '"simulated"' in text
    assert '"paper"' in text
    assert "bus.url" in text
    assert "\n" not in text


async def test_data_of_another_account_is_refused_and_a_new_venue_is_not(bus: MemoryBus) -> None:
    ours = {"mode": "live", "account:alpha": account_digest("key-of-alpha")}
    await opened(bus, "executor", ours)
    await opened(bus, "executor", {**ours, "account:beta": account_digest("key-of-beta")})
    with pytest.raises(ConfigError, match="API key of alpha") as refused:
        await opened(bus, "executor", {**ours, "account:alpha": account_digest("another")})
    assert "key-of" not in str(refused.value)
    assert "HDEL '{arb}:ledger' account:alpha" in str(refused.value)


MARKS = {"id": "one", "alive_ns": str(100 * SECOND), "command_ns": "7"}


@pytest.mark.parametrize(
    ("later", "loss"),
    [
        (MARKS, ""),
        ({**MARKS, "alive_ns": str(101 * SECOND)}, ""),
        ({**MARKS, "alive_ns": str(98 * SECOND)}, ""),  # within what persistence promises
        ({**MARKS, "alive_ns": str(90 * SECOND)}, "10 s older"),
        ({**MARKS, "command_ns": "6"}, "last command"),
        ({"id": "one"}, "s older"),
        ({**MARKS, "id": "two"}, "a new ledger has begun"),
        ({}, "Redis lost its data"),
        ({"lost:risk": "said by another", "alive_ns": str(101 * SECOND)}, "Redis lost its data"),
        # Another risk process has taken up the ledger, and renewed its time before this one looked.
        ({**MARKS, "alive_ns": "200000000000", "taken_up_ns": str(99 * SECOND)}, ""),
        ({**MARKS, "alive_ns": "200000000000", "taken_up_ns": str(90 * SECOND)}, "10 s older"),
    ],
)
def test_a_witness_tells_what_is_less_than_it_saw(later: dict[str, str], loss: str) -> None:
    loss_detector = LossDetector()
    assert loss_detector.look({}) == "", "nothing was seen yet"
    assert loss_detector.look(MARKS) == ""
    assert loss in (said := loss_detector.look(later))
    assert bool(said) == bool(loss)
    assert loss_detector.look(later) == "", "said once"


def test_a_witness_reads_marks_that_anybody_may_have_written() -> None:
    assert LossDetector().look({"id": "one", "alive_ns": "soon", "command_ns": "-1"}) == ""
