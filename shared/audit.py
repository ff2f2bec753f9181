"""A record of who did what, in which nothing can be changed unnoticed: a chain of hashes. Pure.

Each line is a JSON object; its ``hash`` is that of the line before with everything else in it. Who
changes, drops or adds a line in the middle breaks the chain there. Lines cut off at the end leave a
whole chain: the last hash is in the process's log as well, for comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

NO_HASH = "0" * 64
"""What comes before the first entry."""
TEXT_MAX = 300


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One act, or a try of one.

    ``who`` is a session or a user, ``address`` where the request came from, ``outcome`` what became
    of it. ``before`` is the hash of the entry before.
    """

    seq: int
    ts_ns: int
    who: str
    address: str
    action: str
    outcome: str
    arguments: dict[str, str] = {}
    command_id: str = ""
    before: str = NO_HASH
    hash: str = ""


class Chain:
    """The end of a chain, to which entries are added."""

    def __init__(self, last: AuditEntry | None = None) -> None:
        self._seq, self._hash = (0, NO_HASH) if last is None else (last.seq, last.hash)

    def next(
        self,
        ts_ns: int,
        who: str,
        address: str,
        action: str,
        outcome: str,
        *,
        arguments: dict[str, str] | None = None,
        command_id: str = "",
    ) -> AuditEntry:
        """Return the next entry; it is in the chain once ``take`` says that it is on record."""
        entry = AuditEntry(
            seq=self._seq + 1,
            ts_ns=ts_ns,
            who=_text(who),
            address=_text(address),
            action=_text(action),
            outcome=_text(outcome),
            arguments={_text(k): _text(v) for k, v in (arguments or {}).items()},
            command_id=_text(command_id),
            before=self._hash,
        )
        return msgspec.structs.replace(entry, hash=hash_of(entry))

    def take(self, entry: AuditEntry) -> None:
        """Go on after this entry."""
        self._seq, self._hash = entry.seq, entry.hash


def _text(told: str) -> str:
    """Return a text as it can be written: what came as no UTF-8 is escaped."""
    return told[:TEXT_MAX].encode("utf-8", "backslashreplace").decode()[:TEXT_MAX]


def hash_of(entry: AuditEntry) -> str:
    """Return the SHA-256 of an entry without its own hash, in hex."""
    bare = msgspec.structs.replace(entry, hash="")
    return hashlib.sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()


def line_of(entry: AuditEntry) -> bytes:
    """Return an entry as a line."""
    return msgspec.json.encode(entry) + b"\n"


def verify(lines: Iterable[bytes]) -> tuple[list[AuditEntry], str]:
    """Return the entries of a chain and what is wrong with it; empty where nothing is."""
    entries: list[AuditEntry] = []
    before, seq = NO_HASH, 0
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return entries, f"line {number} is not complete"
        try:
            entry = msgspec.json.decode(line, type=AuditEntry)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return entries, f"line {number} is no entry: {error}"
        if entry.seq != seq + 1 or entry.before != before:
            return entries, f"line {number} does not follow the line before it"
        # As it is written, to the last byte: a field more, or twice, is in no hash.
        if entry.hash != hash_of(entry) or line != line_of(entry):
            return entries, f"line {number} was changed"
        entries.append(entry)
        before, seq = entry.hash, entry.seq
    return entries, ""
