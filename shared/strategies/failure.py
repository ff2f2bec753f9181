"""One line about an error in a strategy: the same in every process. Pure."""

from __future__ import annotations

import re
from pathlib import PurePath
from types import TracebackType

from shared.strategies.source import USER_MODULE

REASON_LENGTH_MAX = 300
STRATEGY_MODULES = (USER_MODULE, "shared.strategies.")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def describe(error: BaseException) -> str:
    """Return what was raised and where; addresses in memory, which vary, are left out."""
    try:
        reason = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # tidy-ok: an error of a strategy's own may not even print
        reason = "it cannot be shown"
    text = " ".join(_ADDRESS.sub("0x...", reason).split())[:REASON_LENGTH_MAX]
    place = _place(error.__traceback__)
    return f"{type(error).__name__}{': ' if text else ''}{text}{f' ({place})' if place else ''}"


def _place(traceback: TracebackType | None) -> str:
    """Return where a strategy was last, empty if it was not in it."""
    place = ""
    while traceback is not None:
        frame = traceback.tb_frame
        if str(frame.f_globals.get("__name__", "")).startswith(STRATEGY_MODULES):
            place = f"{PurePath(frame.f_code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
