"""Recorded exchange traffic, read as one stream in the order it was received.

Formats, plain or gzip, recognised by their content:

* **capture sets**: ``URL <-> T``, ``URL <- T: payload`` (sent), ``URL -> T: body`` (REST answer),
  ``T: payload`` (received); one file per connection.
* **raw frames**: ``T payload``; also ``T,payload`` and the payload a quoted CSV field. A REST book
  is a line among the frames, bare or in the wrapper of a stream.
* **Tardis**: raw frames with ISO 8601 times; an empty line is a disconnection.
* **frames alone**: one JSON object a line, or ``{"localTimestamp": T, "message": payload}``. Where
  no time was written, the venue's own counts.

``T`` is UNIX time in s, ms, us or ns, by its magnitude, or ISO 8601 (UTC where no zone is given).

``read_capture(paths)`` (or ``Capture``) yields the items; ``survey(paths)`` returns venues and
instruments beforehand.
"""

from shared.capture.items import CaptureItem, Kind
from shared.capture.reader import Capture, CaptureSummary, known_venues, read_capture, survey

__all__ = [
    "Capture",
    "CaptureItem",
    "CaptureSummary",
    "Kind",
    "known_venues",
    "read_capture",
    "survey",
]
