"""The state file of a recovered estate: whole or not there, and refused before a recovery where it cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.core.service import Contained
from harness.estate.state_file import StateFile, read_state, require_writable
from harness.substrate.embedded.undo_journal import Undo, not_undone

FULL = """
import resource, signal, sys
from pathlib import Path
from harness.estate.state_file import StateFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))  # bytes: the undo journal fits, the state file does not
StateFile(*["x" * 2000] * 2, sys.argv[1], *["x" * 2000] * 7).write(Path(sys.argv[2]))
"""


def state(run: Path, **changed: str) -> StateFile:
    run.mkdir(parents=True, exist_ok=True)
    names = ("logs", "secrets", "sql", "s3", "offsite", "public", "names")
    words = {"estate": "shop", "site": "dr", "run": str(run)} | dict.fromkeys(names, "127.0.0.1:9") | changed
    return StateFile(**words, contained=(Contained("odoo", ("mail off",)),))


def test_it_is_written_whole_and_private_and_read_back(tmp_path: Path) -> None:
    run, at = tmp_path / "run", tmp_path / "new/recovered.json"
    state(run, public="127.0.0.1:1").write(at)
    at.chmod(0o644)
    made = state(run)
    made.write(at)
    assert read_state(at, "") == made
    assert at.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in at.parent.iterdir()] == ["recovered.json"]
    assert not not_undone(run, Undo.REMOVE)
    assert {str(at)} == {row.facts["state"] for row in not_undone(run, Undo.STATE)}


def test_its_text_is_the_file(tmp_path: Path) -> None:
    made = state(tmp_path / "run")
    (tmp_path / "saved.json").write_text(made.text)
    assert read_state(tmp_path / "saved.json", "") == made


@pytest.mark.night
def test_a_full_disk_leaves_the_earlier_file_whole(tmp_path: Path) -> None:
    run, at = tmp_path / "run", tmp_path / "state/recovered.json"
    state(run).write(at)
    before = at.read_text()
    command = [sys.executable, "-c", FULL, str(run), str(at)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"HarnessError: {at}: the state file cannot be written (File too large)" in done.stderr
    assert at.read_text() == before
    assert [path.name for path in at.parent.iterdir()] == ["recovered.json"]


def test_a_place_that_cannot_be_written_is_refused_before_and_an_error_after(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    said = r"{}: the state file cannot be written there \({}\); name another one with --live"
    with pytest.raises(UsageError, match=said.format(file / "recovered.json", "File exists")):
        require_writable(file / "recovered.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=said.format(tmp_path / "folder", "Is a directory")):
        require_writable(tmp_path / "folder")
    with pytest.raises(HarnessError, match=r"the state file cannot be written \(Is a directory\)"):
        state(tmp_path / "run").write(tmp_path / "folder")
    require_writable(tmp_path / "new/recovered.json")
    assert list((tmp_path / "new").iterdir()) == []
