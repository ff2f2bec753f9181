"""Whether the keys of the venues are no danger. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from services.cli.doctor.check import Check, Level
from shared.venues.key_rights import KeyRights

EXPIRES_SOON_MS = 14 * 86_400_000


def check_keys(found: Mapping[str, KeyRights | str], now_ms: int) -> Iterator[Check]:
    """Yield the checks of each venue's key.

    Args:
        found: Venue -> what it tells of the key, or why it could not be asked.
        now_ms: The time, ms since the epoch.
    """
    for venue, told in sorted(found.items()):
        name = f"key of {venue}"
        if isinstance(told, str):
            text = f"what it may do could not be asked: {told}"
            yield Check(name, Level.WARNING, text, "mend that, then again")
            continue
        yield _withdrawing(name, told)
        if told.is_bound is False:
            right = "at the venue, bind it to this machine's address"
            yield Check(name, Level.WARNING, "it works from every address", right)
        if told.expires_ms and told.expires_ms < now_ms + EXPIRES_SOON_MS:
            day = datetime.fromtimestamp(told.expires_ms / 1_000, UTC).date()
            has_ended = told.expires_ms <= now_ms
            level = Level.FAILED if has_ended else Level.WARNING
            text = f"it {'ended' if has_ended else 'ends'} on {day}"
            yield Check(name, level, text, "make a new one at the venue, and set it here")


def _withdrawing(name: str, told: KeyRights) -> Check:
    right = "a key that may read and trade, and may not withdraw"
    if told.may_withdraw is None:
        text = "the venue does not tell whether it may withdraw"
        return Check(name, Level.WARNING, text, f"see at the venue that it is {right}")
    if told.may_withdraw:
        return Check(name, Level.FAILED, "it may withdraw, so it is refused for trading", right)
    return Check(name, Level.OK, "it may not withdraw")
