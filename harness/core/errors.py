"""Two families of errors: a Finding is a promise that the estate broke, a HarnessError a drill not carried out.

Every message is one line for the operator: what failed, where, and what to do. The effect of an error on the verdict
of a running drill also depends on the phase: `harness.core.judge.is_finding`.
"""


class Finding(AssertionError):
    """The estate broke a promise: verdict BROKEN, exit code 1."""


class BackupFailed(Finding):
    """A backup was attempted and nothing was committed."""


class NoValidBackup(Finding):
    """The repository has no backup that can be restored."""


class RestoreFailed(Finding):
    """The restore began and did not finish."""


class HarnessError(Exception):
    """The drill could not be carried out: verdict UNKNOWN, exit code 3."""


class TookTooLong(HarnessError):
    """A wait timed out."""


class MissingPart(HarnessError):
    """A program or package that is needed is not installed."""


class NodeExited(HarnessError):
    """A program ended before it was ready. `code`: its exit code, None when unknown."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class PortInUse(HarnessError):
    """Another program listens on the port of a node; the start can be retried with another port."""


class Unreadable(HarnessError):
    """A backup, a key or a segment cannot be opened or trusted."""


class Denied(Unreadable):
    """The store does not show an object, which may be intact: it refuses to."""


class Lost(Denied):
    """The store lists an object and fails to read it, again and again: a bad disk, a lost volume."""


class NotARecipient(Unreadable):
    """A backup is sealed to other keys than the one that was given."""


class Refused(HarnessError):
    """An interlock or a guard refused before anything was changed."""


class UsageError(HarnessError):
    """A command or a configuration is invalid: exit code 2."""


REPORTED = (Finding, HarnessError, OSError)  # what a phase may raise; anything else is a defect of the harness


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error: 1 finding, 2 usage, 3 could not be carried out."""
    if isinstance(error, UsageError):
        return 2
    return 1 if isinstance(error, Finding) else 3


def reason_of(error: BaseException) -> str:
    """Return an error as one line: its message, or the name of its type without one."""
    return " ".join(str(error).split()) or type(error).__name__


def described(error: BaseException) -> str:
    """Return an error as one line, with its type when it is a defect."""
    return reason_of(error) if isinstance(error, REPORTED) else f"{type(error).__name__}: {reason_of(error)}"
