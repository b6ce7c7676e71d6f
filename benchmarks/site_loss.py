"""Site loss on every substrate, side by side: `python -m benchmarks.site_loss [--runs N] [substrate[,cold] ...]`.

Each drill is a process of its own (`pytest features/estate/site_loss.feature`), one after the other, the substrates
taking turns so that none has the quiet half of the machine's day. Of each: seconds of wall, RTO and its phases and
the verdict from the drill's record, and the peak of memory over all processes of the machine, containers included,
above what was in use before it. A row a drill is added to `results/site_loss.jsonl`; `docs/BENCHMARKS.md` is written
from all of them. Images and the prepared estate must be there: nothing is warmed here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread

import psutil

from harness.core.clock import SYSTEM
from harness.evidence.folder import read_record, records

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/site_loss.jsonl"
PAGE = ROOT / "docs/BENCHMARKS.md"
ALL = ("embedded", "docker", "kind", "kind,cold")
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


def drill(substrate: str) -> Row:
    """Run one drill and return its row."""
    name, _, strategy = substrate.partition(",")
    with tempfile.TemporaryDirectory() as reports, peak() as most:
        words = [sys.executable, "-m", "pytest", "-q", "features/estate/site_loss.feature"]
        more = [f"--substrate={name}", f"--strategy={strategy}", f"--reports={reports}"]
        load, begun = os.getloadavg()[0], SYSTEM.monotonic()
        done = subprocess.run([*words, *more], cwd=ROOT, capture_output=True, text=True, check=False)
        wall = SYSTEM.monotonic() - begun
        found = records(Path(reports))
        if not found:
            raise SystemExit(f"{substrate}: no record (exit code {done.returncode}):\n{done.stdout[-2000:]}")
        record = read_record(found[-1])
    return Row(
        SYSTEM.wall().isoformat(timespec="seconds"),
        os.cpu_count() or 0,
        round(load, 1),
        substrate,
        record.verdict,
        round(wall, 1),
        record.rto,
        record.rpo,
        {phase.name: round(phase.end - phase.begin, 2) for phase in record.phases},
        most[0],
    )


def spread(figures: Sequence[float]) -> str:
    """Return the median, with the least and the most where there are several."""
    if len(figures) < 2:  # noqa: PLR2004
        return f"{figures[0]:.1f}" if figures else "-"
    return f"{median(figures):.1f} ({min(figures):.1f} to {max(figures):.1f})"


def page(rows: Sequence[Row]) -> str:
    """Return the page of figures, by number of processors and substrate."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks.site_loss`; medians, with least and most of the runs.",
    ]
    for processors in sorted({row.processors for row in rows}):
        of = {s: [r for r in rows if r.substrate == s and r.processors == processors] for s in ALL}
        shown = [s for s in ALL if of[s]]
        lines += ["", f"## Site loss, example estate (200 MB of bulk), {processors} processors", ""]
        lines += ["| | " + " | ".join(shown) + " |", "|---|" + "---|" * len(shown)]

        def line(what: str, figures: list[list[float]]) -> str:
            return f"| {what} | " + " | ".join(map(spread, figures)) + " |"

        lines.append("| drills | " + " | ".join(str(len(of[s])) for s in shown) + " |")
        kept = [f"{sum(r.verdict == 'KEPT' for r in of[s])} of {len(of[s])}" for s in shown]
        lines.append("| KEPT | " + " | ".join(kept) + " |")
        lines.append(line("whole drill, s", [[r.wall for r in of[s]] for s in shown]))
        lines.append(line("RTO, s", [[r.rto for r in of[s] if r.rto is not None] for s in shown]))
        lines.append(line("RPO, s", [[r.rpo for r in of[s] if r.rpo is not None] for s in shown]))
        for phase in rows[0].phases:
            lines.append(line(f"&nbsp;&nbsp;{phase}, s", [[r.phases.get(phase, 0.0) for r in of[s]] for s in shown]))
        lines.append(line("peak memory, MiB", [[float(r.memory) for r in of[s]] for s in shown]))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the drills that were asked for and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("substrates", nargs="*", default=list(ALL))
    parser.add_argument("--runs", type=int, default=1)
    asked = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors")
    for _ in range(asked.runs):
        for substrate in asked.substrates:
            row = drill(substrate)
            print(f"{substrate}: {row.verdict}, {row.wall} s, RTO {row.rto}, {row.memory} MiB", flush=True)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    rows = [Row(**json.loads(line)) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
