"""What is said of a command that nobody confirmed: nothing that is not known."""

from __future__ import annotations

import pytest

from shared.messages.control import CommandKind
from shared.watch.operate import CommandResult
from shared.watch.outlook import outlook


@pytest.mark.parametrize(
    ("kind", "answer", "told", "not_told"),
    [
        ("HALT", {"is_redis_heard": False}, "is not known", "is kept"),
        ("FLATTEN", {"sent": 2}, "HALT was sent in its place", "is kept"),
        ("RESUME", {"is_kept": False}, "Redis lost the command", "is kept"),
        ("HALT", {"dead": {"risk": 8.0}}, "risk has been silent for 8 s; the command is kept", "?"),
        ("FLATTEN", {}, "risk and executor are heard", "are back"),
        ("FLATTEN", {"sentinel": "it did"}, "sentinel: it did", "is not known"),
    ],
)
def test_what_becomes_of_it(kind: str, answer: dict[str, object], told: str, not_told: str) -> None:
    said = outlook(CommandResult(kind, "1", **answer), CommandKind(kind))  # type: ignore[arg-type]
    assert told in said
    assert not_told not in said
