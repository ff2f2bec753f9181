"""A record of who did what, in which nothing can be changed unnoticed: a chain of hashes. Pure.

Each line is a JSON object; its ``hash`` is that of the line before with everything else in it. Who
changes, drops or adds a line in the middle breaks the chain there. Lines cut off at the end, or all
lines written anew, leave a whole chain: every entry is on the stream ``sys.audit`` and in the
ledger as well, and ``compare`` tells what of that the file lacks. The chain goes on from file to
file (shared/audit_files.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

import msgspec

from shared.messages.control import Audited
from shared.wording import counted

NO_HASH = "0" * 64
"""What comes before the first entry."""
TEXT_MAX = 300
REMOVED, UNTIL_NS = "remove", "until_ns"
"""The action of removing an old broken file; among its arguments the time of its newest entry."""


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


def audited(entry: AuditEntry, trail: str) -> Audited:
    """Return the message that tells an entry of the trail of this name."""
    return Audited(trail=trail, **msgspec.structs.asdict(entry))


def of_no_file(entry: AuditEntry) -> Audited:
    """Return the message that tells an entry which is in no file, so in no chain."""
    bare = msgspec.structs.replace(entry, seq=0, before=NO_HASH)
    return audited(msgspec.structs.replace(bare, hash=hash_of(bare)), "")


def entry_of(told: Audited) -> AuditEntry:
    """Return the entry that a message tells."""
    fields = msgspec.structs.asdict(told)
    del fields["trail"]
    return AuditEntry(**fields)


def verify(
    lines: Iterable[bytes], after: AuditEntry | None = None, *, is_cut: bool = False
) -> tuple[list[AuditEntry], str]:
    """Return the entries of a chain and what is wrong with it; empty where nothing is.

    Args:
        lines: Of the file, each with its end.
        after: The entry that the first line must follow; ``None``: it begins the chain.
        is_cut: What the first line follows is kept no more, so it may follow anything.
    """
    entries: list[AuditEntry] = []
    before, seq = (NO_HASH, 0) if after is None else (after.hash, after.seq)
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return entries, f"line {number} is not complete"
        try:
            entry = msgspec.json.decode(line, type=AuditEntry)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return entries, f"line {number} is no entry: {error}"
        follows = entry.seq == seq + 1 and entry.before == before
        if not (follows or (is_cut and number == 1)):
            return entries, f"line {number} does not follow the line before it"
        # As it is written, to the last byte: a field more, or twice, is in no hash.
        if entry.hash != hash_of(entry) or line != line_of(entry):
            return entries, f"line {number} was changed"
        entries.append(entry)
        before, seq = entry.hash, entry.seq
    return entries, ""


def compare(
    entries: Sequence[AuditEntry],
    told: Iterable[Audited],
    trail: str,
    aside: Collection[str] = (),
) -> tuple[str, int]:
    """Return what the entries of a file lack of what was told of it, and how many were told.

    Args:
        entries: Of the file, or of all files of its trail; the first may be in the midst of the
            chain: what was before it is not missed.
        told: What streams and ledger hold, each entry once.
        trail: The file's name on record. Names under which any of its entries is on record count as
            well: a container's host name changes.
        aside: Hashes of entries in files that were put aside. What was in those that a dashboard
            has removed since is not missed, where that is on record as well.
    """
    own, first = {each.hash for each in entries}, entries[0].seq if entries else 0
    last = entries[-1].seq if entries else 0
    genuine = [each for each in told if each.trail and hash_of(entry_of(each)) == each.hash]
    names = {trail, *(each.trail for each in genuine if each.hash in own)}
    of_it = [each for each in genuine if each.trail in names]
    removed_ns = max((_until_ns(m) for m in of_it if m.hash in own or m.hash in aside), default=0)
    missing = sorted(
        (
            each
            for each in of_it
            if each.seq >= first
            and each.ts_ns > removed_ns
            and each.hash not in own
            and each.hash not in aside
        ),
        key=lambda each: (each.seq, each.ts_ns),
    )
    if not missing:
        return "", len(of_it)
    begin = missing[0]
    entry = f"entry {begin.seq} ({begin.who} {begin.action}: {begin.outcome[:80]})"
    count = counted(len(missing), "entry", "entries")
    lost = f"{count} on record missing here, the first is {entry}"
    if begin.seq <= last:
        return f"it was rewritten: {lost}", len(of_it)
    return f"its end was cut off: {lost}", len(of_it)


def _until_ns(told: Audited) -> int:
    until = told.arguments.get(UNTIL_NS, "") if told.action == REMOVED else ""
    return int(until) if until.isdecimal() else 0
