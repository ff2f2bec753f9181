"""docs/books.md shows what the feeds state."""

from __future__ import annotations

import pytest

from shared.books_doc import DOCUMENT, render
from shared.venues.registry import EVERY, load_feed


def test_the_document_is_current() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert render(document) == document, "run: python -m shared.books_doc"


@pytest.mark.parametrize("venue", EVERY)
def test_every_venue_states_what_proves_its_books(venue: str) -> None:
    proof = load_feed(venue).proof
    for said in (proof.rule, proof.zero, proof.depth, proof.resync, proof.unproved):
        assert said
        assert "|" not in said, "a cell of a table"
    assert proof.is_sequenced != ("UNPROVED" in proof.unproved)


def test_a_document_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no lines"):
        render("# Books\n")
