"""Tokens that the simulated KuCoin hands out, and takes for a day. Pure."""

from __future__ import annotations

TOKENS_MAX = 10_000
"""The oldest are forgotten beyond it: their holders are told to ask for another."""
VALID_MS = 24 * 3_600_000


class Tokens:
    """Who was given what, and when."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, 0
        self._given: dict[str, int] = {}

    def new(self, now_ms: int) -> str:
        """Return a token."""
        self._count += 1
        token = f"simulated-{self._seed}-{self._count}"
        self._given[token] = now_ms
        if len(self._given) > TOKENS_MAX:
            del self._given[next(iter(self._given))]
        return token

    def is_good(self, token: str, now_ms: int) -> bool:
        """Tell whether somebody may connect with it."""
        given_ms = self._given.get(token)
        return given_ms is not None and now_ms - given_ms <= VALID_MS
