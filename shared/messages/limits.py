"""The limits that risk judges by, as its report tells them."""

from __future__ import annotations

import msgspec

from shared.messages.bounds import Key, MaybeId, Name


class LimitsReport(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in force, and digests of what else risk read of the configuration.

    ``in_force`` are the numbers of ``[risk]`` that change without a restart, as text by name,
    ``config_parts`` digests of the other parts (shared/limit_changes.py makes both). ``command`` is
    the last change that was asked for, ``refused`` why it was not made (empty: it was).
    """

    in_force: dict[Key, Name]
    config_parts: dict[Key, Name]
    command: MaybeId = ""
    refused: str = ""
