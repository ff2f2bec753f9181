"""A venue's REST as its other side sees it: requests in, answers out, faults between. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from shared.simulated.faults import Fault, FaultTable

ANSWER_FAULTS = ("http_429", "http_5xx", "ban")


@dataclass(frozen=True, slots=True)
class Request:
    """A request exactly as it was sent.

    Attributes:
        path: Without the query, and without what the host put before it.
        query: As sent, without the question mark.
        headers: By their names in lower case.
    """

    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str:
        """Return a header, empty if it was not sent."""
        return self.headers.get(name.lower(), "")

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the query."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def is_json(self) -> bool:
        """Whether the body is said to be JSON."""
        kind = self.header("content-type").partition(";")[0]
        return kind.strip().lower() == "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; the body is JSON."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a body that is yet to be encoded."""
    return Answer(msgspec.json.encode(body), status, headers or {})


class Pending:
    """An answer that is yet to come."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._listener: Callable[[Answer], None] = lambda answer: None

    def settle(self, answer: Answer) -> None:
        """Give the answer, once."""
        assert self._answer is None, "a request is answered once"
        self._answer = answer
        self._listener(answer)

    def when_settled(self, listener: Callable[[Answer], None]) -> None:
        """Call back when the answer is there; at once if it is."""
        self._listener = listener
        if self._answer is not None:
            listener(self._answer)


class Rest(Protocol):
    """Answers the requests of one part of a venue's REST, as the venue does."""

    def answer(self, request: Request) -> Answer | Pending:
        """Answer a request."""

    def is_order(self, request: Request) -> bool:
        """Tell whether it changes something: only then a lost answer leaves a doubt."""

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often (429), or has banned (418)."""

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed (5xx)."""

    def timed_out(self) -> Answer:
        """Return the answer of a venue that does not know what became of the request."""


def respond(
    request: Request, rest: Rest, faults: FaultTable, venue: str
) -> Answer | Pending | None:
    """Answer a request unless a fault prevents or destroys the answer.

    ``None``: the request was carried out, and the connection breaks before its answer.
    """
    fault = faults.take(ANSWER_FAULTS, venue, path=request.path)
    if fault is not None:
        return _faulty(fault, request, rest)
    answer = rest.answer(request)
    if isinstance(answer, Pending) or answer.status != 200 or not rest.is_order(request):
        return answer
    lost = faults.take(("lose_answer",), venue)
    if lost is None:
        return answer
    return rest.timed_out() if lost.parameters["how"] == "timeout" else None


def _faulty(fault: Fault, request: Request, rest: Rest) -> Answer:
    if fault.kind == "http_5xx":
        if fault.parameters["executed"]:
            rest.answer(request)
        return rest.failed(int(fault.number("status")))
    status = 429 if fault.kind == "http_429" else 418
    return rest.too_many(status, int(fault.number("retry_after_s")))
