"""On which processors this process may run."""

from __future__ import annotations

import os
from collections.abc import Sequence

from shared.errors import ConfigError


def keep_to(processors: Sequence[int], where: str) -> None:
    """Let this process, and the threads it will start, run on these processors only.

    Raises:
        ConfigError: One of them is not there, or this system cannot or must not do it.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(f"{where} is set, and this system cannot bind processes; remove it")
    usable = os.sched_getaffinity(0)
    if not processors or not usable.issuperset(processors):
        known = ", ".join(map(str, sorted(usable)))
        raise ConfigError(f"{where} = {[*processors]}; this process may use {known}")
    try:
        os.sched_setaffinity(0, processors)
    except PermissionError as error:
        raise ConfigError(
            f"{where} is set, and this process may not bind itself ({error.strerror}); remove it, "
            "or let its service manager do it (systemd: CPUAffinity=)"
        ) from error
