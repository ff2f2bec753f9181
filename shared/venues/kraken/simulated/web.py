"""Kraken's REST as it is sent: errors come with HTTP 200 and a list of texts. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from shared.simulated.context import Context
from shared.simulated.port import RestRoute
from shared.simulated.rest import Answer, Request, json_answer
from shared.venues.kraken.simulated.market_data import PublicRest
from shared.venues.kraken.simulated.rest import CHANGES, PrivateRest
from shared.venues.kraken.simulated.signing import ApiError


class RestServer:
    """Answers ``/0/public`` and ``/0/private``."""

    def __init__(self, public: PublicRest, private: PrivateRest, context: Context) -> None:
        self._public, self._private, self._context = public, private, context

    def routes(self) -> list[RestRoute]:
        """Return the paths."""
        return [
            RestRoute("/0/public/{name}", self),
            RestRoute("/0/private/{name}", self, method="POST"),
        ]

    def is_order(self, request: Request) -> bool:
        """Tell whether it changes something."""
        return _name(request) in CHANGES

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        now_ms = self._context.venue_ms(self._private.venue)
        parameters = request.parameters() | _parameters(request)
        try:
            if "/private/" in request.path:
                headers = (request.header("API-Key"), request.header("API-Sign"))
                nonce = str(parameters.get("nonce", ""))
                self._private.gate.check(request.path, request.body, nonce, headers)
                result = self._private.call(_name(request), parameters, now_ms)
            else:
                result = self._public.call(_name(request), parameters, now_ms)
        except ApiError as error:
            return json_answer({"error": [str(error)]})
        return json_answer({"error": [], "result": result})

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often."""
        headers = {"Retry-After": str(retry_after_s)}
        return json_answer({"error": ["EAPI:Rate limit exceeded"]}, status, headers)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return json_answer({"error": ["EService:Unavailable"]}, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return json_answer({"error": ["EService:Timeout"]}, 504)


def _name(request: Request) -> str:
    return request.path.rpartition("/")[2]


def _parameters(request: Request) -> dict[str, Any]:
    if not request.is_json:
        return dict(parse_qsl(request.body, keep_blank_values=True))
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
