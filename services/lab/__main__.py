"""``python -m services.lab WHAT ...``. Ctrl-C while it imports is no error either."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def _run() -> int:
    try:
        from services.lab.command import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(_run())
