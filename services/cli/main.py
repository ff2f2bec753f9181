"""The `arb` command. Imports take a second, and Ctrl-C then is no error either."""

from __future__ import annotations

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        from services.cli.app import run

        code = run()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    raise SystemExit(code)


if __name__ == "__main__":
    main()
