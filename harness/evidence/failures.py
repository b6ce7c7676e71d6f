"""What went wrong in a drill or a restore test so far, sorted by one rule into findings and doubts."""

import traceback
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import REPORTED, reason_of
from harness.core.journal import Journal, resumed_events
from harness.core.judge import is_finding
from harness.core.judged import DOUBT, FINDING, noted_in

TRACEBACK = "traceback.log"


@dataclass(slots=True)
class Failures:
    """The errors of one drill. `logs`: where tracebacks are written.

    Those of resumed work begin with what its journal notes from before: a failure stays one when the next try works.
    """

    subject: str
    journal: Journal
    logs: Path
    findings: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    _noted: list[BaseException] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        events = resumed_events(self.journal.events)
        self.findings.extend(noted_in(events, FINDING))
        self.doubts.extend(noted_in(events, DOUBT))

    def note(self, error: BaseException, phase: str) -> None:
        """Add an error that ended `phase`, or something outside of the recovery (""); an error counts once."""
        if any(error is noted for noted in self._noted):
            return
        self._noted.append(error)
        found = is_finding(error, phase)
        reason = self._reason(error)
        self.journal.mark(FINDING if found else DOUBT, self.subject, error=reason)
        (self.findings if found else self.doubts).append(reason)
        with (self.logs / TRACEBACK).open("a", encoding="utf-8") as file:
            file.writelines(traceback.format_exception(error))

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, KeyboardInterrupt):
            return "interrupted before it was done"
        if isinstance(error, REPORTED):
            return reason_of(error)
        return f"unexpected {type(error).__name__}: {reason_of(error)}; see logs/{TRACEBACK}"
