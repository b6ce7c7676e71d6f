"""`blackstart verify --quick` over many backups and segments: `python -m benchmarks.quick_verify [--record]`.

A real store with 100 backups and 10,000 segments of WAL (1 MiB each, of zeros: their contents are not read), in lists
of `--batch` segments: 64 is the most that one list has, 1 is what a receiver writes that ships each segment at once.
The whole command is timed, in a process of its own, as an operator runs it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks import page
from benchmarks.memory import BUCKET, SECRETS, contents, store_in
from benchmarks.rows import ROOT, add
from harness.core.clock import SYSTEM
from harness.repository.catalogue import Repository, Trust
from harness.repository.store.s3 import S3Store
from harness.repository.wal.writer import begin_wal
from harness.signing import read_signing_key

SEGMENT = 1 << 20
THREADS = 8
ESTATE, CLUSTER = "bench", "1"
DECLARATION = """
[estate]
name = "bench"
zone = "bench.test"
[sites.primary]
edge = "127.0.0.2"
[sites.dr]
edge = "127.0.0.3"
[services.gateway]
kind = "gateway"
[existing.offsite]
bucket = "{bucket}"
s3 = "http://{address}"
secrets = "secrets/offsite"
[existing.dr]
s3 = "http://{address}"
sql = "{address}"
secrets = "secrets/dr"
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One repository. `walls`, `cpus`: seconds of each run; `batch`: segments of a list; `load`: before the runs."""

    at: str
    processors: int
    load: float
    backups: int
    segments: int
    batch: int
    walls: tuple[float, ...]
    cpus: tuple[float, ...]
    said: str


def fill(folder: Path, backups: int, segments: int, batch: int) -> None:
    """Write the backups and the segments."""
    host, _, port = (folder / "address").read_text().partition(":")
    access, secret = ((folder / name).read_text() for name in SECRETS)
    signing = (folder / "writer.pem").read_bytes()
    trust = Trust((read_signing_key(signing).public_key(),))
    repository = Repository(S3Store.connect(host, int(port), access, secret, BUCKET), ESTATE, trust=trust)
    recipients = tuple((folder / f"{name}.pub").read_bytes() for name in ("dr", "escrow"))
    for _ in range(backups):
        writer = repository.begin(CLUSTER, recipients, signing)
        writer.add("databases/one.dump", (b"a dump",))
        writer.commit(contents())
    wal = begin_wal(repository, CLUSTER, SEGMENT, recipients, signing, None)
    zeros = bytes(SEGMENT)
    wal.put(1, 0, zeros)  # the data keys are stored once
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, segments, batch):
            numbers = range(first, min(first + batch, segments))
            wal.commit(list(pool.map(lambda number: wal.put(1, number * SEGMENT, zeros), numbers)), None)


def declare(folder: Path) -> None:
    """Write the declaration and the secrets that the command needs."""
    address = (folder / "address").read_text()
    (folder / "estate.toml").write_text(DECLARATION.format(bucket=BUCKET, address=address))
    for holder, names in {"offsite": SECRETS, "dr": SECRETS}.items():
        (folder / "secrets" / holder).mkdir(parents=True)
        for name in names:
            (folder / "secrets" / holder / name).write_text((folder / name).read_text())
    public = read_signing_key((folder / "writer.pem").read_bytes()).public_key()
    (folder / "secrets/dr/writer-bench.pub").write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (folder / "secrets/dr/postgres-superuser").write_text("not asked for")


def runs(folder: Path, number: int) -> Iterator[tuple[float, float, str]]:
    """Run the command once more than `number` times; yield wall, CPU and the last line of all but the first."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = (sys.executable, "-c", "from harness.cli import main; main()", "verify", "--quick")
    for run in range(number + 1):
        begun, before = SYSTEM.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            words, cwd=folder, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )
        wall, after = SYSTEM.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"verify --quick: exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if run:
            yield round(wall, 2), round(cpu, 2), done.stdout.strip().splitlines()[-1]


def main() -> None:
    """Fill a repository for each size of lists, time the command, and add the rows where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backups", type=int, default=100)
    parser.add_argument("--segments", type=int, default=10_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 1])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="add the rows to results/quick_verify.jsonl")
    asked = parser.parse_args()
    for batch in asked.batch:
        with tempfile.TemporaryDirectory(prefix="blackstart-benchmark-") as made:
            folder = Path(made)
            with store_in(folder):
                fill(folder, asked.backups, asked.segments, batch)
                declare(folder)
                load = round(os.getloadavg()[0], 1)
                found = list(runs(folder, asked.runs))
        walls, cpus = tuple(one[0] for one in found), tuple(one[1] for one in found)
        at = SYSTEM.wall().isoformat(timespec="seconds")
        row = Row(
            at, os.cpu_count() or 0, load, asked.backups, asked.segments, batch, walls, cpus, found[-1][2]
        )  # fmt: skip
        print(f"lists of {batch}: {median(walls):.2f} s, {median(cpus):.2f} s of a processor: {row.said}", flush=True)
        if asked.record:
            add("quick_verify", row)
    if asked.record:
        page.write()


if __name__ == "__main__":
    main()
