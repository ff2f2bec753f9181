"""To which ledger the data on this Redis belongs, and whether some of it was lost.

A ledger is everything that was traded by one set of accounts in one mode: checkpoints, plans and
events. Its marks are a small record on the bus:

* ``id`` and ``ts_ns``: which ledger, and when it began; ``mode`` and ``account:<venue>``: whose;
* ``risk`` and ``executor``: the ledger of which that service has saved a checkpoint;
* ``alive_ns``: risk's time, renewed every second, and ``command_ns``: the last operator command;
* ``taken_up_ns``: the ``alive_ns`` that the present risk process found: however soon it renews it,
  a process that saw a later one knows that this copy is older;
* ``lost:risk`` and ``lost:executor``: what a process noticed to be lost, until that service has
  halted for it.

Every process watches the marks with a :class:`LossDetector`. So as long as one process has lived
through it, a Redis that was emptied, or replaced by an older copy, is not taken for the first start
ever; risk waits ``WITNESS_NS`` for a process that noticed a loss, after a ledger began and where
its time was not renewed for more than ``LAST_SECONDS_NS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from shared.engine import Action, Result
from shared.errors import ConfigError

WITNESS_NS: Final = 3_000_000_000
"""Above the time in which a living process looks at the marks once."""
LAST_SECONDS_NS: Final = 2_000_000_000
"""A copy that is older by no more is what persistence and replication promise: the executor's
reconciliation finds what it lacks."""
DATA_LOST: Final = "DATA_LOST"
RISK, EXECUTOR = "risk", "executor"
"""The services that keep the ledger, each with a checkpoint of its own."""
_MODE, _ACCOUNT = "mode", "account:"
NOTHING_FORMER: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Opened:
    """The ledger as a service found it at its start, ``is_new`` if it has saved nothing in it yet.

    ``loss`` is empty where nothing is missing. ``unkept_ns`` is how long ago its time was renewed;
    beyond ``LAST_SECONDS_NS`` this may be an older copy.
    """

    ledger_id: str
    began_ns: int
    is_new: bool
    loss: str
    unkept_ns: int = 0

    @property
    def may_be_older(self) -> bool:
        """Whether nobody renewed it for longer than a restart takes."""
        return self.unkept_ns > LAST_SECONDS_NS

    def report_until_ns(self, now_ns: int) -> int:
        """Return until when a process may still report a loss; in the past where none may."""
        until_ns = self.began_ns + WITNESS_NS  # also of a process that starts again in this time
        return now_ns + WITNESS_NS if self.may_be_older else until_ns


def lost_mark(service: str) -> str:
    """Return the mark that reports lost data to a service."""
    return f"lost:{service}"


def lost_marks(loss: str) -> dict[str, str]:
    """Return the marks that report lost data to every service that keeps the ledger."""
    return {lost_mark(RISK): loss, lost_mark(EXECUTOR): loss}


def account_digest(key_id: str) -> str:
    """Return a text that differs between accounts, without showing the key."""
    return blake2b(key_id.encode(), digest_size=6).hexdigest()


class MarkAction(Action, frozen=True):
    """A request to the bus about the marks; they are carried out in the order they were asked."""


class ReadMarks(MarkAction, frozen=True):
    """Read all marks; answered by ``MarksRead``."""


class WriteMarks(MarkAction, frozen=True):
    """Set marks; with ``only_new`` those that are not set yet."""

    fields: Mapping[str, str]
    only_new: bool = False


class ClearMark(MarkAction, frozen=True):
    """Remove one mark."""

    name: str


class MarksRead(Result, frozen=True):
    """The marks as they are on the bus."""

    marks: Mapping[str, str]


class MarksFailed(Result, frozen=True):
    """The bus was away: nothing was read, or it is unknown whether anything was written."""

    action: MarkAction
    reason: str


class LedgerOpening:
    """Finds the ledger on the bus at a service's start, or begins one. Pure.

    Marks that are missing are set and then read again, because another service may begin the same
    ledger at the same moment. What is found to be lost is marked before them: the marks that are
    set now would hide it from the next start, if this one ends before it is on record.

    Args:
        service: Who asks; it holds its service's lease.
        owner: ``mode``, and ``account:<venue>`` where the service knows it.
        instance: The instance of that service.
        former: ``account:<venue>`` as another key of the same account had it.
    """

    def __init__(
        self,
        service: str,
        owner: Mapping[str, str],
        instance: str,
        former: Mapping[str, str] = NOTHING_FORMER,
    ) -> None:
        self.service, self.owner, self.former = service, owner, former
        self._instance = instance
        self._known_id: str | None = None
        self._loss: str | None = None
        self._unkept_ns = 0

    def begin(self, known_id: str | None) -> list[MarkAction]:
        """Begin with the ledger of the service's checkpoint.

        ``None`` says that it has no checkpoint, an empty id that it has one of an older version.
        """
        self._known_id, self._loss = known_id, None
        return [ReadMarks()]

    def on_read(self, marks: Mapping[str, str], now_ns: int) -> Opened | list[MarkAction]:
        """Take in the marks; return the ledger, or what must be asked before it is known.

        Raises:
            ConfigError: The data belongs to another mode or account.
        """
        self.refuse_foreign(marks)
        lost = lost_mark(self.service)
        if self._loss is not None and "id" in marks:
            return Opened(
                ledger_id=marks["id"],
                began_ns=_number(marks, "ts_ns"),
                is_new=self._known_id is None,
                loss=marks.get(lost, "") or self._loss,
                unkept_ns=self._unkept_ns,
            )
        if self._loss is None:
            self._loss = _loss(marks, self.service, self._known_id)
            # A copy of the ledger's first second was never renewed.
            kept_ns = _number(marks, "alive_ns") or _number(marks, "ts_ns")
            self._unkept_ns = now_ns - kept_ns if kept_ns else 0
        fresh_id = blake2b(f"{self._instance} {now_ns}".encode(), digest_size=8).hexdigest()
        fresh = {lost: self._loss} if self._loss else {}
        fresh |= {"id": self._known_id or fresh_id, "ts_ns": str(now_ns), **self.owner}
        told: list[MarkAction] = [WriteMarks(fresh, only_new=True), ReadMarks()]
        changed = self._under_former_keys(marks)
        return [WriteMarks({n: self.owner[n] for n in changed}), *told] if changed else told

    def refuse_foreign(self, marks: Mapping[str, str]) -> None:
        """Refuse data of another mode or account.

        Raises:
            ConfigError: One line with both, and what to do.
        """
        refuse_foreign(marks, {**self.owner, **self._under_former_keys(marks)})

    def _under_former_keys(self, marks: Mapping[str, str]) -> dict[str, str]:
        return {name: old for name, old in self.former.items() if marks.get(name) == old}


def refuse_foreign(marks: Mapping[str, str], owner: Mapping[str, str]) -> None:
    """Refuse data of another mode or account.

    Raises:
        ConfigError: One line with both, and what to do.
    """
    mode, held = owner[_MODE], marks.get(_MODE)
    if held is not None and held != mode:
        raise ConfigError(
            f'executor.mode is "{mode}", but this Redis holds the ledger of mode "{held}": give '
            "bus.url another database number (like .../1), or go back to that mode"
        )
    for name, digest in owner.items():
        if name.startswith(_ACCOUNT) and marks.get(name, digest) != digest:
            venue = name.removeprefix(_ACCOUNT)
            raise ConfigError(
                f"the API key of {venue} is not the one this Redis holds the ledger of: give "
                "bus.url another database number (like .../1), or, if it is a new key of the same "
                f"account, name the one before: ARB_{venue.upper()}_API_KEY_FORMER"
            )


def _loss(found: Mapping[str, str], service: str, known_id: str | None) -> str:
    """Return what is missing of this service's own data, judged by its checkpoint and the marks."""
    if known_id is None:
        return f"the checkpoint of {service} is gone" if found.get(service) else ""
    if not known_id:
        return ""
    if "id" not in found:
        return "the marks of the ledger are gone"
    return "" if found["id"] == known_id else f"the checkpoint of {service} is of another ledger"


