"""The undo journal: a line that is not whole is no line, who works in a run, and when it was last written to."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.substrate.embedded.undo_journal import (
    JOURNAL,
    Undo,
    UndoJournal,
    harness_of,
    journalled,
    last_change,
    not_undone,
)

ROOT = Path(__file__).resolve().parents[3]
BEGINS = """
import sys
from pathlib import Path
from harness.recovery.begun import note_begun
note_begun(Path(sys.argv[1]), "restore test", Path("record"), {})
print("begun", flush=True)
sys.stdin.read()
"""


@contextmanager
def full_after(file: Path, more: int) -> Iterator[None]:
    """Have the kernel take only so many more bytes into a file, as a disk that fills up does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_of_which_the_disk_took_a_part_is_refused_and_spoils_none(tmp_path: Path) -> None:
    journal = UndoJournal(tmp_path)
    journal.note_file(tmp_path / "first")
    with full_after(tmp_path / JOURNAL, 20):
        with pytest.raises(HarnessError, match=r"cannot be written \(No space left on device\)"):
            journal.note_file(tmp_path / "lost")
        with pytest.raises(HarnessError, match="cannot be written"):  # not one byte more
            journal.note_file(tmp_path / "lost")
    journal.note_file(tmp_path / "second")
    assert [row.file for row in journalled(tmp_path)] == [tmp_path / "first", tmp_path / "second"]


def test_a_mark_of_which_the_disk_took_a_part_spoils_no_later_line(tmp_path: Path) -> None:
    journal = UndoJournal(tmp_path)
    name = journal.note(Undo.CLEAR)
    with full_after(tmp_path / JOURNAL, 5):
        journal.undone(name)
    assert not_undone(tmp_path, Undo.CLEAR)
    journal.undone(name)
    assert not not_undone(tmp_path, Undo.CLEAR)


def test_a_harness_is_known_from_its_begin_also_when_it_resumes(tmp_path: Path) -> None:
    for _ in range(2):
        assert harness_of(tmp_path) is None
        with subprocess.Popen(
            [sys.executable, "-c", BEGINS, str(tmp_path)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            assert (found := harness_of(tmp_path)) is not None
            assert found.pid == process.pid
            process.kill()
    assert len([row for row in journalled(tmp_path) if row.undo == Undo.RUN]) == 1


def test_the_last_change_is_the_newest_line_of_any_boot_but_not_of_an_undo(tmp_path: Path) -> None:
    assert last_change(tmp_path) is None
    UndoJournal(tmp_path, _boot="another").intend("dr", "postgres", "postgres")
    last = last_change(tmp_path)
    assert last is not None
    assert abs(SYSTEM.wall() - last) < timedelta(minutes=1)
    later = (last + timedelta(hours=1)).isoformat()
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(json.dumps({"id": "1", "undo": Undo.SCALE, "at": later, "of_undo": True}) + "\n")
        file.write('{"at": 7}\n{"at": "never"}\n{"at": "20')
    assert last_change(tmp_path) == last
    journal = UndoJournal(tmp_path, of_undo=True)
    journal.note(Undo.SCALE, site="dr", node="postgres")
    journal.note_harness()
    assert last_change(tmp_path) == last
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(json.dumps({"at": later}) + "\n")
    assert last_change(tmp_path) == datetime.fromisoformat(later)
