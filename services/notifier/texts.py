"""What is said, in plain text: what, where, since when, what to do. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from services.notifier.troubles import BEGAN, OVER, Telling

TEXT_LENGTH_MAX: Final = 3_500
"""Characters of a message; what is longer is cut, and says so."""
_CUT: Final = " [cut]"
_LOGIN: Final = re.compile(r"(?<=://)[^/\s]+(?=@)")
_QUERY: Final = re.compile(r"(?<=://)([^\s?]*\?)\S+")
"""Of an address; keys of streams and signatures of requests stand there."""
_WORDS: Final = {BEGAN: "", OVER: "over: "}


def moment(ns: int) -> str:
    """Return a time as text, to the second, in UTC."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(ns: int) -> str:
    """Return a length of time as text."""
    seconds = max(ns, 0) // 1_000_000_000
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def heading(telling: Telling) -> str:
    """Return what it is in one line."""
    cause = telling.trouble.cause
    about = f" {cause.subject}" if cause.subject else ""
    word = _WORDS.get(telling.what, "still: " if cause.lasts else "again: ")
    return f"{word}{cause.severity.upper()} {cause.code}{about}"


def body(telling: Telling, system: str, now_ns: int) -> str:
    """Return the whole text of a message."""
    trouble, cause = telling.trouble, telling.trouble.cause
    lines = [f"[{system}] {heading(telling)}"]
    if cause.summary:
        lines.append(cause.summary)
    if cause.where:
        lines.append(f"Where: {cause.where}")
    since = f"Since: {moment(trouble.since_ns)}"
    if telling.what == OVER:
        length = span(trouble.over_ns - trouble.since_ns)
        since += f" until {moment(trouble.over_ns)} ({length})"
    elif telling.what != BEGAN:
        since += f" ({span(now_ns - trouble.since_ns)})"
    lines.append(since)
    if trouble.count > 1:
        more = trouble.count - trouble.told_count
        new = f", {more} of them not told yet" if 0 < more < trouble.count else ""
        lines.append(f"Times: {trouble.count}{new}")
    if cause.detail:
        lines.append(cause.detail if telling.what != OVER else f"The last: {cause.detail}")
    if cause.remedy and telling.what != OVER:
        lines.append(f"Do: {cause.remedy}")
    return cut("\n".join(lines))


def cut(text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Return a text that is not too long; of addresses without logins and what follows a "?"."""
    text = _QUERY.sub(r"\1***", _LOGIN.sub("***", text))
    text = "".join(c if c == "\n" or c.isprintable() else " " for c in text)
    return text if len(text) <= length_max else text[: length_max - len(_CUT)] + _CUT
