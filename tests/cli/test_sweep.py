"""`blackstart sweep FOLDER` removes a run and nothing else: another folder is refused, and nothing in it is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.substrate.common.error_collector import MARK
from harness.substrate.embedded.undo_journal import JOURNAL, Undo, UndoJournal
from harness.substrate.sweep import require_run
from tests.cli.test_mistakes import blackstart

pytestmark = pytest.mark.attacks
Make = Callable[[Path], Path]


def another_folder(folder: Path) -> Path:
    (folder / "photos").mkdir()
    return folder / "photos"


def the_runs_themselves(folder: Path) -> Path:
    (folder / ".blackstart/runs/one").mkdir(parents=True)
    return folder / ".blackstart/runs"


def a_link_to_a_run(folder: Path) -> Path:
    run = a_run(folder)
    (folder / "link").symlink_to(run)
    return folder / "link"


def a_journal_that_is_a_folder(folder: Path) -> Path:
    (folder / "odd" / JOURNAL).mkdir(parents=True)
    return folder / "odd"


def a_run(folder: Path) -> Path:
    run = folder / "elsewhere/run"
    run.mkdir(parents=True)
    UndoJournal(run).note_file(run / "dump")
    return run


@pytest.mark.parametrize("make", [another_folder, the_runs_themselves, a_link_to_a_run, a_journal_that_is_a_folder])
def test_a_folder_that_no_run_made_is_refused(tmp_path: Path, make: Make) -> None:
    folder = make(tmp_path)
    kept = folder / "kept"
    kept.write_text("of somebody else")
    done = blackstart(tmp_path, "sweep", str(folder))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{folder}: no folder of a run: it has no {JOURNAL}; nothing was removed" in done.stderr
    assert kept.read_text() == "of somebody else"


def test_the_current_folder_and_an_empty_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    for name in (".", "", ".."):
        done = blackstart(tmp_path, "sweep", name)
        assert (done.returncode, "no folder of a run" in done.stderr) == (2, True), done.stderr
    assert (tmp_path / "kept").exists()


def test_a_run_is_removed(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    done = blackstart(tmp_path, "sweep", str(run))
    assert (done.returncode, run.exists(), run.parent.exists()) == (0, False, True), done.stderr


def test_a_run_without_a_journal_yet_is_known_by_its_place(tmp_path: Path) -> None:
    run = tmp_path / "runs/one"
    run.mkdir(parents=True)
    require_run(run, tmp_path / "runs")
    with pytest.raises(UsageError, match="no folder of a run"):
        require_run(run, tmp_path)
    (run / MARK).touch()
    require_run(run, tmp_path)


def test_a_run_that_cannot_be_swept_does_not_keep_the_others(tmp_path: Path) -> None:
    runs = tmp_path / ".blackstart/runs"
    for name in ("one", "two"):
        (runs / name).mkdir(parents=True)
        UndoJournal(runs / name).note_file(runs / name / "dump")
    UndoJournal(runs / "one").note(Undo.CLEAR, site="dr")  # and nothing says how that site is reached
    done = blackstart(tmp_path, "sweep")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "undo/estate.json: No such file or directory" in done.stderr.replace("[Errno 2] ", "")
    assert sorted(path.name for path in runs.iterdir()) == ["one"]


def test_a_recovered_site_is_swept_only_by_its_name(tmp_path: Path) -> None:
    """`recover` has ended, and the site that it made serves clients."""
    run, state = tmp_path / "runs/live", tmp_path / "live.json"
    run.mkdir(parents=True)
    (run / "volume").write_text("rows of clients")
    state.write_text(json.dumps({"run": str(run), "site": "dr"}))
    UndoJournal(run).note(Undo.STATE, state=str(state))
    done = blackstart(tmp_path, "sweep", BLACKSTART_RUNS=str(run.parent))
    assert done.returncode == 0, done.stderr
    assert f"{run}: skipped: a recovered DR site ({state}), which clients may use" in done.stdout
    assert (run / "volume").read_text() == "rows of clients"
    done = blackstart(tmp_path, "sweep", str(run), BLACKSTART_RUNS=str(run.parent))
    assert done.returncode == 0, done.stderr
    assert not run.exists()
    assert not state.exists()
