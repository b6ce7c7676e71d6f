"""A scenario that fails after its verdict: the record says so, and is not KEPT any more."""

from dataclasses import replace
from datetime import datetime

from harness.core.judge import Verdict, is_finding, judge
from harness.core.judged import DOUBT, FINDING, JUDGED, evidence_in
from harness.core.record import DrillRecord
from harness.evidence.failures import Failures
from harness.evidence.folder import LEDGER, RecordFolder
from harness.evidence.format.derived import findings_of
from harness.evidence.format.repeated import AFTER, RECORDED, repeats
from harness.evidence.ledger import read_ledgers


def note_unmet(record: DrillRecord, error: BaseException, folder: RecordFolder, failures: Failures) -> DrillRecord:
    """Return the record with what the scenario asserted in vain; written again, unless its verdict was the failure.

    The reason is one more input of the judge, who judges again. Raises Unreadable for a journal without its inputs.
    """
    if record.verdict != (record.expected or Verdict.KEPT):
        return record
    before = len(failures.findings) + len(failures.doubts)
    failures.note(error, "")
    if len(failures.findings) + len(failures.doubts) == before:
        return record
    found = is_finding(error, "")
    reason = failures.findings[-1] if found else failures.doubts[-1]
    failures.journal.mark(JUDGED, FINDING if found else DOUBT, line=reason)
    judgement = judge(evidence_in(failures.journal.events, read_ledgers(folder.path / LEDGER)))
    ended = datetime.fromisoformat(record.finished or "")
    noted = replace(
        record,
        verdict=str(judgement.verdict),
        reasons=judgement.reasons,
        unmet=(*record.unmet, reason),
        findings=findings_of(judgement.reasons, record.promise.owner, ended),
    )
    failures.journal.mark(RECORDED, record.drill, message="", **repeats(noted, AFTER))
    return folder.publish(noted)
