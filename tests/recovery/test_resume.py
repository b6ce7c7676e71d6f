"""Resume: the clock goes on from the begin, whatever happened to the clocks, and what cannot be resumed is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.cli.resume import resume_recovery, resume_restore_test
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Refused, Unreadable, UsageError
from harness.core.journal import Event
from harness.evidence.folder import INPUTS, JOURNAL, RecordFolder
from harness.evidence.journal import JournalFile
from harness.evidence.record import conclude_unstarted, open_record
from harness.recovery import begun as clocks
from harness.recovery.begun import BOOT_CLOCK, WALL, Begun, begun_in, elapsed, note_begun
from harness.recovery.resume import continued, require_resumable, require_unchanged
from harness.substrate.embedded.process_tree import boot, look
from harness.substrate.embedded.undo_journal import JOURNAL as UNDO_JOURNAL
from harness.substrate.embedded.undo_journal import Undo, UndoJournal
from tests.memory_drill import PROMISE, header
from tests.records import journal_rewritten

WORDS = {"config": "estate.toml", "unsigned": ""}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "runs/one"


@pytest.fixture
def folder(tmp_path: Path) -> RecordFolder:
    """The record folder of a restore test that was killed before its verdict."""
    folder = RecordFolder.make(tmp_path / "reports", "killed")
    journal = JournalFile(folder.path / JOURNAL)
    journal.mark("declared", "restore test")
    open_record(header("restore test"), folder, journal)
    return folder


def killed(run: Path, folder: RecordFolder) -> None:
    note_begun(run, "restore test", folder.path, WORDS)
    (run / "sites").mkdir()


NOW, MONOTONIC, BOOTED = datetime(2026, 5, 1, 2, tzinfo=UTC), 5000.0, 9000.0  # the clocks of this machine


@pytest.fixture
def clocks_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clocks: a busy machine measures no other time."""
    monkeypatch.setattr(clocks, "SYSTEM", replace(SYSTEM, monotonic=lambda: MONOTONIC, wall=lambda: NOW))
    monkeypatch.setattr(clocks, "since_boot", lambda: BOOTED)


def then(ago: float, **changed: object) -> Begun:
    found = Begun("recovery", Path("record"), {}, NOW - timedelta(seconds=ago), MONOTONIC - ago, BOOTED - ago, boot())
    return replace(found, **changed)  # type: ignore[arg-type]


@pytest.mark.usefixtures("clocks_stand")
def test_in_one_boot_the_time_is_that_of_the_clock_since_boot() -> None:
    gone = elapsed(then(100.0, wall=datetime(2000, 1, 1, tzinfo=UTC)), (), offset=5.0)
    assert (gone.seconds, gone.by) == (100.0, BOOT_CLOCK)
    assert gone.clock.monotonic() == MONOTONIC


@pytest.mark.usefixtures("clocks_stand")
def test_the_time_that_a_machine_slept_counts() -> None:
    gone = elapsed(then(100.0, since_boot=BOOTED - 3700), (), None)
    assert (gone.seconds, gone.by) == (3700.0, BOOT_CLOCK)
    assert gone.clock.monotonic() == MONOTONIC + 3600


@pytest.mark.usefixtures("clocks_stand")
def test_after_a_reboot_wall_time_counts_corrected_by_the_time_server() -> None:
    begun = then(100.0, of_boot="another", since_boot=5e6, monotonic=5e6)
    gone = elapsed(begun, (), None)
    assert (gone.seconds, gone.by) == (100.0, WALL)
    assert gone.clock.monotonic() == 5e6 + 100
    clock = Event(5e6, NOW, "clock", "ntp", "", {"offset_seconds": 2.0})
    gone = elapsed(begun, (clock,), 10.0)
    assert (gone.seconds, gone.by) == (108.0, f"{WALL}, corrected by the time server")


@pytest.mark.usefixtures("clocks_stand")
def test_a_wall_clock_that_was_set_back_never_shortens_what_the_journal_says() -> None:
    begun = then(-7200.0, of_boot="another", monotonic=1000.0)
    last = Event(1060.0, NOW, "begin", "app", "", {})
    assert elapsed(begun, (last,), None).seconds == 60.0


def test_work_is_found_with_its_options_and_its_first_begin(run: Path, tmp_path: Path) -> None:
    note_begun(run, "recovery", tmp_path / "record", {"a": "b"})
    first = begun_in(run)
    note_begun(run, "recovery", tmp_path / "another", {})
    assert first is not None
    assert begun_in(run) == first
    assert (first.work, first.record, first.given, first.of_boot) == (
        "recovery",
        tmp_path / "record",
        {"a": "b"},
        boot(),
    )


