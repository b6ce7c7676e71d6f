"""Physical backups beside pgBackRest, Barman and a pipe: `make bench-repository`.

One PostgreSQL with its data, one S3 store over TLS, all on loopback. Each round runs every side, in turning order.
After the first round each restored server is started and its rows are counted. A row a run is added to
`results/repository.jsonl`.

Not equal work, and in whose favour: blackstart authenticates and signs what it stores (pgBackRest: AES-256-CBC with
SHA-1, Barman: no encryption, pipe: AES-256-CTR); its `restore` includes pg_verifybackup, replay and promotion by a
server, so compare `restore` and `start` together; pgBackRest waits for its WAL in the archive, as blackstart does; the
others' backups hold no WAL (Barman) or that of the backup (pipe).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import page
from benchmarks.repository.measure import AS_USER, USER, busy, cpu_of, measure
from benchmarks.repository.servers import SEGMENTS, Servers, running, write_bytecode
from benchmarks.repository.sides import OURS, Sides, Work
from benchmarks.rows import add
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.parts.programs import program

NEEDED = ("setpriv", "openssl", "zstd", "bash", "tar")
SEGMENT = 16 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    `wall`, `cpu`, `server_cpu`, `store_cpu`: seconds; `others`: processors that the rest of the machine used; `memory`:
    MiB; `stored`: bytes; `rows`: of the database.
    """

    at: str
    commit: str
    processors: int
    gigabytes: float
    round: int
    side: str
    what: str
    code: int
    wall: float
    cpu: float
    server_cpu: float
    store_cpu: float
    others: float
    memory: float
    stored: int
    rows: int


def run(servers: Servers, work: Work, number: int, gigabytes: float, commit: str) -> Row:
    """Run one command and return its row; a failure is printed."""
    before = servers.stored(work.prefix) if work.prefix else 0
    os.sync()
    used, server, store, began = (
        busy(),
        cpu_of(servers.pid("postgres")),
        cpu_of(servers.pid("weed")),
        SYSTEM.monotonic(),
    )
    cost = measure(work.command, servers.env, servers.work)
    spent = SYSTEM.monotonic() - began
    server, store = cpu_of(servers.pid("postgres")) - server, cpu_of(servers.pid("weed")) - store
    others = max(0.0, busy() - used - cost.cpu - server - store) / spent
    stored = servers.stored(work.prefix) - before if work.prefix else 0
    if cost.code:
        print(f"{work.side}: {work.what}: exit code {cost.code}: {cost.errors}", flush=True)
    at = SYSTEM.wall().isoformat(timespec="seconds")
    row = Row(
        at, commit, os.cpu_count() or 0, gigabytes, number, work.side, work.what,
        cost.code, cost.wall, cost.cpu, round(server, 2), round(store, 2), round(others, 2), cost.memory, stored,
        servers.rows,
    )  # fmt: skip
    print(
        f"round {number}: {work.side}: {work.what}: {row.wall} s, CPU {row.cpu} s, server {row.server_cpu}, store "
        f"{row.store_cpu}, others {row.others}, {row.memory} MiB, {row.stored} bytes",
        flush=True,
    )
    return row


def rounds(servers: Servers, asked: argparse.Namespace, commit: str) -> None:
    """Run the rounds, and add their rows."""
    kept = sorted(one.name for one in (servers.work / "keep").iterdir())[:SEGMENTS]
    first, last = _position(kept[0]), _position(kept[-1], SEGMENT)
    port = servers.ports[10]

    def all_of(found: Sequence[Work], number: int) -> None:
        chosen = [one for one in found if asked.side in ("", one.side) and one.what in asked.what]
        turn = number % max(len(chosen), 1)
        for one in (*chosen[turn:], *chosen[:turn]):
            row = run(servers, one, number, asked.gigabytes, commit)
            if asked.record:
                add("repository", row)

    for number in range(asked.rounds):
        sides = Sides(servers, number, port)
        servers.sql("CHECKPOINT")
        all_of(sides.full(), number)
        all_of(sides.restore(), number)
        all_of(sides.start(), number)
        _require_rows(servers)
        for folder in (servers.work / "out").iterdir():
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
        all_of(sides.verify(), number)
        if "incremental" in asked.what:
            servers.change(number)
            all_of(sides.incremental(), number)
        all_of(sides.wal(first, last), number)


def _require_rows(servers: Servers) -> None:
    """Raise HarnessError unless every restored server has all rows."""
    for found in (servers.work / "out").glob("*.rows"):
        if int(found.read_text() or 0) != servers.rows:
            raise HarnessError(f"{found.name}: {found.read_text().strip()} rows instead of {servers.rows}")


def _position(name: str, beyond: int = 0) -> str:
    at = (int(name[8:16], 16) << 32) + int(name[16:], 16) * SEGMENT + beyond
    return f"{at >> 32:X}/{at & 0xFFFFFFFF:X}"


def main() -> None:
    """Fetch the rivals where they are missing, run the rounds, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", default="", help=f"only this one, such as {OURS}")
    what = ["full", "restore", "start", "verify", "incremental", "WAL"]
    parser.add_argument("--what", nargs="+", default=what, help=f"of {', '.join(what)}")
    parser.add_argument("--record", action="store_true", help="add the rows to results/repository.jsonl")
    asked = parser.parse_args()
    if lacking := [name for name in NEEDED if shutil.which(name) is None]:
        raise HarnessError(f"no program {', '.join(lacking)} on PATH; apt-get install it")
    if os.geteuid():
        raise HarnessError("run it as root: the sides run as another user")
    for path in (*map(program, ("postgres", "weed", "rclone")), sys.executable):
        if subprocess.run([*AS_USER, "test", "-x", path], check=False).returncode:
            raise HarnessError(f"{path}: closed to user {USER}, whom the sides run as; chmod o+x the folders above it")
    write_bytecode()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    with running(asked.gigabytes) as servers:
        rounds(servers, asked, commit.strip())
    if asked.record:
        page.write()


if __name__ == "__main__":
    main()
