"""Tells systemd whether a process starts, is ready, is alive or stops: sd_notify(3). IO.

Where ``NOTIFY_SOCKET`` is not set there is nobody to tell, and nothing is. A datagram that finds no
room is left out: the next one, a second later, says the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import socket
from collections.abc import Mapping

from shared.observe import Observer

EVERY_S = 1.0
STARTING_EVERY_S = 0.2
START_EXTENDED_S = 60
"""How long a start may still take, counted anew as long as the process is alive: it may wait for
Redis or a venue for hours, and is not to be ended for it. One that hangs is."""


class ServiceManager:
    """Who started this process, where it wants to be told.

    Args:
        environ: With the variables that systemd sets.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if self._address and watched and environ.get("WATCHDOG_USEC"):
            faulthandler.enable()  # systemd ends one that hangs by SIGABRT: then say where

    async def keep_told(self, observer: Observer) -> None:
        """Tell it how the process is, until canceled.

        Ready is told once, as soon as the observer is: working, or standing by for another one
        that is. A main loop that stands still is not told as alive, and systemd starts another
        process.
        """
        is_ready, said = False, ""
        while self._socket is not None:
            news: list[str] = []
            if observer.ready and not is_ready:
                is_ready = True
                news.append("READY=1")
            if observer.is_alive():
                extended = f"EXTEND_TIMEOUT_USEC={START_EXTENDED_S * 1_000_000}"
                news.append("WATCHDOG=1" if is_ready else extended)
            status = observer.reason or ("ready" if observer.ready else "")
            if status != said:
                said = status
                news.append(f"STATUS={' '.join(status.split())}")
            self._tell(news)
            await asyncio.sleep(EVERY_S if is_ready else STARTING_EVERY_S)

    def stopping(self) -> None:
        """Tell it that the process ends, as it was asked to."""
        self._tell(["STOPPING=1"])

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()

    def _tell(self, news: list[str]) -> None:
        if self._socket is not None and news:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(news).encode(), self._address)
