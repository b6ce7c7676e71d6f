"""`blackstart verify --restore` against a real server and a real store: it passes, finds, and leaves nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.substrate.embedded.process_tree import RUN_TAG
from tests.cases.production import Production, begun, blackstart, last, there

__all__ = ["there"]


@pytest.fixture(scope="module")
def operator(there: Production, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = there.folder(tmp_path_factory.mktemp("operator"))
    assert blackstart(folder, "keys", "new").returncode == 0
    return folder


def left(folder: Path) -> list[str]:
    """Return the run folders that are there, and the processes of any."""
    tag = f"{RUN_TAG}={folder / 'runs'}".encode()
    running = [one.name for one in Path("/proc").iterdir() if one.name.isdigit() and tag in _environment(one)]
    return [*(one.name for one in (folder / "runs").glob("verify-*")), *running]


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


@pytest.mark.night
def test_every_backup_is_restored_once_in_a_period(there: Production, operator: Path) -> None:
    logical = blackstart(operator, "backup")
    physical = blackstart(operator, "backup", "--mode", "physical")
    assert (logical.returncode, physical.returncode) == (0, 0), logical.stderr + physical.stderr
    names = str(last(logical)["backup"]), str(last(physical)["backup"])
    done = blackstart(operator, "verify", "--restore")
    assert done.returncode == 0, done.stdout + done.stderr
    said = {line.partition("  ")[0]: line.partition("  ")[2] for line in done.stdout.splitlines()}
    assert said[names[0]].startswith("restored and equal: 1 databases, 1 tables with 500 rows, ")
    assert "tables with 500 rows read; B-tree indexes agree with them" in said[names[1]]
    assert left(operator) == []
    again = blackstart(operator, "verify", "--restore")
    assert (again.returncode, again.stdout.count("UTC; its objects are there")) == (0, 2), again.stdout
    listed = json.loads(blackstart(operator, "backups", "--json").stdout)
    assert all(row["restored"] != "never" for row in listed)
    key = next(key for key in there.stored() if f"/{names[0]}/" in key and key.endswith(".dump"))
    there.put(key, b"nonsense")
    damaged = blackstart(operator, "verify", "--restore", "--all")
    assert damaged.returncode == 1
    assert f"{names[0]}  NOT VALID: " in damaged.stdout
    assert "Traceback" not in damaged.stderr
    assert left(operator) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--quick", "--restore"), "--quick opens nothing"),
        (("--backup", "20260101"), "--backup and --scratch belong to --restore"),
        (("--restore", "--scratch", "nowhere"), "--scratch nowhere: is no folder"),
        (("--restore", "--backup", "gone"), "--backup gone: there is no such backup"),
    ],
)
def test_mistakes_are_refused(operator: Path, words: tuple[str, ...], said: str) -> None:
    done = blackstart(operator, "verify", *words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.fixture(scope="module")
def taken(operator: Path) -> str:
    done = blackstart(operator, "backup", "--mode", "physical")
    assert done.returncode == 0, done.stderr
    return str(last(done)["backup"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_after_an_interruption(operator: Path, taken: str, number: signal.Signals) -> None:
    started = operator / "runs"

    def serving() -> None:
        if not list(started.glob("verify-*/scratch/data/postmaster.pid")):
            raise NotYet("no server runs on the restored data folder")

    with begun(operator, "verify", "--restore", "--backup", taken) as running:
        try:
            wait_until(serving, patience=60, every=0.01)
        finally:
            running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == (-number if number == signal.SIGKILL else 130), errors
    if number == signal.SIGKILL:
        assert left(operator) != []
        swept = blackstart(operator, "sweep")
        assert swept.returncode == 0, swept.stderr
    assert left(operator) == []
