"""Output of commands: results on stdout (one JSON object with ``--json``), the rest on stderr."""

from __future__ import annotations

import sys
from typing import Any, Literal

import msgspec
from rich.console import Console

from shared.messages.base import MarketMessage, Message, type_tag

console = Console(highlight=False)
console_err = Console(stderr=True, highlight=False)

_JSON = {
    "string": msgspec.json.Encoder(decimal_format="string"),
    "number": msgspec.json.Encoder(decimal_format="number"),
}


def emit_json(value: Any, *, decimals: Literal["string", "number"] = "string") -> None:
    """Write one JSON value as one line on stdout; decimals keep all their digits either way."""
    sys.stdout.buffer.write(_JSON[decimals].encode(value) + b"\n")
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Say something about progress on stderr, one line."""
    print(text, file=sys.stderr, flush=True)


def as_record(message: Message) -> dict[str, Any]:
    """Return a message as a dictionary with its type, whatever its wire form is."""
    record = msgspec.structs.asdict(message)
    if isinstance(message, MarketMessage):
        tag = message.__struct_config__.tag
        return {type_tag: tag, **record}
    return {type_tag: message.__struct_config__.tag, **record}
