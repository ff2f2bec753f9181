"""Kraken's REST over HTTP: errors come as HTTP 200 with a list of texts."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from services.venuesim.http import FaultAnswers, answer_with_faults
from services.venuesim.kraken.market_data import PublicRest
from services.venuesim.kraken.rest import PrivateRest
from services.venuesim.kraken.signing import ApiError
from services.venuesim.venue import Context

CHANGES = ("AddOrder", "CancelOrder", "CancelAll")


class RestServer:
    """Serves ``/0/public`` and ``/0/private``."""

    def __init__(self, public: PublicRest, private: PrivateRest, context: Context) -> None:
        self._public, self._private, self._context = public, private, context
        self._fault_answers = FaultAnswers(too_many=_too_many, failed=_failed, timeout=_timeout)

    def add_routes(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_route("*", "/0/public/{name}", self.serve)
        app.router.add_post("/0/private/{name}", self.serve)

    async def serve(self, request: web.Request) -> web.Response:
        """Serve one request."""
        body = (await request.read()).decode("utf-8", "replace")
        name = request.match_info["name"]

        async def answer() -> web.Response:
            return self._answer(request, name, body)

        return await answer_with_faults(
            request,
            self._context.faults,
            self._private.venue,
            self._fault_answers,
            answer,
            is_order=name in CHANGES,
        )

    def _answer(self, request: web.Request, name: str, body: str) -> web.Response:
        now_ms = self._context.venue_ms(self._private.venue)
        parameters = dict(request.query) | _parameters(request, body)
        try:
            if "/private/" in request.path:
                headers = (request.headers.get("API-Key", ""), request.headers.get("API-Sign", ""))
                nonce = str(parameters.get("nonce", ""))
                self._private.gate.check(request.path, body, nonce, headers)
                result = self._private.call(name, parameters, now_ms)
            else:
                result = self._public.call(name, parameters, now_ms)
        except ApiError as error:
            return json_response({"error": [str(error)]})
        return json_response({"error": [], "result": result})


def _parameters(request: web.Request, body: str) -> dict[str, Any]:
    if request.content_type != "application/json":
        return dict(parse_qsl(body, keep_blank_values=True))
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def json_response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a JSON answer."""
    payload = msgspec.json.encode(body)
    return web.Response(
        body=payload, status=status, headers=headers, content_type="application/json"
    )


def _too_many(status: int, retry_after_s: int) -> web.Response:
    headers = {"Retry-After": str(retry_after_s)}
    return json_response({"error": ["EAPI:Rate limit exceeded"]}, status, headers)


def _failed(status: int) -> web.Response:
    return json_response({"error": ["EService:Unavailable"]}, status)


def _timeout() -> web.Response:
    return json_response({"error": ["EService:Timeout"]}, 504)
