"""Two families of errors.

::

    Finding (AssertionError)      the estate broke its promise: verdict BROKEN, exit code 1
    HarnessError                  the drill could not be carried out: verdict UNKNOWN, exit code 3
    |-- TookTooLong               a wait ran out of patience
    |-- MissingPart               a program that the drill needs is not installed
    |-- NodeExited                a program ended before it was ready
    |-- PortInUse                 another program listens on a port that was chosen for a node
    |-- BackupFailed              a backup was attempted and nothing was committed
    |-- Unreadable                a backup, a key or a segment that cannot be opened or trusted
    |-- NoValidBackup             the repository holds nothing that can be restored
    |-- RestoreFailed             the restore began and did not finish
    |-- Refused                   an interlock or a guard said no before anything was changed
    `-- UsageError                the operator asked for something that cannot be: exit code 2

Every message is one line that names the thing, its place and the remedy: it is what the operator reads.
"""

from __future__ import annotations


class Finding(AssertionError):
    """The estate under drill broke a promise."""


class HarnessError(Exception):
    """The drill could not be carried out."""


class TookTooLong(HarnessError):
    """A wait ran out of patience before anything could be judged."""


class MissingPart(HarnessError):
    """A program that the drill needs is not installed."""


class NodeExited(HarnessError):
    """A program ended before it was ready. `code`: its exit code, None where it is not known."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class PortInUse(HarnessError):
    """Another program listens on a port that was chosen for a node; with another port the node may start."""


class BackupFailed(HarnessError):
    """A backup was attempted and nothing was committed."""


class Unreadable(HarnessError):
    """A backup, a key or a segment cannot be opened or trusted."""


class NoValidBackup(HarnessError):
    """The repository holds nothing that can be restored."""


class RestoreFailed(HarnessError):
    """The restore began and did not finish."""


class Refused(HarnessError):
    """An interlock said no before anything was changed."""


class UsageError(HarnessError):
    """The operator asked for something that cannot be."""
