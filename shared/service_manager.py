"""Tells systemd whether a process starts, is ready, is alive or stops: sd_notify(3). IO.

Where ``NOTIFY_SOCKET`` is not set there is nobody to tell, and nothing is. What could not be handed
over (systemd is busy, or starts anew itself) is told again in the next datagram.
"""

from __future__ import annotations

import asyncio
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

        Ready is told once, as soon as the observer is (working, or standing by for another one
        that is), and again until systemd has it: a start of which it does not hear ends by being
        stopped. A main loop that stands still is not told as alive, and systemd starts another
        process.
        """
        is_ready, said = False, ""
        while self._socket is not None:
            news: list[str] = []
            becomes_ready = observer.ready and not is_ready
            if becomes_ready:
                news.append("READY=1")
            if observer.is_alive():
                extended = f"EXTEND_TIMEOUT_USEC={START_EXTENDED_S * 1_000_000}"
                news.append("WATCHDOG=1" if is_ready or becomes_ready else extended)
            status = observer.reason or ("ready" if observer.ready else "")
            if status != said:
                news.append(f"STATUS={' '.join(status.split())}")
            if self._tell(news):
                is_ready, said = is_ready or becomes_ready, status
            await asyncio.sleep(EVERY_S if is_ready else STARTING_EVERY_S)

    def stopping(self) -> None:
        """Tell it that the process ends, as it was asked to."""
        self._tell(["STOPPING=1"])

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()

    def _tell(self, news: list[str]) -> bool:
        """Tell something; return whether it was handed over."""
        if self._socket is None or not news:
            return False
        try:
            self._socket.sendto("\n".join(news).encode(), self._address)
        except OSError:
            return False
        return True
