"""The `arb` command: operate, watch, demonstrate and verify the system.

Exit codes: 0 well, 1 not well (something is down, a run ended badly), 2 the user's mistake. A
mistake is one line on stderr that says what, where and what would be right.
"""

from __future__ import annotations

import errno
import os
import sys

import typer
from typer.exceptions import TyperException

from services.cli import (
    commands_audit,
    commands_backup,
    commands_basis,
    commands_calibrate,
    commands_chart,
    commands_completion,
    commands_data,
    commands_doctor,
    commands_export,
    commands_funding,
    commands_init,
    commands_ledger,
    commands_look,
    commands_man,
    commands_operate,
    commands_rebalance,
    commands_reload,
    commands_research,
    commands_run,
    commands_strategy,
    commands_ticker,
    commands_top,
    commands_venues,
    commands_watch,
    commands_why,
)
from services.cli.verify import verify_command
from shared.errors import ArbError, ConfigError

EXIT_NOT_WELL, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
OF_PATHS = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What is wrong with a path that somebody gave."""

app = typer.Typer(
    name="arb",
    help="Arbitrage between venues over Redis Streams.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
commands_run.register(app)
commands_init.register(app)
commands_look.register(app)
commands_top.register(app)
commands_chart.register(app)
commands_ticker.register(app)
commands_why.register(app)
commands_doctor.register(app)
commands_funding.register(app)
commands_ledger.register(app)
commands_basis.register(app)
commands_operate.register(app)
commands_reload.register(app)
commands_audit.register(app)
commands_backup.register(app)
commands_rebalance.register(app)
commands_calibrate.register(app)
commands_export.register(app)
commands_strategy.register(app)
commands_research.register(app)
commands_data.register(app)
commands_venues.register(app)
commands_watch.register(app)
app.command("verify")(verify_command)
commands_completion.register(app)
commands_man.register(app)


def run() -> int:
    """Run the command line and turn errors into one line and an exit code."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except TyperException as error:
        _print_error(error.format_message().rstrip(".") + "; see arb --help")
        code = EXIT_USAGE
    except ConfigError as error:
        _print_error(str(error))
        code = EXIT_USAGE
    except ArbError as error:
        _print_error(str(error))
        code = EXIT_NOT_WELL
    except typer.Abort:
        code = EXIT_INTERRUPTED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough, as in `arb tail | head`
        sys.stderr.close()
        code = 0
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            # what is still buffered would fail once more when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _print_error(
                f"{error.filename or 'standard output'}: cannot be written: {error.strerror}"
            )
            code = EXIT_NOT_WELL
        elif error.errno in OF_PATHS and error.filename is not None:
            # of a rename the second is what was asked for, the first is ours
            _print_error(f"{error.filename2 or error.filename}: {error.strerror}")
            code = EXIT_USAGE
        else:
            raise
    return code or 0


def _print_error(text: str) -> None:
    print("arb: " + " ".join(text.split()), file=sys.stderr)
