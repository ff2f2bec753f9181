"""Where tokens and the audit trail lie: files that only this user may read. IO."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from services.dashboard.access import Role
from shared.audit import REMOVED, UNTIL_NS, AuditEntry, Chain, line_of, verify
from shared.audit_files import (
    ASIDE_MAX,
    FILE_BYTES_MAX,
    FILE_NAME,
    FILES_MAX,
    files_aside,
    genuine_of,
    last_entry,
    older_files,
    older_name,
    trail_name,
)
from shared.errors import ConfigError

log = logging.getLogger(__name__)

TOKEN_BYTES: Final = 32
DASHBOARDS_MAX: Final = 64
"""Of one user on one machine."""


def read_tokens(folder: Path) -> dict[Role, str]:
    """Return the token of each role, made where there is none.

    Raises:
        ConfigError: A token can be neither read nor made, or others may read it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {role: _token(folder / f"{role}.token") for role in Role}
    except OSError as error:
        raise ConfigError(
            f"the dashboard's tokens in {folder} can be neither read nor made: {error.strerror}; "
            "set ARB_DASHBOARD_DIR to a folder that it may write to"
        ) from error
    except UnicodeError as error:
        raise ConfigError(
            f"a token in {folder} is no text; remove it, and a new one is made"
        ) from error


def _token(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
    if mode := stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path} may be used by others (mode {mode:03o}); chmod 600 it")
    token = path.read_text(encoding="utf-8").strip()
    if len(token) < TOKEN_BYTES:
        raise ConfigError(f"{path} holds no token; remove it, and a new one is made")
    return token


def _own_file(folder: Path) -> tuple[Path, int]:
    """Return the first trail of a folder that no other process writes to, and what locks it.

    Raises:
        ConfigError: There is none.
    """
    for number in range(DASHBOARDS_MAX):
        path = folder / (FILE_NAME if not number else f"audit-of-{number + 1}.jsonl")
        try:
            lock = os.open(path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"{path} cannot be locked: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return path, lock
    raise ConfigError(
        f"{DASHBOARDS_MAX} dashboards use {folder}; set ARB_DASHBOARD_DIR to another folder"
    )


class AuditFile:
    """The audit trail on disk, in files of at most ``FILE_BYTES_MAX`` bytes.

    A full file is renamed and the chain goes on in a new one; the oldest beyond ``FILES_MAX`` goes.
    A chain that does not hold is put aside and a new one begun, whose first entry says so. Where
    another dashboard writes to it, this one has a file of its own. To one that cannot be read
    nothing is added, as nobody knows after which entry.

    Args:
        folder: Of the file.
        now_ns: UNIX ns.
    """

    def __init__(self, folder: Path, now_ns: int) -> None:
        self.path, self._lock = _own_file(folder)
        self.name = trail_name(self.path)
        self.problem = ""
        lines: list[bytes] = []
        older = older_files(self.path)
        before: AuditEntry | None = None
        try:
            before = last_entry(older[-1]) if older else None
            if self.path.exists():
                lines = self.path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            self.problem = (
                f"{error.filename} cannot be read: {error.strerror}; move it away and start again"
            )
            log.error("audit_not_read", extra={"reason": self.problem})
        self._is_read = not self.problem
        # Whether files before it are missing is told by `arb audit verify`.
        self.entries, flaw = verify(lines, before, is_cut=not older)
        if older and before is None and self._is_read:
            flaw = f"{older[-1].name} does not end with an entry"
        self._chain = Chain(self.entries[-1] if self.entries and not flaw else before)
        self._first_seq = self.entries[0].seq if self.entries else 0
        if flaw:
            log.error("audit_broken", extra={"reason": flaw, "path": str(self.path)})
            for each in (*older, *([self.path] if self.path.exists() else [])):
                suffix = each.name.removeprefix(self.path.stem)
                each.rename(each.with_name(f"broken-{now_ns}{suffix}"))
            self.entries, self._chain = [], Chain()
            self.add(now_ns, "dashboard", "", "start", f"the trail before is broken: {flaw}")
        self._remove_aside(now_ns)

    def close(self) -> None:
        """Let another dashboard write to the file."""
        os.close(self._lock)

    def add(
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
        """Write an entry and return it; ``problem`` says when it is not on disk."""
        entry = self._chain.next(
            ts_ns, who, address, action, outcome, arguments=arguments, command_id=command_id
        )
        if not self._is_read:
            return entry
        try:
            self._write(line_of(entry), entry.seq)
        except OSError as error:
            self.problem = f"{self.path} cannot be written: {error.strerror}"
            log.error("audit_not_written", extra={"reason": self.problem, "action": action})
            return entry
        self._chain.take(entry)
        self.problem = ""
        log.info("audit", extra={"seq": entry.seq, "hash": entry.hash, "action": action})
        return entry

    def _write(self, line: bytes, seq: int) -> None:
        """Append a whole line, or nothing; into a new file where this one would be too large."""
        if self.path.exists() and self.path.stat().st_size + len(line) > FILE_BYTES_MAX:
            self._put_by()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if not size:
            self._first_seq = seq

    def _remove_aside(self, now_ns: int) -> None:
        """Remove the oldest broken files that are too many, each on record before it goes."""
        for file in files_aside(self.path.parent)[:-ASIDE_MAX]:
            try:
                newest_ns = max((each.ts_ns for each in genuine_of(file)), default=0)
                until = {UNTIL_NS: str(min(newest_ns, now_ns))}
                outcome = f"removed {file.name}: {ASIDE_MAX} broken files are kept"
                self.add(now_ns, "dashboard", "", REMOVED, outcome, arguments=until)
                if self.problem:
                    return
                file.unlink(missing_ok=True)
            except OSError as error:
                log.warning("audit_not_removed", extra={"file": file.name, "reason": str(error)})

    def _put_by(self) -> None:
        """Rename the file, and remove the oldest ones that are too many."""
        self.path.rename(older_name(self.path, self._first_seq))
        for each in older_files(self.path)[: -(FILES_MAX - 1)]:
            each.unlink()
