"""How much memory and time the repository needs for a large backup, into a real store and back.

    python benchmarks/memory.py [--megabytes 1000] [--objects 1]

Each direction runs in a process of its own, so that its peak is its own. The data is made on the way, half of it
random and half of it text, in as many objects at once as `--objects` says. Ends with 1 when a direction needed more
than 256 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.core.contents import Contents, DatabaseFacts, SystemFacts
from harness.repository.catalogue import Repository, Trust
from harness.repository.format.recipients import new_pair
from harness.repository.store.s3 import S3Store
from harness.s3.client import ensure_bucket
from harness.s3.server import s3_of, server_spec
from harness.signing import new_signing_pair, read_signing_key
from harness.substrate.embedded.substrate import Embedded

RESULTS = Path(__file__).parent / "results" / "memory.jsonl"
BUCKET = "backups"
LIMIT = 256.0  # MiB
MIB = 1 << 20
HALF = 1 << 17
POOL = 64  # random halves, used in turn: repeated after 16 MiB only, further than any frame reaches
DIRECTIONS = ("write", "read")
SECRETS = ("s3-access", "s3-secret")


@dataclass(frozen=True, slots=True)
class Figures:
    """One direction: plain and stored MiB, wall and processor seconds, peak resident MiB of the process."""

    direction: str
    objects: int
    plain_mib: float
    stored_mib: float
    wall_s: float
    cpu_s: float
    started_mib: float
    peak_mib: float

    @property
    def rate(self) -> float:
        """Plain MiB in each second."""
        return self.plain_mib / self.wall_s


@cache
def random_halves() -> list[bytes]:
    """Return the random part, the same every time and one for all objects."""
    source = random.Random(7)  # noqa: S311 - it only has to be incompressible
    return [source.randbytes(HALF) for _ in range(POOL)]


def half_compressible(megabytes: int) -> Iterator[bytes]:
    """Yield that many MiB."""
    pool = random_halves()
    for number in range(megabytes * MIB // (2 * HALF)):
        row = b"%d\torder of customer %d\topen\t2026-03-01 02:03:04\n" % (number, number % 977)
        yield pool[number % POOL] + (row * (HALF // len(row) + 1))[:HALF]


def contents() -> Contents:
    """Return the least that a manifest needs to say."""
    database = DatabaseFacts("large", "owner", "UTF8", "C", 0, SYSTEM.wall(), SYSTEM.monotonic(), ())
    return Contents(SystemFacts("1", "0", 1), (database,), (), ())


def repository_in(folder: Path) -> Repository:
    """Return the repository whose address and keys the parent left in the folder."""
    host, _, port = (folder / "address").read_text().partition(":")
    access, secret = ((folder / name).read_text() for name in SECRETS)
    trust = Trust((read_signing_key((folder / "writer.pem").read_bytes()).public_key(),))
    return Repository(S3Store.connect(host, int(port), access, secret, BUCKET), "benchmark", trust=trust)


def write(repository: Repository, folder: Path, megabytes: int, objects: int) -> tuple[int, int]:
    """Back the data up; return plain and stored bytes."""
    recipients = tuple((folder / f"{name}.pub").read_bytes() for name in ("dr", "escrow"))
    writer = repository.begin("1", recipients, (folder / "writer.pem").read_bytes())
    paths = [f"databases/{number}.dump" for number in range(objects)]
    random_halves()
    with ThreadPoolExecutor(objects) as pool:
        entries = list(pool.map(lambda path: writer.add(path, half_compressible(megabytes // objects)), paths))
    writer.commit(contents())
    return sum(entry.plain_size for entry in entries), sum(entry.stored_size for entry in entries)


def read(repository: Repository, folder: Path, megabytes: int, objects: int) -> tuple[int, int]:
    """Read it back, which compares its digests; return plain and stored bytes."""
    (entry,) = repository.committed()
    backup = repository.open(entry, (folder / "dr.pem").read_bytes())
    with ThreadPoolExecutor(objects) as pool:
        size = sum(pool.map(lambda one: sum(map(len, backup.read(one.path))), backup.manifest.objects))
    if size != megabytes // objects * objects * MIB:
        raise AssertionError(f"{size} bytes came back, not {megabytes} MiB")
    return size, backup.manifest.size


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB (what it was started from may count as well)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def measure(direction: str, folder: Path, megabytes: int, objects: int) -> Figures:
    """Carry out one direction in this process and return its figures."""
    repository, started = repository_in(folder), peak_mib()
    began = SYSTEM.monotonic()
    plain, stored = {"write": write, "read": read}[direction](repository, folder, megabytes, objects)
    wall = SYSTEM.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Figures(
        direction, objects, plain / MIB, stored / MIB, wall, used.ru_utime + used.ru_stime, started, peak_mib()
    )


@contextmanager
def store_in(folder: Path) -> Iterator[None]:
    """Run a store while the block lasts; the folder says where it is and holds its keys and those of recipients."""
    for name in SECRETS:
        (folder / name).write_text(secrets.token_hex(16))
    for name in ("dr", "escrow"):
        private, public = new_pair()
        (folder / f"{name}.pem").write_bytes(private)
        (folder / f"{name}.pub").write_bytes(public)
    (folder / "writer.pem").write_bytes(new_signing_pair()[0])
    references = {name: f"file:{folder / name}" for name in SECRETS}
    substrate = Embedded(folder / "run", folder / "logs")
    try:
        site = substrate.site("offsite")
        node = site.launch(server_spec(site, "offsite", secrets=references))
        ensure_bucket(s3_of(node, *references.values()), BUCKET, versioning=False)
        (folder / "address").write_text(str(node.endpoint("s3").outside))
        yield
        node.kill()
    finally:
        substrate.sweep()


def in_a_process_of_its_own(direction: str, folder: Path, megabytes: int, objects: int) -> Figures:
    """Return the figures of one direction; its errors go to the terminal."""
    size = ("--megabytes", str(megabytes), "--objects", str(objects))
    argv = [sys.executable, __file__, *size, "--child", direction, "--folder", str(folder)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return Figures(**json.loads(done.stdout))


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "memory_mib": memory // MIB,
        "python": platform.python_version(),
    }


def report(found: list[Figures]) -> None:
    """Print a table and add one line to the results."""
    columns = ("objects", "plain MiB", "stored MiB", "wall s", "cpu s", "MiB/s", "peak MiB")
    print(f"{'':6} " + " ".join(f"{column:>10}" for column in columns))
    for f in found:
        print(
            f"{f.direction:6} {f.objects:10} {f.plain_mib:10.0f} {f.stored_mib:10.0f} {f.wall_s:10.1f} {f.cpu_s:10.1f} "
            f"{f.rate:10.0f} {f.peak_mib:10.0f}"
        )
    rounded = [{k: v if isinstance(v, str) else round(v, 2) for k, v in asdict(f).items()} for f in found]
    line = {"at": SYSTEM.wall().isoformat(timespec="seconds"), "machine": machine(), "figures": rounded}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")


def main() -> int:
    """Measure both directions; return 1 when one needed too much memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="MiB of plaintext")
    parser.add_argument("--objects", type=int, default=1, help="written and read at once")
    parser.add_argument("--child", choices=DIRECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(asdict(measure(asked.child, asked.folder, asked.megabytes, asked.objects))))
        return 0
    with tempfile.TemporaryDirectory(prefix="blackstart-benchmark-") as made:
        folder = Path(made)
        with store_in(folder):
            found = [in_a_process_of_its_own(d, folder, asked.megabytes, asked.objects) for d in DIRECTIONS]
    report(found)
    over = [f.direction for f in found if f.peak_mib > LIMIT]
    if over:
        print(f"more than {LIMIT:g} MiB: {', '.join(over)}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