def test_the_record_of_killed_work_is_continued_with_its_promise(run: Path, folder: RecordFolder) -> None:
    killed(run, folder)
    with (folder.path / JOURNAL).open("ab") as file:
        file.write(b'{"n": 3')
    begun = require_resumable(run)
    other = replace(PROMISE, rto=timedelta(seconds=1))
    record = continued(run, begun, replace(header("restore test"), promise=other), lambda _event: None)
    assert record.header.promise == PROMISE
    assert [event.kind for event in record.journal.events] == ["declared", "promised", "resumed"]
    assert sorted(path.name for path in run.iterdir()) == [UNDO_JOURNAL]
    assert begun_in(run) == begun  # it may be killed and resumed again


def test_what_cannot_be_resumed_is_refused_with_the_remedy(run: Path, folder: RecordFolder) -> None:
    with pytest.raises(UsageError, match="no such run; a run that was swept cannot be resumed"):
        require_resumable(run)
    run.mkdir(parents=True)
    UndoJournal(run).note(Undo.RUN, what="strike")
    with pytest.raises(UsageError, match=r"a drill cannot be resumed, because its clients .* run it again"):
        require_resumable(run)
    killed(run, folder)
    (folder.path / JOURNAL).rename(folder.path / "gone")
    with pytest.raises(UsageError, match="its journal is gone"):
        require_resumable(run)
    (folder.path / "gone").rename(folder.path / JOURNAL)
    parent = look(os.getppid())
    assert parent is not None
    row = {"id": "1", "undo": Undo.END, "by": parent.id.pid, "ticks": parent.id.ticks, "boot": boot()}
    with (run / UNDO_JOURNAL).open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(Refused, match=f"in use by process {os.getppid()}"):
        require_resumable(run)
    journal = JournalFile(folder.path / JOURNAL)
    journal.resume()
    conclude_unstarted(header("restore test"), folder, journal, UsageError("x"))
    with pytest.raises(UsageError, match=r"its restore test has ended, .* nothing to resume"):
        require_resumable(run)


def test_a_declaration_that_was_changed_is_refused(run: Path, folder: RecordFolder, tmp_path: Path) -> None:
    killed(run, folder)
    begun = require_resumable(run)
    declared = tmp_path / "estate.toml"
    declared.write_text("one")
    require_unchanged(begun, declared)  # no copy was kept: nothing to compare it with
    (folder.path / INPUTS).mkdir(exist_ok=True)
    (folder.path / INPUTS / "estate.toml").write_text("one")
    require_unchanged(begun, declared)
    declared.write_text("two")
    with pytest.raises(
        UsageError, match=r"estate.toml: was changed since the restore test began; put it back \(it is "
    ):
        require_unchanged(begun, declared)


CHANGED = [
    ("json controls", "["),
    ("json controls", "[" * 100_000),
    ("json controls", "7"),
    ("json controls", "[7]"),
    ("json statements", "7"),
    ("approver", 7),
]


@pytest.mark.attacks
@pytest.mark.parametrize(("fact", "value"), CHANGED)
def test_a_journal_that_somebody_wrote_anew_is_refused_in_one_line(
    run: Path, folder: RecordFolder, fact: str, value: object
) -> None:
    """The chain of its lines is whole: who may write to the record's folder can make another."""
    killed(run, folder)

    def changed(event: dict[str, object]) -> None:
        facts = event["facts"]
        assert isinstance(facts, dict)
        if event["kind"] == "promised":
            facts[fact] = value

    journal_rewritten(folder.path / JOURNAL, changed)
    with pytest.raises(Unreadable, match=r"the journal was changed|statements: "):
        continued(run, require_resumable(run), header("restore test"), lambda _event: None)
    assert (run / "sites").is_dir()  # nothing of the run was removed


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("fact", "value"),
    [("given", 7), ("at", "soon"), ("at", "2026-05-01T02:00:00"), ("monotonic", None), ("since_boot", float("nan"))],
)
def test_a_begin_that_somebody_changed_is_refused_in_one_line(
    run: Path, folder: RecordFolder, fact: str, value: object
) -> None:
    killed(run, folder)
    path = run / UNDO_JOURNAL
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, fact: value} if "work" in row else row) + "\n" for row in rows))
    with pytest.raises(Unreadable, match=r"its journal was changed: it does not say how the work began .* sweep"):
        require_resumable(run)


@pytest.mark.attacks
def test_an_option_that_is_gone_is_named(run: Path, folder: RecordFolder) -> None:
    killed(run, folder)
    for resumed in (resume_recovery, resume_restore_test):
        with pytest.raises(
            HarnessError, match=r"it does not say with which '\w+' the restore test began; `blackstart sw"
        ):
            resumed(run, require_resumable(run))
