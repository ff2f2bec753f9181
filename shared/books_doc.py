"""Renders what proves each venue's books into ``docs/books.md``; pure but for its ``__main__``.

python -m shared.books_doc
"""

from __future__ import annotations

import sys
from pathlib import Path

from shared.venues.audit_port import EVERY_LEVEL, BookAuditPort
from shared.venues.registry import EVERY, load_book_audit, load_feed

BEGIN = "<!-- made by: python -m shared.books_doc -->\n"
END = "<!-- end -->\n"
_COLUMNS = (
    "venue",
    "proved by",
    "zero quantity",
    "levels known",
    "a new snapshot takes",
    "not proved by the venue",
    "audit",
    "two feeds",
)
_HEAD = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|\n"
DOCUMENT = Path(__file__).parent.parent / "docs" / "books.md"


def render(document: str) -> str:
    """Return the document with its table made anew.

    Raises:
        ValueError: It has no place for one.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no lines {BEGIN.strip()} and {END.strip()} in the document")
    return f"{before}{BEGIN}{_HEAD}{''.join(map(_row, EVERY))}{END}{after}"


def _row(venue: str) -> str:
    proof = load_feed(venue).proof
    cells = [
        f"`{venue}`",
        proof.rule,
        proof.zero,
        proof.depth,
        proof.resync,
        proof.unproved,
        _audit_text(load_book_audit(venue)),
        "by number" if proof.numbers_of_book else "no",
    ]
    return f"| {' | '.join(cells)} |\n"


def _audit_text(audit: BookAuditPort | None) -> str:
    if audit is None:
        return "none"
    how = "by number" if audit.is_numbered else "twice in a row"
    depth = "every level" if audit.levels == EVERY_LEVEL else f"{audit.levels} levels a side"
    return f"{depth}, {how}, weight {audit.weight}"


if __name__ == "__main__":
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"wrote {DOCUMENT}\n")
