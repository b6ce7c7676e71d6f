"""Two families of errors: a Finding is a promise that the estate broke, a HarnessError a drill not carried out.

The verdicts are BROKEN and UNKNOWN, the exit codes 1 and 3, and 2 for UsageError. Every message is one line that names
the thing, its place and the remedy: it is what the operator reads. What an error means for the verdict of a drill under
way depends on the phase as well: `harness.core.judge.is_finding`.
"""


class Finding(AssertionError):
    """The estate under drill broke a promise."""


class BackupFailed(Finding):
    """A backup was attempted and nothing was committed."""


class NoValidBackup(Finding):
    """The repository holds nothing that can be restored."""


class RestoreFailed(Finding):
    """The restore began and did not finish."""


class HarnessError(Exception):
    """The drill could not be carried out."""


class TookTooLong(HarnessError):
    """A wait ran out of patience before anything could be judged."""


class MissingPart(HarnessError):
    """A program or package that is needed is not installed."""


class NodeExited(HarnessError):
    """A program ended before it was ready. `code`: its exit code, None where it is not known."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class PortInUse(HarnessError):
    """Another program listens on a port that was chosen for a node; with another port the node may start."""


class Unreadable(HarnessError):
    """A backup, a key or a segment cannot be opened or trusted."""


class Refused(HarnessError):
    """An interlock or a guard said no before anything was changed."""


class UsageError(HarnessError):
    """The operator asked for something that cannot be done."""


REPORTED = (Finding, HarnessError, OSError)  # what a phase may raise; anything else is a defect of ours


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error stands for: 1 a finding, 2 usage, 3 could not be carried out."""
    if isinstance(error, UsageError):
        return 2
    return 1 if isinstance(error, Finding) else 3


def reason_of(error: BaseException) -> str:
    """Return an error as one line: its message, or the name of its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
