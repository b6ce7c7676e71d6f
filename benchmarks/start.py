"""How long the command line takes to start: `python -m benchmarks.start [--runs 11] [--record]`.

`--help`, and what a command imports before its own work begins. Bytecode is there, as after an installation: the first
run, which is not counted, writes it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import page
from benchmarks.rows import ROOT, add
from harness.core.clock import SYSTEM

HELP = "from harness.cli import main; main()"
# Imports what `restore` imports on its way to the repository.
RESTORE = (
    "import harness.cli, harness.backup.verify, harness.estate.config, harness.evidence.journal, "
    "harness.physical.restore, harness.physical.target"
)
COMMANDS = {"blackstart --help": (HELP, "--help"), "imports of blackstart restore": (RESTORE,)}


@dataclass(frozen=True, slots=True)
class Row:
    """Starts of one command. `walls`, `cpus`: seconds of each run; `load`: of the machine before them."""

    at: str
    commit: str
    processors: int
    load: float
    what: str
    walls: tuple[float, ...]
    cpus: tuple[float, ...]


def cpu() -> float:
    """Return the processor seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def starts(what: str, words: Sequence[str], runs: int, commit: str) -> Row:
    """Run a command once more than `runs` times; return the figures of all but the first."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPATH"] = str(ROOT)
    load, walls, cpus = os.getloadavg()[0], [], []
    for _ in range(runs + 1):
        begun, before = SYSTEM.monotonic(), cpu()
        subprocess.run([sys.executable, "-c", *words], cwd=ROOT, env=env, capture_output=True, check=True)
        walls.append(round(SYSTEM.monotonic() - begun, 3))
        cpus.append(round(cpu() - before, 3))
    at = SYSTEM.wall().isoformat(timespec="seconds")
    return Row(at, commit, os.cpu_count() or 0, round(load, 1), what, tuple(walls[1:]), tuple(cpus[1:]))


def main() -> None:
    """Measure, print a line for each command, and add the rows where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--record", action="store_true", help="add the rows to results/start.jsonl")
    asked = parser.parse_args()
    shown = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for what, words in COMMANDS.items():
        row = starts(what, words, asked.runs, shown.stdout.strip())
        print(f"{what}: {median(row.walls):.2f} s, {median(row.cpus):.2f} s of a processor", flush=True)
        if asked.record:
            add("start", row)
    if asked.record:
        page.write()


if __name__ == "__main__":
    main()
