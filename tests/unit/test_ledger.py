"""Whose data is on the bus, and what shows that some of it was lost."""

from __future__ import annotations

import pytest

from shared.errors import ConfigError
from shared.ledger import (
    NOTHING_FORMER,
    ClearMark,
    LedgerOpening,
    LossDetector,
    MarkAction,
    Opened,
    WriteMarks,
    account_digest,
    lost_mark,
    lost_marks,
)

SECOND = 1_000_000_000
PAPER = {"mode": "paper"}


Marks = dict[str, str]


def carry_out(asked: list[MarkAction], marks: Marks) -> Marks | None:
    """Do what is asked of the marks; return what was read, if anything was."""
    read = None
    for action in asked:
        if isinstance(action, WriteMarks):
            marks.update(
                {k: v for k, v in action.fields.items() if not (action.only_new and k in marks)}
            )
        elif isinstance(action, ClearMark):
            marks.pop(action.name, None)
        else:
            read = dict(marks)
    return read


def opened(
    marks: Marks,
    service: str = "risk",
    owner: Marks = PAPER,
    known_id: str | None = None,
    now_ns: int = SECOND,
    *,
    former: Marks = NOTHING_FORMER,
) -> Opened:
    opening = LedgerOpening(service, owner, f"{service}-1", former)
    found: Opened | list[MarkAction] = opening.begin(known_id)
    while not isinstance(found, Opened):
        read = carry_out(found, marks)
        assert read is not None
        found = opening.on_read(read, now_ns)
    return found


def test_a_first_start_begins_a_ledger_that_the_others_join() -> None:
    marks: Marks = {}
    first = opened(marks)
    assert first.is_new
    assert not first.loss
    second = opened(marks, "executor", now_ns=2 * SECOND)
    assert (second.ledger_id, second.began_ns) == (first.ledger_id, SECOND)
    assert second.is_new
    assert not second.loss


def test_two_that_begin_at_the_same_moment_have_one_ledger() -> None:
    marks: Marks = {}
    openings = [LedgerOpening(name, PAPER, f"{name}-1") for name in ("risk", "executor")]
    asked = [opening.on_read({}, SECOND) for opening in openings]
    for actions in asked:
        assert isinstance(actions, list)
        carry_out(actions, marks)
    found = [opening.on_read(marks, 2 * SECOND) for opening in openings]
    assert [ledger.ledger_id for ledger in found if isinstance(ledger, Opened)] == [marks["id"]] * 2


def test_marks_that_were_not_written_are_written_again() -> None:
    opening = LedgerOpening("risk", PAPER, "risk-1")
    opening.begin("known")
    opening.on_read({}, SECOND)
    again = opening.on_read({}, 2 * SECOND)
    assert isinstance(again, list)
    marks: Marks = {}
    carry_out(again, marks)
    found = opening.on_read(marks, 2 * SECOND)
    assert isinstance(found, Opened)
    assert (found.ledger_id, found.loss) == ("known", "the marks of the ledger are gone")


def test_a_restart_finds_its_ledger_whole() -> None:
    marks: Marks = {}
    first = opened(marks)
    marks["risk"] = first.ledger_id
    again = opened(marks, known_id=first.ledger_id)
    assert not again.is_new
    assert not again.loss


def test_a_checkpoint_of_an_older_version_begins_a_ledger() -> None:
    assert not opened({}, known_id="").loss


def test_a_checkpoint_that_was_there_and_is_gone_is_a_loss() -> None:
    marks: Marks = {}
    first = opened(marks)
    marks["risk"] = first.ledger_id
    assert opened(marks).loss == "the checkpoint of risk is gone"
    assert not opened(marks, "executor").loss, "it never had one"


@pytest.mark.parametrize(
    ("before", "loss"),
    [({}, "the marks of the ledger are gone"), ({"id": "other"}, "of another ledger")],
)
def test_a_checkpoint_without_its_marks_or_of_another_ledger_is_a_loss(
    before: Marks, loss: str
) -> None:
    marks = dict(before)
    assert loss in opened(marks, known_id="older").loss
    assert loss in opened(marks, known_id="older").loss, "also if the process ended right then"


def test_how_long_nobody_has_renewed_the_ledger_is_told() -> None:
    marks = {"id": "one", "mode": "paper", "alive_ns": str(5 * SECOND)}
    assert opened(marks, known_id="one", now_ns=9 * SECOND).unkept_ns == 4 * SECOND
    assert opened({}, now_ns=9 * SECOND).unkept_ns == 0
    first = {"id": "one", "mode": "paper", "ts_ns": str(2 * SECOND)}
    assert opened(first, known_id="one", now_ns=9 * SECOND).unkept_ns == 7 * SECOND


def test_what_a_witness_said_is_heard_at_the_start() -> None:
    marks = lost_marks("Redis lost its data")
    assert opened(marks).loss == "Redis lost its data"
    del marks[lost_mark("risk")]
    assert not opened(marks).loss
    assert opened(marks, "executor").loss == "Redis lost its data", "each hears it itself"


def test_data_of_another_mode_is_refused_in_one_line() -> None:
    marks: Marks = {}
    opened(marks)
    before = dict(marks)
    with pytest.raises(ConfigError) as refused:
        opened(marks, "executor", {"mode": "simulated"})
    text = str(refused.value)
    assert '"simulated"' in text
    assert '"paper"' in text
    assert "bus.url" in text
    assert "\n" not in text
    assert marks == before, "nothing was written into the data of another"


def test_data_of_another_account_is_refused_and_a_new_venue_is_not() -> None:
    marks: Marks = {}
    ours = {"mode": "live", "account:alpha": account_digest("key-of-alpha")}
    opened(marks, "executor", ours)
    opened(marks, "executor", {**ours, "account:beta": account_digest("key-of-beta")})
    with pytest.raises(ConfigError, match="API key of alpha") as refused:
        opened(marks, "executor", {**ours, "account:alpha": account_digest("another")})
    assert "key-of" not in str(refused.value)
    assert "name the one before: ARB_ALPHA_API_KEY_FORMER" in str(refused.value)


def test_another_key_of_the_same_account_is_taken_where_the_one_before_is_named() -> None:
    marks: Marks = {}
    ours = {"mode": "live", "account:alpha": account_digest("first"), "account:beta": "b"}
    opened(marks, "executor", ours)
    theirs = {**ours, "account:alpha": account_digest("second")}
    with pytest.raises(ConfigError, match="API key of alpha"):
        opened(marks, "executor", theirs, former={"account:alpha": account_digest("third")})
    assert marks["account:alpha"] == account_digest("first")
    former = {"account:alpha": account_digest("first")}
    opened(marks, "executor", theirs, former=former)
    assert marks["account:alpha"] == account_digest("second")
    assert marks["account:beta"] == "b"
    opened(marks, "executor", theirs, former=former)  # it may stay for a while
    opened(marks, "executor", theirs)
    with pytest.raises(ConfigError, match="API key of alpha"):
        opened(marks, "executor", ours)


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
    assert loss in (found := loss_detector.look(later))
    assert bool(found) == bool(loss)
    assert loss_detector.look(later) == "", "said once"


def test_a_witness_reads_marks_that_anybody_may_have_written() -> None:
    assert LossDetector().look({"id": "one", "alive_ns": "soon", "command_ns": "-1"}) == ""
