"""`blackstart recover` with real programs: what it leaves when it is killed, or cannot write its state file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases.production import Production, blackstart, production
from tests.forks import ROOT
from tests.recovery.disasters import Disaster, disaster_of

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Production, Path]]:
    """A production with one backup, and the secrets of its DR site."""
    home = tmp_path_factory.mktemp("production")
    with production(home) as there:
        operator = there.folder(tmp_path_factory.mktemp("operator"))
        for words in (("keys", "new"), ("backup",)):
            done = blackstart(operator, *words)
            assert done.returncode == 0, done.stderr
        yield there, operator / "secrets/dr"


@pytest.fixture
def disaster(backed_up: tuple[Production, Path], tmp_path: Path) -> Iterator[Disaster]:
    """An estate of which a backup is left; what was recovered is ended."""
    with disaster_of(*backed_up, tmp_path) as found:
        yield found


@pytest.mark.night
def test_a_recovery_that_was_killed_after_its_switch_stays_and_serves(disaster: Disaster) -> None:
    """Resume removed the site and what clients had written disaster."""
    run = disaster.killed_at(lambda event: (event["kind"], event["subject"]) == ("held", "key functions"))
    front = json.loads((disaster.folder / "recovered.json").read_text())["public"]
    before = disaster.guests(front)
    done = blackstart(disaster.folder, "resume", str(run))
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{run}: traffic was being switched to this DR site, and clients may have written to it since" in done.stderr
    assert (disaster.guests(front), "hello from a guest" in before) == (before, True)
    assert blackstart(disaster.folder, "release", "--live", "recovered.json").returncode == 0


@pytest.mark.night
def test_a_recovery_that_was_killed_before_its_switch_is_resumed(disaster: Disaster) -> None:
    run = disaster.killed_at(lambda event: (event["kind"], event["subject"]) == ("begin", "app"))
    done = blackstart(disaster.folder, "resume", str(run))
    assert done.returncode == 0, done.stderr
    front = json.loads((disaster.folder / "recovered.json").read_text())["public"]
    assert "hello from a guest" in disaster.guests(front)


@pytest.mark.night
def test_a_state_file_that_cannot_be_written_is_refused_before_or_told(disaster: Disaster) -> None:
    (disaster.folder / "file").write_text("")
    done = blackstart(disaster.folder, *disaster.words[:-1], "file/recovered.json")
    assert (done.returncode, "name another one with --live" in done.stderr) == (2, True), done.stderr
    assert not (disaster.folder / "runs").exists() or not list((disaster.folder / "runs").iterdir())
    at = disaster.folder / "state/recovered.json"
    env = {"PYTHONPATH": f"{disaster.folder / 'hook'}:{ROOT}"}
    (disaster.folder / "hook").mkdir()
    (disaster.folder / "hook/sitecustomize.py").write_text(
        "import harness.recovery.begun as begun\n"
        "from pathlib import Path\n"
        "note = begun.note_begun\n"
        "def noting(*words):\n"
        "    note(*words)\n"
        f"    Path({str(at)!r}).mkdir()  # after the check\n"
        "begun.note_begun = noting\n"
    )
    done = blackstart(disaster.folder, *disaster.words[:-1], "state/recovered.json", **env)
    assert done.returncode == 0, done.stderr
    said = f"{at}: the state file cannot be written (Is a directory)"
    assert f"REASON: {said}" in done.stdout
    (record,) = (json.loads(one.read_text()) for one in disaster.folder.glob("reports/drills/*/record.json"))
    assert (record["verdict"], said in record["reasons"]) == ("UNKNOWN", True)
    (line,) = (line for line in done.stdout.splitlines() if "the state file was not written" in line)
    (disaster.folder / "saved.json").write_text(line.partition("--live: ")[2])
    assert "hello from a guest" in disaster.guests(json.loads((disaster.folder / "saved.json").read_text())["public"])
    assert blackstart(disaster.folder, "release", "--live", "saved.json").returncode == 0


def test_a_recovery_whose_key_function_fails_after_the_switch_stays(disaster: Disaster) -> None:
    """Clients may have written there meanwhile: what they wrote is nowhere else."""
    declared = disaster.folder / "estate.toml"
    declared.write_text(declared.read_text().replace('contains = "hello"', 'contains = "nobody said this"'))
    done = blackstart(disaster.folder, *disaster.words)
    assert done.returncode == 1, done.stderr
    first, second = done.stderr.splitlines()[-2:]
    assert "nobody said this" in first
    assert "the DR site stays, as clients may have written to it since its switch" in second
    state = json.loads((disaster.folder / "recovered.json").read_text())
    assert "hello from a guest" in disaster.guests(state["public"])
    (record,) = (json.loads(one.read_text()) for one in disaster.folder.glob("reports/drills/*/record.json"))
    assert record["verdict"] == "BROKEN"
    assert "skipped: a recovered DR site" in blackstart(disaster.folder, "sweep").stdout
    assert "hello from a guest" in disaster.guests(state["public"])
