"""Binance's REST over HTTP, spot and futures: raw request in, JSON with the venue's headers out."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from aiohttp import web

from services.venuesim.binance.recorded import RecordedBinance
from services.venuesim.binance.rest import SentRequest
from services.venuesim.binance.signing import ApiError, RateMeter, parse_parameters
from services.venuesim.faults import FaultTable
from services.venuesim.http import FaultAnswers, answer_with_faults
from services.venuesim.venue import Context


class RestApi(Protocol):
    """What answers the requests."""

    venue: str
    meter: RateMeter
    faults: FaultTable

    def handle(self, sent: SentRequest, now_ms: int) -> Any:
        """Answer, or raise ``ApiError``."""


class RestServer:
    """Serves a ``RestApi`` under the paths it knows."""

    def __init__(
        self, api: RestApi, context: Context, recorded: RecordedBinance | None = None
    ) -> None:
        self._api, self._context, self._recorded = api, context, recorded
        self._fault_answers = FaultAnswers(too_many=_too_many, failed=_failed, timeout=_timeout)

    async def serve(self, request: web.Request) -> web.Response:
        """Serve one request."""
        body = (await request.read()).decode("utf-8", "replace")
        path, _, query = request.raw_path.partition("?")
        key = request.headers.get("X-MBX-APIKEY", "")
        sent = SentRequest(request.method, path, query, body, key)

        async def answer() -> web.Response:
            if self._recorded is not None and path.endswith("/depth"):
                return await self._recorded_depth(self._recorded, sent)
            return self._answer(sent)

        # Only a request that changes something can lose its answer in an interesting way.
        is_order = request.method != "GET" and "/order" in path
        return await answer_with_faults(
            request,
            self._api.faults,
            self._api.venue,
            self._fault_answers,
            answer,
            is_order=is_order,
        )

    async def _recorded_depth(self, recorded: RecordedBinance, sent: SentRequest) -> web.Response:
        """Answer with the book as recorded, when its time has come."""
        answer = self._answer(sent)
        if answer.status != 200:
            return answer
        symbol = parse_parameters(sent.query, sent.body).get("symbol", "")
        try:
            body = await recorded.depth(symbol)
        except LookupError as error:
            return json_response({"code": -1000, "msg": str(error)}, 503)
        if body is None:
            return self._answer(sent)
        answer.body = body
        return answer

    def _answer(self, sent: SentRequest) -> web.Response:
        now_ms = self._context.venue_ms(self._api.venue)
        try:
            body, status, extra = self._api.handle(sent, now_ms), 200, {}
        except ApiError as error:
            body, status = {"code": error.code, "msg": error.text}, error.status
            extra = error.headers
        headers = self._api.meter.headers(now_ms) | extra
        return json_response(body, status, headers)


def json_response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def _too_many(status: int, retry_after_s: int) -> web.Response:
    text = "Way too much request weight used; IP banned." if status == 418 else "Too many requests."
    headers = {"Retry-After": str(retry_after_s)}
    return json_response({"code": -1003, "msg": text}, status, headers)


def _failed(status: int) -> web.Response:
    return json_response({"code": -1000, "msg": "An unknown error occurred."}, status)


def _timeout() -> web.Response:
    text = "Timeout waiting for response from backend server. Send status unknown."
    return json_response({"code": -1007, "msg": text}, 408)
