"""Reading a venue's markets although ccxt cannot read some of them. No IO of its own.

ccxt raises at the first market with a field that is not a number, and then knows none of the
venue's markets. Each venue folder says in ``ccxt_urls`` where its client is to leave out just that
one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.venues.ccxt_classes import load_base_error


def unreadable() -> tuple[type[Exception], ...]:
    """Return how ccxt fails at what it does not check."""
    return (
        load_base_error(),
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        AssertionError,
    )


def read_or_leave_out(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``parse`` that answers ``None``, which ccxt leaves out, for what it cannot read."""
    errors = unreadable()

    def parse_or_none(*args: Any, **kwargs: Any) -> Any:
        try:
            return parse(*args, **kwargs)
        except errors:
            return None

    return parse_or_none
