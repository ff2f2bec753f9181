"""However often and in whatever pieces streams are read, the ledger holds the same rows."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.sql_ledger.database import Ledger
from shared.sql_ledger.sqlite import SqliteLedger
from tests.ledger_facts import contents, facts, read, streams_of


def in_memory() -> Ledger:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    ledger = SqliteLedger(connection, Path("memory"))
    ledger.prepare()
    return ledger


@settings(max_examples=12, deadline=None)
@given(plans=st.integers(1, 5), seed=st.integers(0, 999), data=st.data())
def test_reading_again_in_any_pieces_gives_the_same_rows(plans, seed, data):
    streams = streams_of(facts(plans, seed), random.Random(seed))
    with closing(in_memory()) as whole, closing(in_memory()) as pieces:
        while read(whole, streams, 10_000):
            pass
        for _ in range(data.draw(st.integers(0, 3), label="times begun again")):
            for _ in range(data.draw(st.integers(1, 6), label="reads")):
                read(pieces, streams, data.draw(st.integers(1, 7), label="entries"))
            pieces.query("DELETE FROM stream_positions")
        while read(pieces, streams, data.draw(st.integers(1, 9), label="entries")):
            pass
        assert contents(pieces) == contents(whole)
        assert all(contents(whole).values()), "every table has rows"
