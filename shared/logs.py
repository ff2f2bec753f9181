"""Structured logs: one JSON object per line on stderr.

Call sites write ``log.info("book_gap", extra={"venue": ..., "expected": ...})``: a constant event
name plus fields; values are never formatted into the name.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import msgspec

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_JSON = msgspec.json.Encoder(enc_hook=str, decimal_format="string")


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; ``extra`` fields come after the fixed ones."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._service, self._instance = service, instance

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without the newline."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "ts": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "instance": self._instance,
            "event": record.getMessage(),
        }
        line.update({k: v for k, v in record.__dict__.items() if k not in _OWN})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _JSON.encode(line).decode()


def set_up_logs(service: str, instance: str, level: str) -> None:
    """Send all logs of this process to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service, instance))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class Throttle:
    """Lets one line through per interval: for logs on paths that can repeat fast."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_s = float("-inf")
        self.suppressed = 0

    def passes(self, monotonic_s: float) -> bool:
        """Tell whether to log now; what is held back is counted in ``suppressed``."""
        if monotonic_s < self._next_s:
            self.suppressed += 1
            return False
        self._next_s = monotonic_s + self._interval_s
        return True
