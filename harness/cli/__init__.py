"""The `blackstart` command. Exit codes: 0 good, 1 broken promise or finding, 2 usage, 3 could not be carried out.

More than ten files because each group of commands has a file of its own.
"""

import io
import logging
import os
import signal
import sys

import typer

from harness.cli import (
    backup,
    check,
    controls,
    drills,
    history,
    keys,
    physical,
    record,
    recovery,
    repository,
    restore,
    restore_test,
    resume,
    retention,
    standby,
    targets,
    verify,
)
from harness.cli.app import app, warn
from harness.core.errors import Finding, HarnessError, exit_code
from harness.core.text import visible
from harness.surroundings import forget_client_variables

__all__ = [
    "app",
    "backup",
    "check",
    "controls",
    "drills",
    "history",
    "keys",
    "main",
    "physical",
    "record",
    "recovery",
    "repository",
    "restore",
    "restore_test",
    "resume",
    "retention",
    "standby",
    "targets",
    "verify",
]

# What typer raises for a mistyped command line; it exports only this one of its children.
Mistyped: type[Exception] = typer.BadParameter.__mro__[2]


def main() -> None:
    """Run the command. An error of the operator's or of the estate's is one line, never a traceback."""
    # Programs of this machine are reached without a proxy.
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    forget_client_variables()
    # A shell starts what runs in its background with these ignored, and the programs of an estate would inherit that.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.default_int_handler)
    # It warns on standard error of each query that an interruption broke off.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False, prog_name="blackstart") or 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except (KeyboardInterrupt, typer.Abort, Mistyped, HarnessError, Finding, ModuleNotFoundError, OSError) as error:
        code, line = explain(error)
        warn(f"blackstart: {one_line(line)}")
        for note in getattr(error, "__notes__", ()):
            warn(f"blackstart: {one_line(note)}")
        sys.exit(code)


def one_line(text: str) -> str:
    """Return a text as one line, without the control characters that names and servers may contain."""
    return visible(" ".join(text.split()))


def explain(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the line that an error stands for; raises a defect of blackstart's own again."""
    if isinstance(error, ModuleNotFoundError):
        from harness.estate.substrates import extra_of
        from harness.parts.extras import explained

        error = explained(error, extra_of((error.name or "").partition(".")[0]))
    if isinstance(error, typer.Abort) and isinstance(error.__context__, EOFError):
        return 2, "standard input is at its end before a question was answered; give the answer as an option"
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return 130, "interrupted" if hasattr(error, "__notes__") else "interrupted; nothing is left running"
    if isinstance(error, Mistyped):
        return 2, f"{error}; see `blackstart --help`"
    if isinstance(error, OSError):
        return 3, f"{error.filename or 'system'}: {error.strerror or error}"
    return exit_code(error), str(error)
