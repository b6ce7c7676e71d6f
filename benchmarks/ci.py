"""How long CI takes as a whole: `python -m benchmarks.ci [--cold]`, on a machine that does nothing else.

`.ci/run` on a fresh clone of what is committed here. `--cold`: with empty caches (parts, prepared estates, wheels, Go
and npm modules) and none of our images on the engine, from which they are removed; Debian's packages stay as they are.
A row is added to `results/ci.jsonl`; of a run that failed the drills' records are kept in `reports/`. Ends with the
exit code of CI.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page
from benchmarks.rows import ROOT, add
from harness.core.clock import SYSTEM
from harness.evidence.folder import commit_of
from harness.images.engine import REFUSALS, engine
from harness.images.kind.stock import LABEL
from harness.images.table import OURS

STEP = re.compile(r"ci: (.+): (\d+) s, exit code (\d+)$")


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `seconds`: of all; `steps`: of each step, in the order in which they ended."""

    at: str
    commit: str
    processors: int
    cold: bool
    code: int
    seconds: float
    steps: dict[str, int]


def emptied(home: Path) -> dict[str, str]:
    """Take our images from the engine, and return the environment in which every cache is a new folder in `home`."""
    for image in engine().images.list():
        if any(tag.startswith(f"{OURS}/") for tag in image.tags):
            engine().images.remove(image.id, force=True)
    caches = {"XDG_CACHE_HOME": "cache", "GOMODCACHE": "go", "npm_config_cache": "npm"}
    return {name: str(home / folder) for name, folder in caches.items()}


@contextmanager
def cleared(home: Path) -> Iterator[None]:
    """At the end, take from the engine the stocks that the caches in `home` knew of."""
    try:
        yield
    finally:
        with suppress(*REFUSALS):
            for volume in engine().volumes.list(filters={"label": LABEL}):
                if str(volume.attrs["Labels"][LABEL]).startswith(str(home)):
                    volume.remove()


def run(*, cold: bool) -> Row:
    """Clone the project, run its CI, show what it says, and return the row."""
    with tempfile.TemporaryDirectory() as home:
        clone = Path(home) / "clone"
        subprocess.run([shutil.which("git") or "git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        commit = commit_of(clone)[:7]
        env = {name: value for name, value in os.environ.items() if name != "BLACKSTART_CACHE" or not cold}
        env |= {"CI": "true"} | (emptied(Path(home)) if cold else {})
        begun, steps = SYSTEM.monotonic(), dict[str, int]()
        with (
            cleared(Path(home)),
            subprocess.Popen([".ci/run"], cwd=clone, env=env, stdout=subprocess.PIPE, text=True) as running,
        ):
            for line in running.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                if found := STEP.search(line):
                    steps[found[1]] = max(int(found[2]), steps.get(found[1], 0))
        seconds = round(SYSTEM.monotonic() - begun, 1)
        records, kept = clone / "reports", ROOT / "reports" / f"ci-{commit}"
        if running.returncode and records.is_dir():
            shutil.copytree(records, kept, dirs_exist_ok=True)
            print(f"ci: the records of its drills are in {kept.relative_to(ROOT)}")
    at = SYSTEM.wall().isoformat(timespec="seconds")
    return Row(at, commit, os.cpu_count() or 0, cold, running.returncode, seconds, steps)


def main() -> int:
    """Run CI once, write the page, and return the exit code of CI."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cold", action="store_true")
    row = run(cold=parser.parse_args().cold)
    add("ci", row)
    page.write()
    return row.code


if __name__ == "__main__":
    raise SystemExit(main())
