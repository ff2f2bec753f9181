"""What a client says on one of Binance's stream connections: SUBSCRIBE and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from services.venuesim import config
from services.venuesim.hub import Client, Hub

DEAD = "!dead/"  # topics subscribed on the wrong entry point: acknowledged, then silent


class Subscriptions:
    """Changes what a connection receives, in the venue's words.

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
        try:
            message = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            self._reply(client, {"code": 3, "msg": f"Invalid JSON: {error}"})
            return
        identifier = message.get("id")
        params = message.get("params", [])
        match message.get("method"):
            case "SUBSCRIBE" if _names(params):
                if len(client.topics) + len(params) > config.CLIENT_STREAMS_MAX:
                    client.refuse("Too many streams")
                    return
                for name in params:
                    self.add(client, name)
                self._reply(client, {"result": None, "id": identifier})
            case "UNSUBSCRIBE" if _names(params):
                for name in params:
                    self._hub.unsubscribe(client, name)
                    self._hub.unsubscribe(client, DEAD + name)
                self._reply(client, {"result": None, "id": identifier})
            case "LIST_SUBSCRIPTIONS":
                names = [topic.removeprefix(DEAD) for topic in client.topics]
                self._reply(client, {"result": names, "id": identifier})
            case "SET_PROPERTY" if isinstance(params, list) and params[:1] == ["combined"]:
                client.combined = params[1:] == [True]
                self._reply(client, {"result": None, "id": identifier})
            case method:
                text = f"Invalid request: unknown or malformed method {method!r}"
                self._reply(client, {"error": {"code": 2, "msg": text}, "id": identifier})

    def _reply(self, client: Client, body: dict[str, Any]) -> None:
        self._hub.send(client, msgspec.json.encode(body))


def _names(params: object) -> bool:
    return isinstance(params, list) and all(isinstance(name, str) for name in params)
