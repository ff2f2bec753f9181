"""Arbstream as a library: live books of a venue in a few lines, without Redis.

Everything is proved as the services prove it: sequences, checksums, silence; see ``watch``.
"""

from arbstream.watching import watch
from shared.errors import ArbError, ConfigError
from shared.messages.base import BookState
from shared.messages.market import DepthView

__all__ = ["ArbError", "BookState", "ConfigError", "DepthView", "watch"]
