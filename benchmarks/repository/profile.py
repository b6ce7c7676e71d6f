"""Where the processor time of a restore goes, beside pgBackRest's: `python -m benchmarks.repository.profile` (root).

Samples of `perf` (Debian: linux-perf), a thousand a second, of all processes of one restore, by program and library. A
row a side is added to `results/profile.jsonl`. The store's own processes are not among them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass

from benchmarks import page
from benchmarks.repository.measure import AS_USER
from benchmarks.repository.servers import Servers, running, write_bytecode
from benchmarks.repository.sides import OURS, PGBACKREST, Sides
from benchmarks.rows import add
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError

RATE = 999  # samples a second
SAMPLE = re.compile(r"^\s*([\d.]+)%\s+(\d+)\s+(\S+)\s+(\S+)", re.MULTILINE)
KERNEL = "[kernel.kallsyms]"
# Part of a library's name -> what it does here.
LIBRARIES = {
    KERNEL: "kernel: files, network, memory",
    "libcrypto": "SHA-256, and AES of TLS",
    "libssl": "SHA-256, and AES of TLS",
    "_rust": "AES of the backup",
    "backend_c": "zstd",
    "libzstd": "zstd",
    "libpython": "Python: imports and the loops between the stages",
    "libc.so": "copies in memory",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A restore. `seconds`: of processor time; `shares`: of each work in them, 0 to 1."""

    at: str
    commit: str
    processors: int
    gigabytes: float
    side: str
    seconds: float
    shares: dict[str, float]


def sampled(servers: Servers, command: str) -> tuple[float, dict[str, float]]:
    """Return the processor seconds of a command, and the share of each work in them."""
    data = servers.work / "perf.data"
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(RATE), "-o", str(data), "--"]
    argv = [*record, *AS_USER, "bash", "-c", f"set -o pipefail; {command}"]
    subprocess.run(argv, env=servers.env, cwd=servers.work, check=True, capture_output=True)
    show = ["perf", "report", "-i", str(data), "--stdio", "-g", "none", "-n", "-s", "comm,dso"]
    said = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    counts: Counter[str] = Counter()
    for _, number, program, library in SAMPLE.findall(said):
        counts[_work(program, library)] += int(number)
    total = counts.total()
    if not total:
        raise HarnessError(f"perf: no samples; it said {said[-500:]}")
    return round(total / RATE, 2), {what: round(number / total, 3) for what, number in counts.most_common()}


def _work(program: str, library: str) -> str:
    if program.startswith("pg_") or program == "postgres":
        return "PostgreSQL's programs: pg_verifybackup, the replay"
    return next((what for part, what in LIBRARIES.items() if part in library), "other")


def main() -> None:
    """Restore once with each side and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=0.8)
    asked = parser.parse_args()
    if shutil.which("perf") is None:
        raise HarnessError("no program perf on PATH; apt-get install linux-perf")
    write_bytecode()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    with running(asked.gigabytes) as servers:
        sides = Sides(servers, 0, servers.ports[10])
        servers.sql("CHECKPOINT")
        wanted = (OURS, PGBACKREST)
        for one in sides.full():
            if one.side in wanted:
                servers.sh(one.command)
        for one in sides.restore():
            if one.side in wanted:
                seconds, shares = sampled(servers, one.command)
                at = SYSTEM.wall().isoformat(timespec="seconds")
                row = Row(at, commit.strip(), os.cpu_count() or 0, asked.gigabytes, one.side, seconds, shares)
                print(row, flush=True)
                add("profile", row)
    page.write()


if __name__ == "__main__":
    main()
