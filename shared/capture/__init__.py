"""Recorded exchange traffic, read as one stream in the order it was received.

Two formats, plain or gzip, told by their content:

* **capture sets**: ``URL <-> T``, ``URL <- T: payload`` (sent), ``URL -> T: body`` (REST answer),
  ``T: payload`` (received); one file per connection.
* **raw frames**: ``T payload``; a REST book is a line among the frames.

``T`` is UNIX time in s, ms, us or ns, told by its magnitude.

``read_capture(paths)`` (or ``Capture``) yields the items; ``survey(paths)`` tells venues and
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
