"""The files of a recorder: appended to in one thread, and finished by a program of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from services.recorder.requests import (
    Finish,
    Finished,
    Known,
    LogEntry,
    NotFinished,
    NotRecovered,
    NotWritten,
    Part,
    Recover,
    Recovered,
    Write,
    Written,
)
from shared.engine import Action, Result
from shared.errors import ArbError
from shared.store.manifest import files_in, read_manifest
from shared.store.segments import encode, read_segment, segments_in
from shared.store.staging import locked

log = logging.getLogger(__name__)

Deliver = Callable[[Result], None]
FINISH_TIMEOUT_S = 600.0
ERROR_LENGTH_MAX = 300


class StoreTransport:
    """A recorder's IO.

    Args:
        root: Of the store.
        spawn: Starts a task that the host supervises.
    """

    def __init__(
        self, root: Path, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        self._root, self._spawn = root, spawn
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._files: dict[str, FileIO] = {}
        self._held = ExitStack()
        self._program: asyncio.subprocess.Process | None = None

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action; its result is delivered from the event loop."""
        if type(action) is LogEntry:
            level = logging.ERROR if action.is_error else logging.INFO
            log.log(level, action.event, extra=action.fields)
        elif type(action) is Write:
            self._spawn(self._in_thread(lambda: self._write(action.parts), deliver))
        elif type(action) is Recover:
            self._spawn(self._in_thread(self._recover, deliver))
        elif type(action) is Finish:
            self._spawn(self._finish(action.segment, deliver))

    async def close(self) -> None:
        """End what runs; what is not finished is at the next start."""
        if self._program is not None and self._program.returncode is None:
            with suppress(ProcessLookupError):
                self._program.kill()
            await self._program.wait()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        for file in self._files.values():
            file.close()
        self._held.close()

    async def _in_thread(self, work: Callable[[], Result], deliver: Deliver) -> None:
        deliver(await asyncio.get_running_loop().run_in_executor(self._thread, work))

    def _recover(self) -> Result:
        """Take the store, which no other process then records into, and look at what is there."""
        try:
            self._held.enter_context(locked(self._root, "records"))
            return look_at(self._root)
        except (ArbError, OSError) as error:
            self._held.close()
            return NotRecovered(str(error))

    def _write(self, parts: list[Part]) -> Result:
        before: dict[str, int] = {}
        sizes: dict[str, int] = {}
        try:
            for part in parts:
                file = self._open(part.segment)
                before[part.segment] = file.seek(0, os.SEEK_END)
                _write_all(file, encode([*part.missing, *part.rows]))
                os.fsync(file.fileno())
                sizes[part.segment] = file.tell()
        except OSError as error:
            self._take_back(before)
            return NotWritten(f"{self._root}: {error.strerror}")
        return Written(sizes)

    def _open(self, segment: str) -> FileIO:
        file = self._files.get(segment)
        if file is None:
            path = self._root / segment
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a buffer of Python's: what was not written must not come later.
            file = self._files[segment] = path.open("ab", buffering=0)
        return file

    def _take_back(self, before: dict[str, int]) -> None:
        """Cut off what a failed write has left, so that it can be repeated."""
        for segment, size in before.items():
            file = self._files.pop(segment)
            with suppress(OSError):
                file.truncate(size)
            with suppress(OSError):
                file.close()

    async def _finish(self, segment: str, deliver: Deliver) -> None:
        if (file := self._files.pop(segment, None)) is not None:
            file.close()
        self._program = program = await asyncio.create_subprocess_exec(
            *("nice", "-n", "10", sys.executable, "-m", "services.recorder.finish"),
            str(self._root),
            segment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                out, told = await program.communicate()
        except TimeoutError:
            program.kill()
            deliver(NotFinished(segment, f"not within {FINISH_TIMEOUT_S:g} s"))
            return
        if program.returncode == 0:
            deliver(Finished(segment, int(out)))
        else:
            deliver(
                NotFinished(segment, told.decode("utf-8", "replace").strip()[-ERROR_LENGTH_MAX:])
            )


def _write_all(file: FileIO, data: bytes) -> None:
    """Write all of it: a full disk takes a part first, and refuses the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def look_at(root: Path) -> Recovered:
    """Return the last row of every recording in a store, and what nobody finished."""
    known: dict[str, Known] = {}

    def note(recording: str, seq: int, ts_ns: int) -> None:
        if recording not in known or known[recording].seq < seq:
            known[recording] = Known(seq, ts_ns)

    for file in files_in(root, ("raw",)):
        with suppress(ArbError):  # without its manifest it is made again from its segment
            manifest = read_manifest(file)
            for span in manifest.spans:
                note(span.recording, span.seq_last, manifest.ts_last_ns)
    found, rows, torn_bytes = list(segments_in(root)), 0, 0
    for path in found:
        segment = read_segment(path)
        rows += len(segment.rows)
        torn_bytes += segment.torn_bytes
        for row in segment.rows:
            note(row.recording, row.seq, row.ts_recv_ns)
    names = [path.relative_to(root).as_posix() for path in found]
    return Recovered(known, names, rows, torn_bytes)
