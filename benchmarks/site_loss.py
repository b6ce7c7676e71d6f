"""Site loss on every substrate, side by side: `python -m benchmarks.site_loss [--runs N] [substrate[,cold] ...]`.

With the way back to the primary, from a backup and by a rewind (`BACK`), which begins with a site loss as well: of it
the record of the failback is what counts.
Each drill is a process of its own (`pytest features/estate/site_loss.feature`), one after the other, the substrates
taking turns so that none has the quiet half of the machine's day. Of each: seconds of wall, RTO and its phases and
the verdict from the drill's record, and the peak of memory over all processes of the machine, containers included,
above what was in use before it. A row a drill is added to `results/site_loss.jsonl`; `docs/BENCHMARKS.md` is written
from all of them. Images and the prepared estate must be there: nothing is warmed here.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

from benchmarks import page
from benchmarks.rows import ROOT, add
from benchmarks.sections.drills import BACK, SUBSTRATES
from harness.core.clock import SYSTEM
from harness.drill.failback import FAILBACK
from harness.evidence.folder import read_record, records

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One drill: seconds, MiB."""

    at: str
    processors: int
    load: float
    substrate: str
    verdict: str
    wall: float
    rto: float | None
    rpo: float | None
    phases: dict[str, float]
    memory: int


@contextmanager
def peak() -> Iterator[list[int]]:
    """Yield a list that holds, after the block, the most memory in use above what was in use before, in MiB."""
    before, done, most = psutil.virtual_memory().available, Event(), [0]

    def watch() -> None:
        while not done.wait(0.25):
            most[0] = max(most[0], (before - psutil.virtual_memory().available) // MIB)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    yield most
    done.set()
    thread.join()


def drill(substrate: str, *options: str) -> Row:
    """Run one drill and return its row. `options`: of the command line of pytest."""
    name, _, strategy = substrate.partition(":")[0].partition(",")
    back = BACK.get(substrate)
    what = ["features/estate/failback.feature", "-k", back] if back else ["features/estate/site_loss.feature"]
    with tempfile.TemporaryDirectory() as reports, peak() as most:
        words = [sys.executable, "-m", "pytest", "-q", *what]
        more = [f"--substrate={name}", f"--strategy={strategy}", f"--reports={reports}"]
        load, begun = os.getloadavg()[0], SYSTEM.monotonic()
        done = subprocess.run([*words, *more, *options], cwd=ROOT, capture_output=True, text=True, check=False)
        wall = SYSTEM.monotonic() - begun
        found = records(Path(reports))
        if not found:
            raise SystemExit(f"{substrate}: no record (exit code {done.returncode}):\n{done.stdout[-2000:]}")
        record = read_record(found[-1])
        if back and not record.drill.endswith(FAILBACK):
            raise SystemExit(f"{substrate}: there was no way back: {record.verdict}, {record.reasons}")
    return Row(
        SYSTEM.wall().isoformat(timespec="seconds"),
        os.cpu_count() or 0,
        round(load, 1),
        substrate,
        record.verdict,
        round(wall, 1),
        record.rto_seconds,
        record.rpo_seconds,
        {phase.name: round(phase.end_seconds - phase.begin_seconds, 2) for phase in record.phases},
        most[0],
    )


def main() -> None:
    """Run the drills that were asked for and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("substrates", nargs="*", default=[*SUBSTRATES, *BACK])
    parser.add_argument("--runs", type=int, default=1)
    asked = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors")
    for _ in range(asked.runs):
        for substrate in asked.substrates:
            row = drill(substrate)
            print(f"{substrate}: {row.verdict}, {row.wall} s, RTO {row.rto}, {row.memory} MiB", flush=True)
            add("site_loss", row)
    page.write()


if __name__ == "__main__":
    main()
