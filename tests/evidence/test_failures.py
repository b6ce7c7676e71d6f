"""Errors of a drill: sorted into findings and doubts, counted once, with a traceback each."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import Finding, HarnessError, Refused, UsageError
from harness.core.journal import MemoryJournal
from harness.evidence.failures import Failures


@pytest.fixture
def failures(tmp_path: Path) -> Failures:
    return Failures("a drill", MemoryJournal(), tmp_path)


@pytest.mark.parametrize(
    ("error", "phase", "finding", "reason"),
    [
        (Finding("no order"), "key", True, "no order"),
        (HarnessError("no image"), "app", True, "no image"),
        (OSError(28, "No space left on device"), "open", True, "[Errno 28] No space left on device"),
        (HarnessError("no image"), "", False, "no image"),
        (Refused("not listed"), "activate", False, "not listed"),
        (UsageError("no such key"), "select", False, "no such key"),
        (KeyboardInterrupt(), "restore", False, "interrupted before it was done"),
        (KeyError("shop"), "db", False, "unexpected KeyError: 'shop'; see logs/traceback.log"),
        (HarnessError("two\nlines"), "app", True, "two lines"),
        (HarnessError(), "app", True, "HarnessError"),
    ],
)
def test_an_error_is_a_finding_or_a_doubt_in_one_line(
    failures: Failures, error: BaseException, phase: str, finding: bool, reason: str
) -> None:
    failures.note(error, phase)
    assert failures.findings == ([reason] if finding else [])
    assert failures.doubts == ([] if finding else [reason])
    (event,) = failures.journal.events
    assert (event.kind, event.facts["error"]) == ("finding" if finding else "doubt", reason)
    assert type(error).__name__ in (failures.logs / "traceback.log").read_text()


def test_an_error_counts_once_and_its_twin_again(failures: Failures) -> None:
    error = HarnessError("no image")
    for noted in (error, error, HarnessError("no image")):
        failures.note(noted, "app")
    assert failures.findings == ["no image", "no image"]
    assert (failures.logs / "traceback.log").read_text().count("HarnessError: no image") == 2
