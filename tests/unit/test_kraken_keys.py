"""Simulated Kraken counts nonces for each key apart, as the venue does."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha256, sha512

import pytest

from shared.venues.kraken.simulated.signing import ApiError, Credentials, RequestChecks

PATH = "/0/private/Balance"


def test_each_key_has_nonces_of_its_own() -> None:
    """Two processes with one key would refuse each other's requests, as at the venue."""
    checks = RequestChecks(Credentials("one", b64encode(b"secret").decode(), second_key="two"))

    def ask(key: str, nonce: int) -> None:
        body = f"nonce={nonce}"
        digest = sha256(f"{nonce}{body}".encode()).digest()
        sign = hmac.new(b"secret", PATH.encode() + digest, sha512).digest()
        checks.check(PATH, body, str(nonce), (key, b64encode(sign).decode()))

    ask("one", 10)
    ask("two", 5)
    ask("one", 11)
    for key, nonce, refused in (("two", 5, "nonce"), ("one", 11, "nonce"), ("three", 12, "key")):
        with pytest.raises(ApiError, match=refused):
            ask(key, nonce)
