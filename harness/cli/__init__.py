"""The `blackstart` command. Exit codes: 0 good, 1 broken promise or finding, 2 usage, 3 could not be carried out."""

from __future__ import annotations

import os
import signal
import sys

import typer

from harness.cli import byhand, drills, existing, keys
from harness.cli.app import app, err
from harness.core.errors import BackupFailed, Finding, HarnessError, NoValidBackup, RestoreFailed, UsageError

__all__ = ["app", "byhand", "drills", "existing", "keys", "main"]

# What typer raises for a mistyped command line; it exports only this one of its children.
Mistyped: type[Exception] = typer.BadParameter.__mro__[2]


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, UsageError):
        return 2
    if isinstance(error, Finding | BackupFailed | NoValidBackup | RestoreFailed):
        return 1
    return 3


def main() -> None:
    """Run the command; an error of the operator's or of the estate's is one line, never a traceback."""
    # What runs on this machine is reached without a proxy.
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    # A shell starts what runs in its background with these ignored, and the programs of an estate would inherit that.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except Mistyped as error:
        err.print(f"blackstart: {error}; see `blackstart --help`", markup=False, highlight=False)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        err.print("blackstart: interrupted; nothing is left running")
        sys.exit(130)
    except (HarnessError, Finding) as error:
        err.print(f"blackstart: {error}", markup=False, highlight=False)
        sys.exit(exit_code(error))
    except OSError as error:
        err.print(f"blackstart: {error.filename or 'system'}: {error.strerror or error}", markup=False, highlight=False)
        sys.exit(3)
