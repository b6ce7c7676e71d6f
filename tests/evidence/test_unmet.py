"""A scenario that fails after its verdict leaves no record that says KEPT or `as expected`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from harness.core.errors import Finding, HarnessError
from harness.core.judge import Evidence, Promise
from harness.core.judged import JUDGED, PROMISED, inputs_of, promise_facts
from harness.core.record import DrillRecord
from harness.evidence.failures import Failures
from harness.evidence.folder import RecordFolder, read_record
from harness.evidence.journal import JournalFile
from harness.evidence.report.view import view_of
from harness.evidence.unmet import note_unmet
from tests.records import a_record, kept

HOUR = timedelta(hours=1)
PROMISE = Promise("p", HOUR, HOUR, HOUR, "ops", "because")
REFUSAL = replace(a_record(), expected="BROKEN")


def noted(record: DrillRecord, error: BaseException, tmp_path: Path) -> DrillRecord:
    folder = RecordFolder.make(tmp_path, "x")
    folder.write(record)
    journal = JournalFile(folder.path / "journal.jsonl")
    journal.mark(PROMISED, "p", message="", **promise_facts(PROMISE, "restore test", ""))
    seen = Evidence(PROMISE, activated=0.0, key=1.0, exposure=1.0, checks=1, findings=record.reasons)
    for subject, facts in inputs_of(seen):
        journal.mark(JUDGED, subject, message="", **facts)
    note_unmet(record, error, folder, Failures("x", journal, folder.logs))
    return read_record(folder.path)


@pytest.mark.parametrize(
    ("record", "error", "verdict", "outcome"),
    [
        (kept(), Finding("mail left the DR site"), "BROKEN", "broken"),
        (kept(), HarnessError("the sink is gone"), "UNKNOWN", "unknown"),
        (kept(), KeyboardInterrupt(), "UNKNOWN", "unknown"),
        (kept(), ZeroDivisionError("defect"), "UNKNOWN", "unknown"),
        (REFUSAL, Finding("a service was started"), "BROKEN", "broken"),
    ],
)
def test_it_is_not_as_expected(
    record: DrillRecord, error: BaseException, verdict: str, outcome: str, tmp_path: Path
) -> None:
    assert view_of(record).outcome == "kept"
    found = noted(record, error, tmp_path)
    assert found.verdict == verdict
    assert view_of(found).outcome == outcome
    assert len(found.unmet) == 1
    assert found.reasons[-1] == found.unmet[0]


def test_a_verdict_that_was_not_expected_is_no_second_failure(tmp_path: Path) -> None:
    assert noted(a_record(), Finding("judged BROKEN, not KEPT"), tmp_path) == a_record()
