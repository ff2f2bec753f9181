"""Numbers in messages to people. Pure."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number and what is counted: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
