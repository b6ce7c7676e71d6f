"""Journal, ledger, record, waterfall, summary and report."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Unreadable
from harness.core.journal import phase
from harness.core.judged import phases_of
from harness.core.ledger import CLIENTS, Ledger, Write
from harness.core.parallel import in_parallel
from harness.core.record import DrillRecord
from harness.evidence.folder import RecordFolder, read_record, records
from harness.evidence.journal import JournalFile, read_journal
from harness.evidence.ledger import LedgerFile, read_ledgers
from harness.evidence.refine import refine
from tests.records import a_record


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
    assert read_ledgers(file.path) == {CLIENTS: file.ledger}


def test_several_writers_share_a_file_each_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    clients, orders = LedgerFile(path), LedgerFile(path, "shop orders")

    def write(file: LedgerFile) -> None:
        for number in range(1, 201):
            file.sent(number, number - 0.5)
            file.acked(number, float(number))

    in_parallel({"clients": lambda: write(clients), "orders": lambda: write(orders)})
    assert read_ledgers(path) == {CLIENTS: clients.ledger, "shop orders": orders.ledger}
    assert json.loads(path.read_text().splitlines()[-1]).get("number") == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"number": 1, "sent": 1.0}', "last line is not complete"),
        ('{"number": 1, "sent": 1.0, "more": 1}\n', "line 1 is no line of a ledger"),
        ('{"number": true, "sent": 1.0}\n', "line 1 is no line of a ledger"),
        ('{"number": -1, "sent": 1.0}\n', "line 1 is no line of a ledger"),
        ('{"number": 1, "sent": NaN}\n', "line 1 is no line of a ledger"),
        ('{"number": 1, "sent": 1.0}\n\n', "line 2 is no line of a ledger"),
        ('{"number": 1, "sent": 1.0}\n{"number": 1, "sent": 1.0}\n', "line 2: write 1 is there twice"),
        ('{"number": 1, "acked": 1.0}\n', "line 1: write 1 is acknowledged and was not sent before"),
        ('{"number": 1, "sent": 2.0}\n{"number": 1, "acked": 1.0}\n', "line 2: write 1 is acknowledged and was not"),
    ],
)
def test_a_ledger_of_another_form_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ledger.jsonl").write_text(text)
    with pytest.raises(Unreadable, match=said):
        read_ledgers(tmp_path / "ledger.jsonl")
    with pytest.raises(Unreadable, match="Is a directory"):
        read_ledgers(tmp_path)
    assert read_ledgers(tmp_path / "none.jsonl") == {}


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


@pytest.mark.damages_records
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
    assert proposals["shorten the time between backups, or archive WAL"] == (
        "acknowledged writes lost: 2 of clients, first 7"
    )
    quick = replace(a_record(), phases=(), rto_seconds=1.0, rpo_seconds=0.0)
    kept = replace(quick, lost=(), passed_over=(), lost_objects=(), not_drilled=(), ledgers=())
    assert refine(kept) == ()