class LossDetector:
    """What one process has seen of the marks; notices what a Redis has lost since. Pure."""

    def __init__(self) -> None:
        self._id = self._taken_up = ""
        self._alive_ns = self._command_ns = 0

    def look(self, marks: Mapping[str, str]) -> str:
        """Take the marks as they are now; return what must have been lost, empty if nothing."""
        loss = self._compare(marks)
        if loss:
            self._alive_ns = self._command_ns = 0
        self._id, self._taken_up = marks.get("id", ""), marks.get("taken_up_ns", "")
        self._alive_ns = max(self._alive_ns, _number(marks, "alive_ns"))
        self._command_ns = max(self._command_ns, _number(marks, "command_ns"))
        return loss

    def _compare(self, marks: Mapping[str, str]) -> str:
        if self._id and "id" not in marks:
            return "Redis lost its data"
        if self._id and marks["id"] != self._id:
            return "Redis lost its data, a new ledger has begun"
        alive_ns = _number(marks, "alive_ns")
        if marks.get("taken_up_ns", "") != self._taken_up:  # another risk process writes it now
            alive_ns = min(alive_ns, _number(marks, "taken_up_ns"))
        older_ns = self._alive_ns - alive_ns
        if older_ns > LAST_SECONDS_NS:
            return f"Redis holds a copy of its data that is {older_ns / 1e9:.0f} s older"
        if _number(marks, "command_ns") < self._command_ns:
            return "Redis lost the last command of an operator"
        return ""


def _number(marks: Mapping[str, str], name: str) -> int:
    text = marks.get(name, "")
    return int(text) if text.isdecimal() else 0
