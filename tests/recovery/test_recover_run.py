"""`blackstart recover` with real programs: what it leaves when it is killed, or cannot write its state file."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.estate.config import load_config
from harness.estate.registry import kind_of
from harness.estate.secrets import Secrets, add_service_secrets, make_site_secrets
from tests.cases.production import ROOT, Production, blackstart, production

pytestmark = pytest.mark.programs
STEP = 0.01  # seconds between two looks at a journal
LATE = 120.0  # seconds in which a recovery is at its switch


@dataclass
class Disaster:
    """A folder from which an estate is recovered, and the words of the command."""

    folder: Path
    words: tuple[str, ...]

    def killed_at(self, seen: Callable[[dict[str, object]], bool]) -> Path:
        """Recover, and SIGKILL it once its journal has an event; return its run folder."""
        command = [sys.executable, "-c", "from harness.cli import main; main()", *self.words]
        env = os.environ | {"PYTHONPATH": str(ROOT), "BLACKSTART_RUNS": str(self.folder / "runs")}
        with (self.folder / "log").open("wb") as log:
            work = subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)
        try:
            wait_until(lambda: self._look(work, seen), patience=LATE, every=STEP)
        finally:
            work.kill()
            work.wait()
        (run,) = (self.folder / "runs").iterdir()
        return run

    def _look(self, work: subprocess.Popen[bytes], seen: Callable[[dict[str, object]], bool]) -> None:
        lines = [path.read_text() for path in self.folder.glob("reports/drills/*/journal.jsonl")]
        if not any(seen(json.loads(line)) for line in "".join(lines).split("\n")[:-1]):
            assert work.poll() is None, (self.folder / "log").read_text()
            raise NotYet("no such event")

    def guests(self, front: str) -> str:
        """Return what a client is answered at a front door."""
        key = (self.folder / "secrets/clients/gateway-key").read_bytes()
        request = urllib.request.Request(f"http://{front}/guestbook/entries", headers={"Host": "guests.test"})
        request.add_header("Authorization", "Basic " + base64.b64encode(b"clients:" + key).decode())
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return str(answer.read().decode())


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
    there, of_dr = backed_up
    folder = there.folder(tmp_path, primary=False)
    shutil.copytree(of_dr, folder / "secrets/dr")
    secrets = Secrets(folder / "secrets")
    make_site_secrets(secrets, "dr")
    secrets.put("names", "tsig", base64.b64encode(bytes(32)))
    config = load_config(folder / "estate.toml")
    for name, table in config.services.items():
        add_service_secrets(secrets, kind_of(config, name).secrets(name, table))
    secrets.put("dr", "guestbook-db", b"production's own")  # the role comes back with its password
    words = ("recover", "--offsite", str(there.offsite.outside), "--secrets", "secrets", "--estate", "guests")
    try:
        yield Disaster(folder, (*words, "--fenced", "a test", "--live", "recovered.json"))
    finally:
        for run in (folder / "runs").glob("*"):
            swept = blackstart(folder, "sweep", str(run))
            assert swept.returncode == 0, swept.stderr


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


def test_a_recovery_that_was_killed_before_its_switch_is_resumed(disaster: Disaster) -> None:
    run = disaster.killed_at(lambda event: (event["kind"], event["subject"]) == ("begin", "app"))
    done = blackstart(disaster.folder, "resume", str(run))
    assert done.returncode == 0, done.stderr
    front = json.loads((disaster.folder / "recovered.json").read_text())["public"]
    assert "hello from a guest" in disaster.guests(front)


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
    assert f"DOUBT: {said}" in done.stdout
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
