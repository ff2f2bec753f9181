"""Kraken's request checks: ``API-Key``, ``API-Sign``, a nonce that rises, a call counter. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

COUNTER_MAX = 20.0
COUNTER_DECAY_PER_S = 1.0


class ApiError(Exception):
    """An error as Kraken answers it: HTTP 200 with the text in ``error``."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The API keys of the simulated account; the secret is base64.

    ``second_key`` is for a second process: nonces rise for each key apart. ``third_key`` is one to
    change to. All have the same secret.
    """

    key: str
    secret: str
    second_key: str = ""
    third_key: str = ""


class RequestChecks:
    """Checks of private requests, with the memory they need."""

    def __init__(self, credentials: Credentials) -> None:
        self._secret = base64.b64decode(credentials.secret)
        names = (credentials.key, credentials.second_key, credentials.third_key)
        self._nonces = {name: -1 for name in names if name}
        self._counter = 0.0
        self._counted_ms = 0

    def check(self, path: str, body: str, nonce: str, headers: tuple[str, str]) -> None:
        """Check key and signature (``headers`` are API-Key and API-Sign), then the nonce.

        Raises:
            ApiError: As the venue answers it.
        """
        key, sign = headers
        known = [hmac.compare_digest(key.encode(), name.encode()) for name in self._nonces]
        if not any(known):
            raise ApiError("EAPI:Invalid key")
        digest = hashlib.sha256((nonce + body).encode()).digest()
        wanted = hmac.new(self._secret, path.encode() + digest, hashlib.sha512).digest()
        if not hmac.compare_digest(sign.encode(), base64.b64encode(wanted)):
            raise ApiError("EAPI:Invalid signature")
        if not nonce.isdigit() or int(nonce) <= self._nonces[key]:
            raise ApiError("EAPI:Invalid nonce")
        self._nonces[key] = int(nonce)

    def spend(self, cost: float, now_ms: int) -> None:
        """Count a call; the counter decays with time.

        Raises:
            ApiError: Too many calls.
        """
        elapsed_s = max(0, now_ms - self._counted_ms) / 1_000
        self._counter = max(0.0, self._counter - elapsed_s * COUNTER_DECAY_PER_S)
        self._counted_ms = now_ms
        if self._counter + cost > COUNTER_MAX:
            raise ApiError("EAPI:Rate limit exceeded")
        self._counter += cost
