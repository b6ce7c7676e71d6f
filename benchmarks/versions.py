"""`make drill` of two versions, in pairs: `python -m benchmarks.versions FOLDER [--pairs N]`.

FOLDER is a checkout of the other version in which `make setup` was run. Each pair runs both, in alternating order, so
that a slow minute of the machine meets both. A row a run is added to `results/versions.jsonl`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page
from benchmarks.rows import ROOT, add
from harness.core.clock import SYSTEM

MAKE = shutil.which("make") or "make"


@dataclass(frozen=True, slots=True)
class Row:
    """One run of `make drill`. `pair`: its number in this call; `wall`: seconds; `load`: of the machine before it."""

    at: str
    processors: int
    load: float
    pair: int
    version: str
    code: int
    wall: float


def version_of(folder: Path) -> str:
    """Return the short commit of a checkout."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def drill(folder: Path, pair: int) -> Row:
    """Run `make drill` in a checkout and return its row."""
    load, begun = os.getloadavg()[0], SYSTEM.monotonic()
    done = subprocess.run([MAKE, "drill"], cwd=folder, capture_output=True, check=False)
    wall = SYSTEM.monotonic() - begun
    at = SYSTEM.wall().isoformat(timespec="seconds")
    return Row(at, os.cpu_count() or 0, round(load, 1), pair, version_of(folder), done.returncode, round(wall, 1))


def main() -> None:
    """Run the pairs and write the page. The first run of each version, which prepares its estate, is not recorded."""
    parser = argparse.ArgumentParser()
    parser.add_argument("other", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    folders = [asked.other.resolve(), ROOT]
    for folder in folders:
        drill(folder, 0)
    for pair in range(1, asked.pairs + 1):
        for folder in folders if pair % 2 else reversed(folders):
            row = drill(folder, pair)
            print(f"pair {pair}: {row.version}: exit code {row.code}, {row.wall} s", flush=True)
            add("versions", row)
    page.write()


if __name__ == "__main__":
    main()
