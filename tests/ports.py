"""Ports for servers of tests that keep theirs over a restart."""

from __future__ import annotations

import contextlib
import random
import socket

LOWEST, HIGHEST = 15_000, 32_000
"""Below those that the system gives to connections: one of them may take a port that is free now
before the server listens on it, or while it is dead."""


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    with contextlib.ExitStack() as probes:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randrange(LOWEST, HIGHEST)
            with contextlib.suppress(OSError):
                probes.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports
