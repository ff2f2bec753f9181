"""What a client says on one of Binance's stream connections: SUBSCRIBE and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from shared.simulated import config
from shared.simulated.hub import Client, Hub
from shared.simulated.requests import decode_object, is_id, shown

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
DEAD = "!dead/"  # topics subscribed on the wrong entry point: acknowledged, then silent


class SubscriptionRequests:
    """Changes what a connection receives, as the venue's requests say.

    Args:
        hub: Whose topics are subscribed.
        messages_per_s: A client that sends more is disconnected.
        is_served: Whether this connection really carries a stream: elsewhere it is silent.
    """

    def __init__(
        self, hub: Hub, messages_per_s: int, is_served: Callable[[Client, str], bool]
    ) -> None:
        self._hub, self._messages_per_s, self._is_served = hub, messages_per_s, is_served

    def add(self, client: Client, name: str) -> None:
        """Subscribe a stream, as its URL or a frame asked for."""
        self._hub.subscribe(client, name if self._is_served(client, name) else DEAD + name)

    def on_text(self, client: Client, text: str) -> None:
        """Obey a frame and answer it."""
        if self._hub.too_many_messages(client, self._messages_per_s):
            return
        message = decode_object(text)
        if message is None:
            self._reply(client, {"code": 3, "msg": "Invalid JSON: expected an object"})
            return
        identifier = message.get("id")
        if not is_id(identifier):
            self._refuse(client, None, 2, "Invalid request: request ID must be an unsigned integer")
            return
        method, params = message.get("method"), message.get("params", [])
        if "method" not in message:
            self._refuse(client, identifier, 2, "Invalid request: missing field method")
        elif not isinstance(method, str) or method not in METHODS:
            text = f"Invalid request: unknown variant {shown(method)}, expected one of "
            self._refuse(client, identifier, 2, text + ", ".join(METHODS))
        elif method == "LIST_SUBSCRIPTIONS":
            names = [topic.removeprefix(DEAD) for topic in client.topics]
            self._reply(client, {"result": names, "id": identifier})
        elif not isinstance(params, list):
            self._refuse(client, identifier, 2, "Invalid request: params must be an array")
        elif method in {"SET_PROPERTY", "GET_PROPERTY"}:
            self._property(client, method, params, identifier)
        elif not all(isinstance(name, str) for name in params):
            self._refuse(client, identifier, 2, "Invalid request: stream name must be a string")
        else:
            self._change(client, method, params, identifier)

    def _change(self, client: Client, method: str, names: list[str], identifier: Any) -> None:
        if method == "UNSUBSCRIBE":
            for name in names:
                self._hub.unsubscribe(client, name)
                self._hub.unsubscribe(client, DEAD + name)
        elif len(client.topics) + len(names) > config.CLIENT_STREAMS_MAX:
            client.refuse("Too many streams")
            return
        else:
            for name in names:
                self.add(client, name)
        self._reply(client, {"result": None, "id": identifier})

    def _property(self, client: Client, method: str, params: list[Any], identifier: Any) -> None:
        """Set or tell ``combined``, the only property there is."""
        wanted = 2 if method == "SET_PROPERTY" else 1
        if not params or not isinstance(params[0], str):
            self._refuse(client, identifier, 2, "Invalid request: property name must be a string")
        elif params[0] != "combined":
            self._refuse(client, identifier, 0, "Unknown property")
        elif len(params) > wanted:
            self._refuse(client, identifier, 2, "Invalid request: too many parameters")
        elif method == "GET_PROPERTY":
            self._reply(client, {"result": client.combined, "id": identifier})
        elif not isinstance(params[-1], bool):
            self._refuse(client, identifier, 1, "Invalid value type: expected Boolean")
        else:
            client.combined = params[-1]
            self._reply(client, {"result": None, "id": identifier})

    def _refuse(self, client: Client, identifier: Any, code: int, text: str) -> None:
        self._reply(client, {"code": code, "msg": text, "id": identifier})

    def _reply(self, client: Client, body: dict[str, Any]) -> None:
        self._hub.send(client, msgspec.json.encode(body))
