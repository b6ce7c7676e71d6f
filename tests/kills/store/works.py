"""The commands that are killed at their calls to the store, and what the repository holds before each."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from harness.core.clock import SYSTEM
from harness.core.wal import SEGMENT, segment_name
from harness.pem import fingerprint
from harness.repository.format.recipients import new_pair, read_public
from tests.kills.store.bench import Bench, State

LARGE = 18 << 20  # bytes that cannot be compressed: more than one part of an upload
RECEIVED = 45  # calls after which the receiver is stopped
EVERY = 0.15  # seconds between two writes while WAL is received
LARGE_SEGMENT = 32 << 20
HEADER, HEADER_START, HEADER_SIZE = 40, 8, 32  # XLogLongPageHeaderData of xlog_internal.h: its bytes, places in it
ADDED, REMOVED = "added.pub", "secrets/primary/recipient-escrow.pub"


@dataclass(frozen=True)
class Work:
    """A command. `again`: it is run once more after each kill, to its end; `way`: how what is listed is restored.

    `recipients`: fingerprints of those that data keys may be wrapped to.
    """

    name: str
    words: tuple[str, ...]
    base: State
    recipients: frozenset[str]
    way: str = "physical"
    again: bool = True
    meanwhile: Callable[[Bench, int], None] | None = None


def recipients(bench: Bench, *names: str) -> frozenset[str]:
    return frozenset(fingerprint(read_public((bench.folder / name).read_bytes())) for name in names)


def sealed_to(bench: Bench) -> frozenset[str]:
    return recipients(bench, "secrets/primary/recipient-dr.pub", REMOVED)


def enlarge(bench: Bench) -> None:
    """Give the database a table that does not fit into one part of an upload."""
    bench.write("CREATE TABLE IF NOT EXISTS large (data bytea)", "TRUNCATE large")
    bench.write("INSERT INTO large VALUES (%s)", data=secrets.token_bytes(LARGE))


def after_one(bench: Bench, *words: str) -> State:
    """Return a repository with one small backup, taken by a command; the database is large afterwards."""
    bench.write("DROP TABLE IF EXISTS large", "CHECKPOINT")
    bench.reset(State())
    bench.done(*words)
    enlarge(bench)
    return bench.state()


def logical(bench: Bench) -> Work:
    base = after_one(bench, "backup")
    return Work("logical backup", ("backup",), base, sealed_to(bench), way="logical", again=False)


def physical(bench: Bench) -> Work:
    words = ("backup", "--mode", "physical")
    return Work("physical backup", words, after_one(bench, *words), sealed_to(bench), again=False)


def incremental(bench: Bench) -> Work:
    base = after_one(bench, "backup", "--mode", "physical")
    return Work("incremental backup", ("backup", "--mode", "incremental"), base, sealed_to(bench), again=False)


def receive(bench: Bench) -> Work:
    """WAL that is received while the server writes, one segment of it not compressible."""
    bench.reset(State())
    return Work("wal receive", ("wal", "receive"), State(), sealed_to(bench), way="wal", meanwhile=written)


def written(bench: Bench, pid: int) -> None:
    """Write while a receiver runs, and stop it when it has called the store often enough."""

    def work() -> None:
        number = 0
        while len(bench.proxy.calls) < RECEIVED and not bench.proxy.hit.is_set() and alive(pid):
            if bench.proxy.calls:
                number += 1
                if number == 1:
                    enlarge(bench)
                bench.write("INSERT INTO entry SELECT max(id) + 1, 'more' FROM entry")
                if number % 3:
                    bench.write("SELECT pg_switch_wal()")
            SYSTEM.sleep(EVERY)
        if not bench.proxy.hit.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    Thread(target=work, daemon=True).start()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def push(bench: Bench) -> Work:
    """A segment of a server with segments of 32 MiB: it does not fit into one part of an upload."""
    data, copy = Path(str(bench.ask("SHOW data_directory"))), bench.folder / "copy"
    real = next(one for one in (data / "pg_wal").iterdir() if SEGMENT.fullmatch(one.name))
    header = bytearray(real.read_bytes()[:HEADER])
    struct.pack_into("<Q", header, HEADER_START, LARGE_SEGMENT)
    struct.pack_into("<I", header, HEADER_SIZE, LARGE_SEGMENT)
    name = segment_name(1, LARGE_SEGMENT, LARGE_SEGMENT)
    for part in ("pg_wal", "global"):
        (copy / part).mkdir(parents=True, exist_ok=True)
    (copy / "pg_wal" / name).write_bytes(header + secrets.token_bytes(LARGE_SEGMENT - HEADER))
    shutil.copy2(data / "global/pg_control", copy / "global/pg_control")
    return Work("wal push", ("wal", "push", f"copy/pg_wal/{name}"), State(), sealed_to(bench), way="wal")


def small(bench: Bench) -> State:
    """Return a repository of two logical, two physical backups and the WAL between them, all opened once."""
    bench.write("DROP TABLE IF EXISTS large", "CHECKPOINT")
    bench.reset(State())
    for _ in range(2):
        bench.done("backup")
        bench.done("backup", "--mode", "physical")
        bench.write("SELECT pg_switch_wal()")
    bench.done("verify", "--all")
    return bench.state()


def retention(bench: Bench) -> Work:
    return Work("retention", ("retention", "--apply"), small(bench), sealed_to(bench))


def rewrap(bench: Bench) -> Work:
    base = small(bench)
    (bench.folder / ADDED).write_bytes(new_pair()[1])
    words = ("keys", "rewrap", "--private", "secrets/dr/recipient.pem", "--add", ADDED, "--remove", REMOVED)
    return Work("keys rewrap", words, base, sealed_to(bench) | recipients(bench, ADDED))


WORKS: dict[str, Callable[[Bench], Work]] = {
    "logical": logical,
    "physical": physical,
    "incremental": incremental,
    "receive": receive,
    "push": push,
    "retention": retention,
    "rewrap": rewrap,
}
