"""A folder from which an estate is recovered by the command, with nothing but the keys of its DR site."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.estate.config import load_config
from harness.estate.registry import kind_of
from harness.estate.secrets import Secrets, add_service_secrets, make_site_secrets
from tests.cases.production import Production, blackstart
from tests.forks import COMMAND, ROOT

STEP = 0.01  # seconds between two looks at a journal
LATE = 120.0  # seconds in which a recovery is at its switch


@dataclass
class Disaster:
    """A folder from which an estate is recovered, and the words of the command."""

    folder: Path
    words: tuple[str, ...]

    def killed_at(self, seen: Callable[[dict[str, object]], bool]) -> Path:
        """Recover, and SIGKILL it once its journal has an event; return its run folder."""
        command = [*COMMAND, *self.words]
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


@contextmanager
def disaster_of(there: Production, of_dr: Path, folder: Path) -> Iterator[Disaster]:
    """Yield the folder and the command; what was recovered is ended afterwards. `of_dr`: the keys of the DR site."""
    there.folder(folder, primary=False)
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
