"""What is opened where a client of ccxt keeps the books. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientBooks:
    """Books that a streaming client of ccxt keeps: instead of a socket, one client is opened.

    Its frames are whole books, as ``BookFrame`` in ``ccxt_source.py``. Empty URLs leave the venue's
    own.
    """

    ccxt_id: str
    instruments: tuple[str, ...]
    rest_url: str = ""
    ws_url: str = ""
