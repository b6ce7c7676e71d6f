"""Journal, ledger, record, waterfall, summary and report."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Unreadable
from harness.core.journal import Event, phase
from harness.core.ledger import Ledger, Write
from harness.core.record import DrillRecord
from harness.evidence.folder import RecordFolder, read_record, records
from harness.evidence.journal import GENESIS, JournalFile
from harness.evidence.ledger import LedgerFile
from harness.evidence.record import phases_of
from harness.evidence.refine import refine
from tests.records import a_record


def read_journal(path: Path) -> tuple[Event, ...]:
    """Return the events of a journal file; raises Unreadable with the line where the hash chain is broken."""
    events, last = [], GENESIS
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            data = json.loads(line)
            prev = data.pop("prev")
            event = Event(**{**data, "wall": datetime.fromisoformat(data["wall"])})
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(f"{path}: line {number} is not a journal line ({error})") from None
        if prev != last:
            raise Unreadable(
                f"{path}: line {number} does not match the hash of the previous line; the journal was changed"
            )
        last = hashlib.sha256(line).hexdigest()
        events.append(event)
    return tuple(events)


def test_a_journal_round_trips_and_a_change_is_detected(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal.jsonl")
    for number in range(3):
        journal.mark("begin", f"phase {number}", message="2.2", size=number)
    assert [e.facts["size"] for e in read_journal(journal.path)] == [0, 1, 2]
    lines = journal.path.read_text().splitlines()
    journal.path.write_text("\n".join([lines[0], lines[2]]) + "\n")
    with pytest.raises(Unreadable, match="line 2 does not match the hash of the previous line"):
        read_journal(journal.path)
    journal.path.write_text("\n".join([lines[0].replace("phase 0", "phase 9"), *lines[1:]]) + "\n")
    with pytest.raises(Unreadable, match="line 2 does not match the hash of the previous line"):
        read_journal(journal.path)
    journal.path.write_text("{}\n")
    with pytest.raises(Unreadable, match="line 1 is not a journal line"):
        read_journal(journal.path)


def test_waiting_for_a_slow_disk_counts_as_time_of_a_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy disk took 0.3 s for a line, and a drill was judged UNKNOWN because of unattributed time."""
    now, sync = 100.0, os.fsync

    def slow(file: int) -> None:
        nonlocal now
        now += 1
        sync(file)

    monkeypatch.setattr(os, "fsync", slow)
    journal = JournalFile(tmp_path / "journal.jsonl", replace(SYSTEM, monotonic=lambda: now))
    for name in ("open", "restore"):
        with phase(journal, name):
            journal.mark("status", name)
    phases = phases_of(journal.events, 100.0)
    assert [(one.name, one.took) for one in phases] == [("open", 2.0), ("restore", 2.0)]
    assert now == 104
    assert [event.kind for event in read_journal(journal.path)] == ["begin", "status", "end"] * 2


def test_every_write_of_a_ledger_is_on_disk(tmp_path: Path) -> None:
    file = LedgerFile(tmp_path / "ledger.jsonl")
    file.sent(1, 1.0)
    file.acked(1, 1.5)
    file.sent(2, 2.0)
    rows = [json.loads(line) for line in file.path.read_text().splitlines()]
    assert rows == [{"number": 1, "sent": 1.0}, {"number": 1, "acked": 1.5}, {"number": 2, "sent": 2.0}]
    assert file.ledger == Ledger((Write(1, 1.0, 1.5), Write(2, 2.0)))


def test_a_record_round_trips(tmp_path: Path) -> None:
    folder, record = RecordFolder.make(tmp_path, "A drill, of sorts"), a_record()
    folder.write(record)
    assert read_record(folder.path) == record
    assert records(tmp_path) == (folder.path,)


def test_a_record_is_shown_after_it_is_complete(tmp_path: Path) -> None:
    shown: list[tuple[DrillRecord, bool]] = []

    def show(folder: RecordFolder, record: DrillRecord) -> None:
        shown.append((read_record(folder.path), (folder.path / "phases.svg").exists()))
        assert record == shown[-1][0]

    folder = RecordFolder.make(tmp_path, "x", show)
    folder.write(a_record())
    assert not shown
    folder.publish(a_record())
    assert shown == [(a_record(), True)]


def test_a_record_of_another_format_is_refused(tmp_path: Path) -> None:
    folder = RecordFolder.make(tmp_path, "x")
    folder.write(replace(a_record(), format="blackstart-record/9"))
    with pytest.raises(Unreadable, match="blackstart-record/9"):
        read_record(folder.path)
    with pytest.raises(Unreadable, match="not a drill record"):
        read_record(tmp_path / "none.json")


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "drills").write_text("in the way")
    with pytest.raises(HarnessError, match="cannot be written there"):
        RecordFolder.make(tmp_path, "x")


def test_refine_proposes_with_evidence() -> None:
    proposals = {p.change: p.evidence for p in refine(a_record())}
    assert proposals["shorten phase restore"].startswith("3 min 15 s")
    assert "restore the promise of RTO" in proposals
    assert "drill what was left out" in proposals
    assert "find out why backup b2 is damaged" in proposals
    assert proposals["shorten the time between backups, or archive WAL"] == "2 acknowledged writes lost, first 7"
    kept = replace(a_record(), phases=(), rto=1.0, rpo=0.0, lost=(), passed_over=(), lost_objects=(), not_drilled=())
    assert refine(kept) == ()
