"""An audit trail over its files, and compared with what is on record of it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from services.dashboard import files
from services.dashboard.files import AuditFile
from shared import audit_files
from shared.audit import AuditEntry, Chain, audited, compare, line_of, of_no_file, verify
from shared.audit_files import (
    ASIDE_MAX,
    files_aside,
    hashes_aside,
    older_files,
    read_whole,
    trail_name,
)
from shared.codec import decode, encode
from shared.streams import SYS_AUDIT

BYTES_MAX = 1_500
FILES_MAX = 4


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_BYTES_MAX", BYTES_MAX)
    monkeypatch.setattr(files, "FILES_MAX", FILES_MAX)
    monkeypatch.setattr(audit_files, "FILES_MAX", FILES_MAX)


def chain(count: int, since_ns: int = 1) -> list[AuditEntry]:
    made, entries = Chain(), []
    for number in range(count):
        entries.append(made.next(since_ns + number, "operator-1", "::1", "halt", "confirmed"))
        made.take(entries[-1])
    return entries


def write(folder: Path, count: int, since_ns: int = 1) -> AuditFile:
    """Entries by dashboards that are restarted now and then."""
    for number in range(count):
        if not number % 3:
            audit = AuditFile(folder, since_ns + number)
        audit.add(since_ns + number, "operator-1", "::1", "halt", "confirmed")
        assert not audit.problem
        if number % 3 == 2 or number == count - 1:
            audit.close()
    return audit


def test_the_chain_goes_on_from_file_to_file(tmp_path: Path) -> None:
    path = write(tmp_path, 14).path
    older = older_files(path)
    assert len(older) in {2, 3}, "14 entries of some 300 bytes"
    assert all(each.stat().st_size <= BYTES_MAX for each in (*older, path))
    whole = read_whole(path)
    assert ([entry.seq for entry in whole.entries], whole.flaw) == ([*range(1, 15)], "")
    assert whole.files == len(older) + 1


def test_files_are_bounded_and_the_newest_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, 60).path
    assert len(older_files(path)) == FILES_MAX - 1
    whole = read_whole(path)
    assert whole.flaw == ""
    assert [entry.seq for entry in whole.entries] == [*range(whole.entries[0].seq, 61)]
    assert whole.entries[0].seq > 1


def test_what_is_missing_of_the_files_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, 14).path
    first, *_, last = older_files(path)
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-1]))
    assert read_whole(path).flaw == "line 1 does not follow the line before it"
    last.write_bytes(b"".join([lines[0].replace(b"::1", b"::2"), *lines[1:]]))
    assert read_whole(path).flaw == f"{last.name}: line 1 was changed"
    last.write_bytes(b"".join(lines))
    away = path.rename(tmp_path / "away")
    assert read_whole(path).flaw == "audit.jsonl is gone"
    away.rename(path)
    assert read_whole(path).flaw == ""
    first.unlink()
    assert "line 1 does not follow" in read_whole(path).flaw, "fewer than may be kept"


def test_a_file_that_is_renamed_while_a_trail_is_read_is_no_gap(tmp_path: Path) -> None:
    path = write(tmp_path, 60).path
    audit, since = AuditFile(tmp_path, 61), {"count": 61}

    def read(file: Path) -> bytes:
        """Read one, after the dashboard went on for a file and more, twice."""
        if file == path and since["count"] < 75:
            for _ in range(7):
                audit.add(since["count"], "operator-1", "::1", "halt", "confirmed")
                since["count"] += 1
        return file.read_bytes()

    whole = read_whole(path, read)
    audit.close()
    assert since["count"] == 75, "it was read again"
    assert (whole.flaw, whole.entries[-1].seq) == ("", 74)


def test_a_broken_trail_is_put_aside_with_its_older_files(tmp_path: Path) -> None:
    path = write(tmp_path, 14).path
    count = len(older_files(path))
    held = read_whole(path).entries
    path.write_bytes(b"{}\n")
    AuditFile(tmp_path, 99).close()
    assert len([*tmp_path.glob("broken-99.*jsonl")]) == count + 1
    assert older_files(path) == []
    whole = read_whole(path)
    assert (len(whole.entries), whole.flaw) == (1, "")
    on_record = [audited(entry, "here") for entry in held[:4]]
    assert compare(whole.entries, on_record, "here", hashes_aside(path)) == ("", 4)
    assert compare(whole.entries, on_record, "here")[0]


def test_broken_files_are_bounded_and_what_they_held_is_not_missed(tmp_path: Path) -> None:
    told = [audited(entry, "here") for entry in read_whole(write(tmp_path, 3).path).entries]
    for number in range(ASIDE_MAX + 2):
        path = tmp_path / "audit.jsonl"
        path.write_bytes(path.read_bytes() + b"{}\n")
        audit = AuditFile(tmp_path, 90 + number)  # names of two lengths
        audit.close()
    names = [each.name for each in files_aside(tmp_path)]
    assert names == [f"broken-{number}.jsonl" for number in range(92, 92 + ASIDE_MAX)]
    whole = read_whole(audit.path)
    assert whole.flaw == ""
    removals = [audited(each, "here") for each in whole.entries if each.action == "remove"]
    assert removals, "the newest is in the trail"
    aside = hashes_aside(audit.path)
    assert compare(whole.entries, [*told, *removals], "here", aside)[0] == ""
    assert "missing here" in compare(whole.entries, told, "here", aside)[0], "not on record"
    later = audited(chain(5, since_ns=200)[-1], "here")
    assert "missing here" in compare(whole.entries, [*told, *removals, later], "here", aside)[0]


def test_older_files_without_an_end_are_put_aside_and_never_written_over(tmp_path: Path) -> None:
    path = write(tmp_path, 14).path
    (*_, newest) = older = older_files(path)
    path.unlink()
    newest.write_bytes(newest.read_bytes()[:-40])
    first = older[0].read_bytes()
    write(tmp_path, 14, since_ns=100)
    assert first in {each.read_bytes() for each in tmp_path.glob("broken-*.jsonl")}
    whole = read_whole(path)
    assert whole.flaw == ""
    assert whole.entries[0].outcome == (
        f"the trail before is broken: {newest.name} does not end with an entry"
    )


def test_a_folder_whose_name_is_no_text_has_a_trail_that_streams_take(tmp_path: Path) -> None:
    entry = chain(1)[0]
    told = audited(entry, trail_name(tmp_path / os.fsdecode(b"tr\xffail") / "audit.jsonl"))
    assert decode(SYS_AUDIT, encode(SYS_AUDIT, [told])) == [told]


def test_an_end_that_was_cut_off_is_told() -> None:
    entries = chain(5)
    told = [audited(entry, "here") for entry in entries]
    assert compare(entries, told, "here") == ("", 5)
    flaw, count = compare(entries[:3], told, "here")
    assert count == 5
    assert flaw.startswith("its end was cut off: 2 entries on record missing here, the first is ")
    assert "entry 4 (operator-1 halt: confirmed)" in flaw
    assert "cut off" in compare([], told, "here")[0], "also where nothing is left"
    assert compare(entries, told[:2], "here") == ("", 2), "what Redis has not got yet is no fault"


def test_a_file_that_was_written_anew_is_told() -> None:
    told = [audited(entry, "here") for entry in chain(5)]
    forged = chain(9, since_ns=7)
    assert verify(map(line_of, forged))[1] == "", "its chain is whole"
    assert compare(forged, told, "here")[0].startswith("it was rewritten: 5 entries on record")


def test_what_is_no_part_of_the_trail_is_not_missed() -> None:
    entries = chain(4)
    others = [audited(entry, "there") for entry in chain(3, since_ns=50)]
    terminal = of_no_file(chain(1, since_ns=90)[0])
    noise = msgspec.structs.replace(audited(entries[0], "here"), who="somebody")
    assert compare(entries, [*others, terminal, noise], "here") == ("", 0)
    kept = entries[2:]
    told = [audited(entry, "here") for entry in entries]
    assert compare(kept, told, "here") == ("", 4), "older files are kept no more"


def test_a_trail_is_known_under_the_name_of_before() -> None:
    """A container's host name is another one each time it is made."""
    entries = chain(5)
    told = [audited(entry, "old:/audit.jsonl") for entry in entries]
    assert "cut off" in compare(entries[:4], told, "new:/audit.jsonl")[0]
