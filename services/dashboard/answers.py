"""Answers in JSON, and bodies read from it. IO."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from services.dashboard.access import Session

SESSION: Final = web.RequestKey("session", Session)
"""Who asks, of a request that has passed the checks."""
ADDRESS: Final = web.RequestKey("address", str)
"""Where a request comes from."""


def json_of(value: Any, status: int = 200) -> web.Response:
    """Return a value as an answer."""
    body = msgspec.json.encode(value)
    return web.Response(status=status, body=body, content_type="application/json")


def error_of(status: int, text: str, **more: Any) -> web.Response:
    """Return an error as the browser is told it."""
    return json_of({"error": text, **more}, status)


async def read_body(request: web.Request, kind: type[Any]) -> Any:
    """Return a request's body, or the answer that it is none."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        return error_of(400, f"not what is expected: {error}")
