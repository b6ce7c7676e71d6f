"""A scenario that fails after its verdict: the record says so, and is not KEPT any more."""

from dataclasses import replace

from harness.core.judge import Verdict, is_finding
from harness.core.record import DrillRecord
from harness.evidence.failures import Failures
from harness.evidence.folder import RecordFolder


def note_unmet(record: DrillRecord, error: BaseException, folder: RecordFolder, failures: Failures) -> DrillRecord:
    """Return the record with what the scenario asserted in vain; written again, unless its verdict was the failure."""
    if record.verdict != (record.expected or Verdict.KEPT):
        return record
    before = len(failures.findings) + len(failures.doubts)
    failures.note(error, "")
    reasons = (*failures.findings, *failures.doubts)
    if len(reasons) == before:
        return record
    reason = failures.findings[-1] if is_finding(error, "") else failures.doubts[-1]
    verdict = record.verdict
    if verdict == Verdict.KEPT:
        verdict = str(Verdict.BROKEN if is_finding(error, "") else Verdict.UNKNOWN)
    found = replace(record, verdict=verdict, reasons=(*record.reasons, reason), unmet=(*record.unmet, reason))
    folder.publish(found)
    return found
