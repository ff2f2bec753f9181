"""How long to stay away from whoever said "not now" over HTTP. Pure."""

from __future__ import annotations

FORBIDDEN = 403
BANNED = 418
TOO_MANY_REQUESTS = 429
RETRY_AFTER_S = {TOO_MANY_REQUESTS: 10.0, BANNED: 120.0, FORBIDDEN: 60.0}
"""Where the answer does not say: limit hit, banned, firewalled."""
RETRY_AFTER_S_MAX = 3 * 24 * 3600.0


def retry_after_s(status: int, header: str | None) -> float:
    """Return the seconds to stay away: what is asked for, else our default; 0 for none.

    ``header`` is the text of ``Retry-After``, in seconds; a date is taken for none.
    """
    if header is not None:
        try:
            return min(max(0.0, float(header)), RETRY_AFTER_S_MAX)
        except ValueError:
            pass  # an HTTP date, which no venue is known to send
    return RETRY_AFTER_S.get(status, 0.0)
