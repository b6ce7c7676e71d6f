"""A small drill of the notification estate, started as its operator does, and what can be seen of it from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from tests.forks import COMMAND

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0
FEATURE = """Feature: f
  Scenario: small
    Given the "site loss, one machine" promise
    And a healthy notification estate under client load
    When a backup is taken
    And the primary site is lost
    And the estate is recovered
    Then the promise is kept
"""


@dataclass(frozen=True)
class RunningDrill:
    """The process of the drill, and the folder it was started in."""

    folder: Path
    process: subprocess.Popen[str]

    def record(self) -> Path | None:
        return next((self.folder / "reports/drills").glob("*/record.json"), None)

    def wait_for(self, kind: str) -> None:
        """Return once the journal has an event of that kind."""

        def seen() -> None:
            assert self.process.poll() is None, self.process.communicate()
            journals = list((self.folder / "reports/drills").glob("*/journal.jsonl"))
            if not journals or f'"{kind}"' not in journals[0].read_text():
                raise NotYet(kind)

        wait_until(seen, patience=PATIENCE_S, on=NotYet, every=0.05, what=f"the event {kind}")

    def run_folders(self) -> list[Path]:
        runs = self.folder / ".blackstart/runs"
        return [path for path in runs.iterdir() if path.is_dir()] if runs.is_dir() else []


def own_folder(folder: Path) -> Path:
    """Return an operator's folder with one drill of the notification estate."""
    (folder / "features/estates").mkdir(parents=True)
    (folder / "features/small.feature").write_text(FEATURE)
    for name in ("estate.toml", "features/budgets.toml", "features/estates/notification.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@contextmanager
def running(folder: Path, **env: str) -> Iterator[RunningDrill]:
    """Start the drill; whatever is left of it afterwards is ended."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | env
    environment.pop("BLACKSTART_RUNS", None)
    command = [*COMMAND, "drill", "features"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        drill = RunningDrill(folder, process)
        try:
            yield drill
        finally:
            process.kill()
            for run in drill.run_folders():
                sweep = [*command[:-2], "sweep", str(run)]
                subprocess.run(sweep, cwd=folder, env=environment, check=False, capture_output=True)
