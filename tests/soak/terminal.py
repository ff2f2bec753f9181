"""`arb top` on a pseudo terminal: its keys are pressed, what it draws is counted and dropped."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle

from shared.cancel import cancel_and_wait
from tests.support import ROOT

ROWS, COLUMNS = 50, 160
KEYS = "123456789"
SCREEN_S = 20.0
READ_BYTES = 65_536
STOP_S = 10.0


class Terminal:
    """One `arb top`; ``drawn`` are the bytes that it wrote."""

    def __init__(self, redis_url: str) -> None:
        self.drawn = 0
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.cli.main", "top", "--redis", redis_url],
            cwd=ROOT,
            env={**environ, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    @property
    def pid(self) -> int | None:
        """Of its process; ``None`` once it has ended."""
        return None if self._process.poll() is not None else self._process.pid

    def _read(self) -> None:
        try:
            got = os.read(self._master, READ_BYTES)
        except OSError:  # its process has ended
            got = b""
        self.drawn += len(got)
        if not got:
            asyncio.get_running_loop().remove_reader(self._master)

    async def turn_pages(self) -> None:
        """Show one screen after the other until canceled."""
        for key in cycle(KEYS):
            await asyncio.sleep(SCREEN_S)
            with suppress(OSError):
                os.write(self._master, key.encode())

    async def close(self) -> None:
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


@asynccontextmanager
async def open_terminal(redis_url: str) -> AsyncIterator[Terminal]:
    """Run `arb top` on a terminal of its own."""
    terminal = Terminal(redis_url)
    turning = asyncio.create_task(terminal.turn_pages())
    try:
        yield terminal
    finally:
        await cancel_and_wait([turning])
        await terminal.close()
