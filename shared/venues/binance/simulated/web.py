"""Binance's REST as it is sent, spot and futures: JSON with the venue's headers. Pure."""

from __future__ import annotations

from typing import Any, Protocol

from shared.simulated.context import Context
from shared.simulated.rest import Answer, Pending, Request, json_answer
from shared.venues.binance.simulated.recorded import RecordedBinance
from shared.venues.binance.simulated.signing import ApiError, RateMeter, parse_parameters


class RestApi(Protocol):
    """What answers the requests."""

    venue: str
    meter: RateMeter

    def handle(self, sent: Request, now_ms: int) -> Any:
        """Answer, or raise ``ApiError``."""


class RestServer:
    """Answers for a ``RestApi``."""

    def __init__(
        self, api: RestApi, context: Context, recorded: RecordedBinance | None = None
    ) -> None:
        self._api, self._context, self._recorded = api, context, recorded

    def is_order(self, request: Request) -> bool:
        """Tell whether it changes something."""
        changed = ("/order", "/batchOrders")
        return request.method != "GET" and any(name in request.path for name in changed)

    def answer(self, request: Request) -> Answer | Pending:
        """Answer a request; a recorded book is answered when its time has come."""
        now_ms = self._context.venue_ms(self._api.venue)
        try:
            body, status, extra = self._api.handle(request, now_ms), 200, {}
        except ApiError as error:
            body, status = error.body(), error.status
            extra = error.headers
        headers = self._api.meter.headers(now_ms) | extra
        answer = json_answer(body, status, headers)
        if self._recorded is None or status != 200 or not request.path.endswith("/depth"):
            return answer
        symbol = parse_parameters(request.query, request.body).get("symbol", "")
        return self._recorded.depth(symbol, answer)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often, or has banned."""
        banned = "Way too much request weight used; IP banned."
        text = banned if status == 418 else "Too many requests."
        headers = {"Retry-After": str(retry_after_s)}
        return json_answer({"code": -1003, "msg": text}, status, headers)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return json_answer({"code": -1000, "msg": "An unknown error occurred."}, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        text = "Timeout waiting for response from backend server. Send status unknown."
        return json_answer({"code": -1007, "msg": text}, 408)
