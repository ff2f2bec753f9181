"""What each provider is sent, and what its answer means. Pure: no socket, no clock."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from shared.config_notifier import NotifyChannel
from shared.notify.requests import Send, Sent

TELEGRAM: Final = "https://api.telegram.org"
TIMESTAMP, SIGNATURE = "X-Arb-Timestamp", "X-Arb-Signature"
RETRY_DEFAULT_S: Final = 5.0
TOO_MANY: Final = 429
MAY_PASS: Final = {408, 425}
"""Refusals that say nothing about the message."""


class Request(NamedTuple):
    """A POST: where to, with which headers and body."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def request_of(channel: NotifyChannel, secret: str, send: Send, now_s: int) -> Request:
    """Return what a message is over HTTP.

    Args:
        channel: Not of email.
        secret: The token of Telegram's bot; the whole address of Slack's and Discord's webhooks;
            the key that a webhook is signed with.
        send: The message.
        now_s: UNIX seconds, which a signature holds.
    """
    headers = {"Content-Type": "application/json"}
    if channel.kind == "telegram":
        url = f"{(channel.url or TELEGRAM).rstrip('/')}/bot{secret}/sendMessage"
        told = {
            "chat_id": channel.chat,
            "text": send.text,
            "link_preview_options": {"is_disabled": True},
            "disable_notification": send.severity == "info",
        }
        return Request(url, headers, msgspec.json.encode(told))
    if channel.kind == "slack":
        escaped = send.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return Request(secret, headers, msgspec.json.encode({"text": escaped, "mrkdwn": False}))
    if channel.kind == "discord":
        said = {"content": send.text, "allowed_mentions": {"parse": []}}
        return Request(secret, headers, msgspec.json.encode(said))
    assert channel.kind == "webhook", "email goes another way"
    body = msgspec.json.encode(
        {
            "channel": send.channel,
            "severity": send.severity,
            "subject": send.subject,
            "text": send.text,
            "ts_ns": send.ts_ns,
        }
    )
    headers |= {TIMESTAMP: str(now_s), SIGNATURE: signature(secret, now_s, body)}
    return Request(channel.url, headers, body)


def signature(secret: str, now_s: int, body: bytes) -> str:
    """Return the signature of a webhook: HMAC-SHA256 over ``<timestamp>.<body>``, in hex."""
    mac = hmac.new(secret.encode(), f"{now_s}.".encode() + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def result_of(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> Sent:
    """Return what an answer means.

    Nothing of the address stands in the reason: it may hold a secret.
    """
    if 200 <= status < 300:
        return Sent(send.channel, send.note_id)
    problem = f"HTTP {status}{_said(body)}"
    if status == TOO_MANY:
        return Sent(send.channel, send.note_id, problem, _pause_s(headers, body))
    is_refused = 400 <= status < 500 and status not in MAY_PASS
    return Sent(send.channel, send.note_id, problem, is_refused=is_refused)


def _fields(body: bytes) -> dict[str, object]:
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return {}
    return found if isinstance(found, dict) else {}


def _said(body: bytes) -> str:
    """Return the provider's own words, if it is one of Telegram's or Discord's answers."""
    fields = _fields(body)
    for name in ("description", "message"):
        if isinstance(text := fields.get(name), str):
            return f": {text[:200]}"
    return ""


def _pause_s(headers: Mapping[str, str], body: bytes) -> float:
    """Return for how long the provider asks to wait, in seconds."""
    fields = _fields(body)
    inner = fields.get("parameters")
    given = [inner.get("retry_after") if isinstance(inner, dict) else None]
    given += [fields.get("retry_after"), headers.get("Retry-After")]
    for each in given:
        try:
            pause_s = float(each)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if 0 <= pause_s < 86_400:
            return pause_s
    return RETRY_DEFAULT_S
