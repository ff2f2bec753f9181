"""What operators and the processes themselves say."""

from __future__ import annotations

from enum import StrEnum

from shared.messages.base import DecisionMessage
from shared.messages.bounds import (
    AnyFloat,
    Count,
    Id,
    Key,
    MaybeId,
    Moment,
    Name,
)

COMMAND_IDS_MAX = 64
"""So many of the newest commands are remembered: one that is told again counts once."""


class CommandKind(StrEnum):
    """What an operator can ask for; each is an idempotent level, pressing twice is harmless."""

    HALT = "HALT"  # open nothing; finish or unwind what is in flight
    REDUCE = "REDUCE"  # only what reduces exposure
    RESUME = "RESUME"
    FLATTEN = "FLATTEN"  # halt, cancel what rests, and trade net exposure back to zero


class Command(DecisionMessage, frozen=True, kw_only=True, tag="command"):
    """An operator's order to the system."""

    command_id: Id
    kind: CommandKind
    operator: Name
    reason: str = ""


class LimitsChange(DecisionMessage, frozen=True, kw_only=True, tag="limits_change"):
    """An operator's new limits, for a risk service of the same mode: all of them or none.

    ``limits`` are the new ones by their names in ``[risk]``, ``before`` what whoever sent this saw
    in force: a change that has come between them makes this one void. Numbers as text, as
    ``shared/limit_changes.py`` writes them. A service of before it was introduced cannot decode it,
    so it takes it for no other command: it refuses it like what is malformed.
    """

    command_id: Id
    operator: Name
    mode: Name
    limits: dict[Key, Name]
    before: dict[Key, Name]
    reason: str = ""


class Severity(StrEnum):
    """How soon a person must look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Alert(DecisionMessage, frozen=True, kw_only=True, tag="alert"):
    """Something a person should know; ``code`` is constant, ``text`` carries the numbers.

    ``subject`` is what it is about, where one code may speak of several things. Alerts of the same
    code and subject go out at a bounded rate (shared/alerts.py): ``count`` is how many this one
    stands for. ``over``: what earlier ones of this service, code and subject said no longer holds.
    """

    service: Name
    severity: Severity
    code: Name
    text: str
    subject: Name = ""
    count: Count = 1
    over: bool = False


class Audited(DecisionMessage, frozen=True, kw_only=True, tag="audited"):
    """One entry of an audit trail: who did, or tried, what, and what became of it.

    ``trail`` names the file that the entry is in, empty where it is in none (commands given on a
    terminal). ``seq``, ``before`` and ``hash`` are those of the file's chain (shared/audit.py).
    """

    trail: str
    seq: Count
    who: str
    address: str
    action: str
    outcome: str
    arguments: dict[str, str] = {}
    command_id: MaybeId = ""
    before: Id
    hash: Id


class Heartbeat(DecisionMessage, frozen=True, kw_only=True, tag="heartbeat"):
    """What a process did since it started; every second.

    ``counters`` only rise within one ``ts_started_ns``. ``latency`` maps a measure's name (for
    example ``tick_to_depth``) to its histogram: bucket index -> count, see
    ``shared/histogram.py``. ``inputs`` maps a stream key to the id of the last entry handled.
    ``process`` tells processes of one name apart: with host, process id and when it was started
    (``shared/process.py``). ``notes`` is what an operator should know, by what it is about.
    """

    service: Name
    instance: Name
    pid: Count
    ts_started_ns: Moment
    ready: bool
    reason: str
    http_port: Count
    counters: dict[Key, int]
    gauges: dict[Key, AnyFloat]
    latency: dict[Key, dict[int, Count]]
    inputs: dict[Key, Name]
    process: Name = ""
    notes: dict[Key, str] = {}
