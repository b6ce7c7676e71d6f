"""M4: an interrupted drill is UNKNOWN with its reason and leaves nothing running; of a killed one a record is left."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.attacks.running_drill import own_folder, running
from tests.cli.test_mistakes import blackstart

pytestmark = [pytest.mark.attacks, pytest.mark.programs]


@pytest.mark.night
@pytest.mark.parametrize(("number", "moment"), [(signal.SIGINT, "struck"), (signal.SIGTERM, "promised")])
def test_m4_an_interrupted_drill_is_unknown(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    with running(own_folder(tmp_path / "own")) as drill:
        drill.wait_for(moment)
        os.killpg(drill.process.pid, number)  # as a terminal does
        out, err = drill.process.communicate(timeout=120)
        assert drill.process.returncode == 130, out + err
        assert "Traceback" not in out + err
        assert not drill.run_folders(), "it was not swept"
        path = drill.record()
        assert path is not None
        record = json.loads(path.read_text())
    assert record["verdict"] == "UNKNOWN"
    assert any("interrupted" in reason.lower() for reason in record["reasons"]), record["reasons"]


@pytest.mark.night
def test_m4_a_drill_is_aborted_from_elsewhere(tmp_path: Path) -> None:
    with running(own_folder(tmp_path / "own")) as drill:
        drill.wait_for("struck")
        (run,) = drill.run_folders()
        done = blackstart(tmp_path, "abort", str(run))
        assert done.returncode == 0, done.stderr
        assert "was interrupted, and has ended\n" in done.stdout
        out, err = drill.process.communicate(timeout=10)
        assert drill.process.returncode == 130, out + err
        assert not run.exists()
        path = drill.record()
        assert path is not None
        assert json.loads(path.read_text())["verdict"] == "UNKNOWN"
        again = blackstart(tmp_path, "abort", str(run))
    assert (again.returncode, again.stderr) == (2, f"blackstart: {run}: no such run\n")


def test_m4_a_killed_drill_leaves_a_record_that_says_so(tmp_path: Path) -> None:
    with running(own_folder(tmp_path / "own")) as drill:
        drill.wait_for("struck")
        os.killpg(drill.process.pid, signal.SIGKILL)
        drill.process.wait()
        path = drill.record()
        assert path is not None
        record = json.loads(path.read_text())
    assert record["verdict"] == "UNKNOWN"
    assert any("not concluded" in reason for reason in record["reasons"]), record["reasons"]
    assert not drill.run_folders(), "sweep left something"
