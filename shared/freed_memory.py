"""Memory that was freed and that the C library keeps for itself, given back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_trim = getattr(_libc, "malloc_trim", None)
"""Of glibc; other libraries give memory back by themselves."""


def give_back() -> None:
    """Give back what a start needed for a moment; takes some milliseconds.

    Compiling a module of half a megabyte, where Python may not keep its bytecode, or reading all
    markets of a venue leaves tens of megabytes that this process will not use again.
    """
    if _trim is not None:
        _trim(0)


def set_aside() -> None:
    """Never look again for cycles at what exists now (modules and their like), and give back.

    The last collection makes Python forget how many objects that was: it looks at the oldest ones
    only when a quarter as many as it found the last time have come since.
    """
    gc.collect()
    give_back()
    gc.freeze()
    gc.collect()
