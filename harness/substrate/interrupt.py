"""Interruption of a harness that works in a run, from another process: as Ctrl-C does."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.patience import PATIENCE
from harness.substrate.embedded.process_tree import ProcessId, alive
from harness.substrate.embedded.undo_journal import harness_of


def interrupt(run: Path) -> int | None:
    """Interrupt the harness that works in a run once, wait until it has ended, and return its number; None without one.

    It is not killed: it would clear up nothing. Raises HarnessError when it may not be signalled, or does not end.
    """
    found = harness_of(run)
    if found is None:
        return None
    _signal(found)

    def ended() -> None:
        if alive(found):
            raise NotYet(f"process {found.pid} is at work")

    try:
        wait_until(ended, patience=PATIENCE.run_abort, on=NotYet, every=0.1, what=f"the end of process {found.pid}")
    except HarnessError:
        raise HarnessError(
            f"{run}: process {found.pid} was interrupted, and is at work after {PATIENCE.run_abort:.0f} s; "
            f"`kill -9 {found.pid}` ends it, and `blackstart sweep {run}` removes what it leaves"
        ) from None
    return found.pid


def _signal(process: ProcessId) -> None:
    """Send SIGINT to that process and to no other: its number may be another's by now."""
    with suppress(ProcessLookupError):  # it has ended
        descriptor = os.pidfd_open(process.pid)
        try:
            if alive(process):
                signal.pidfd_send_signal(descriptor, signal.SIGINT)
        except PermissionError:
            raise HarnessError(f"process {process.pid}: is of another user, who alone can interrupt it") from None
        finally:
            os.close(descriptor)
