"""`blackstart abort FOLDER` ends the work of a run and nothing else, and never removes a DR site that was recovered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.substrate.embedded.undo_journal import JOURNAL, Undo, UndoJournal
from tests.cli.test_mistakes import blackstart

# Work in a run: it says that it has begun, and ends as it was told.
WORK = """
import json, signal, sys, time
from pathlib import Path
from harness.substrate.embedded.undo_journal import UndoJournal
run, how = Path(sys.argv[1]), sys.argv[2]
if how == "goes on":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
UndoJournal(run).note_harness()
print("begun", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    if how == "recovers":
        (run / "dr.json").write_text(json.dumps({"run": str(run), "site": "dr"}))
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere/run"
    folder.mkdir(parents=True)
    UndoJournal(folder).note_file(folder / "dump")
    (folder / "dump").touch()
    return folder


@contextmanager
def at_work(run: Path, how: str = "ends") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", WORK, str(run), how], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def test_work_is_interrupted_and_what_it_left_is_swept(tmp_path: Path, run: Path) -> None:
    with at_work(run) as process:
        done = blackstart(tmp_path, "abort", str(run))
        assert process.wait(timeout=10) == 0
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"{run}: process {process.pid} was interrupted, and has ended"
    assert second.startswith(f"{run}: 0 processes ended, ")
    assert not run.exists()


def test_work_that_does_not_end_is_named_and_nothing_is_swept(tmp_path: Path, run: Path) -> None:
    with at_work(run, "goes on") as process:
        done = blackstart(tmp_path, "abort", str(run), BLACKSTART_PATIENCE_RUN_ABORT="0.5")
        assert process.poll() is None
    assert (done.returncode, done.stdout) == (3, "")
    assert f"process {process.pid} was interrupted, and is at work after 0 s; `kill -9 {process.pid}`" in done.stderr
    assert (run / "dump").exists()


def test_a_site_that_was_recovered_before_it_ended_is_kept(tmp_path: Path, run: Path) -> None:
    UndoJournal(run).note(Undo.STATE, state=str(run / "dr.json"))
    with at_work(run, "recovers"):
        done = blackstart(tmp_path, "abort", str(run.relative_to(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert f"{run}: kept: a recovered DR site ({run / 'dr.json'})" in done.stdout
    assert (run / "dump").exists()


def test_where_nothing_works_nothing_is_done(tmp_path: Path, run: Path) -> None:
    with at_work(run) as process:
        process.kill()
    done = blackstart(tmp_path, "abort", str(run))
    assert done.returncode == 2
    assert f"{run}: nothing works in it; `blackstart sweep {run}` removes what is left of it" in done.stderr
    assert (run / "dump").exists()


def test_a_folder_that_no_run_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    done = blackstart(tmp_path, "abort", str(tmp_path / "photos"))
    assert done.returncode == 2
    assert f"no folder of a run: it has no {JOURNAL}" in done.stderr
