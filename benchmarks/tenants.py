"""A backup of a server with many databases: `python -m benchmarks.tenants [--databases 200] [--megabytes 5]`.

With `--tables 20000` one more database has that many tables, and the backup is restored and compared as well. While the
backup runs, another session counts the connections of clients. A row is added to `results/tenants.jsonl`. Ends with 1
when there were more connections than `[backup] parallel` + 2, or when the process needed more than 256 MiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from psycopg import sql as compose

from benchmarks import page
from benchmarks.logical import DATABASE, Bench, bench
from benchmarks.rows import add
from harness.core.clock import SYSTEM
from harness.core.journal import MemoryJournal
from harness.core.service import Sql
from harness.estate.backup_config import BackupTable
from harness.estate.secrets import PRIVATE_KEY
from harness.estate.site import EstateSite
from harness.postgres.server import connect
from harness.recovery.restore import Restore
from harness.substrate.embedded.substrate import Embedded
from harness.vault import read_text_secret

LIMIT_MIB, SPARE = 256, 2
APPLICATION = "blackstart benchmark"
CLIENTS = (
    "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> %s"
)
FILL = """
CREATE PROCEDURE fill(count int) LANGUAGE plpgsql AS $$ BEGIN
FOR i IN 1..count LOOP
    EXECUTE format('CREATE TABLE t_%s (id serial PRIMARY KEY, note text NOT NULL, made timestamptz DEFAULT now())', i);
    EXECUTE format('INSERT INTO t_%s (note) SELECT md5(n::text) FROM generate_series(1, 10) n', i);
    IF i % 500 = 0 THEN COMMIT; END IF;
END LOOP; END $$
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One backup. `wall`: seconds; `connections`: the most at a time; `peak_mib`: resident memory of this process.

    `tables`: of one more database; `restore`: seconds of the restore with its comparison, 0 without one.
    """

    at: str
    processors: int
    load: float
    databases: int
    megabytes: int
    wall: float
    connections: int
    peak_mib: int
    stored: int
    tables: int = 0
    restore: float = 0.0


@contextmanager
def counted(sql: Sql) -> Iterator[list[int]]:
    """Yield the numbers of clients that were seen so far; another one is added all the time."""
    seen, ended = [0], Event()

    def watch() -> None:
        with connect(sql, application=APPLICATION) as connection:
            while not ended.wait(0.01):
                ((count,),) = connection.execute(CLIENTS.encode(), (APPLICATION,)).fetchall()
                seen.append(count)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def copies(running: Bench, count: int) -> None:
    """Copy the filled database until there are `count` databases."""
    with connect(running.primary.place.sql) as connection:
        for number in range(1, count):
            query = compose.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
            name = compose.Identifier(f"tenant_{number}")
            connection.execute(query.format(name, compose.Identifier(DATABASE)))


def fill(running: Bench, tables: int) -> None:
    """Make a database with that many tables, each with a key, a sequence and ten rows."""
    with connect(running.primary.place.sql) as connection:
        connection.execute("CREATE DATABASE wide")
    with connect(running.primary.place.sql, "wide") as connection:
        connection.execute(FILL)
        connection.execute("CALL fill(%s)", (tables,))
        connection.execute("DROP PROCEDURE fill")


def restored(running: Bench) -> float:
    """Restore the backup onto a new server and compare it; return the seconds of that."""
    substrate = Embedded(running.folder / "dr", running.folder / "dr-logs")
    try:
        dr = EstateSite(substrate.site("dr"), running.secrets.of("dr"), {})
        dr.activate()
        backup = running.repository.latest_valid(read_text_secret(dr.secrets[PRIVATE_KEY])).backup
        work, began = Restore(dr.place, (), backup, MemoryJournal(), lambda _count: None), SYSTEM.monotonic()
        for step in (work.prepare, work.open, work.execute):
            step()
        work.check(lambda _sql: None)
        return SYSTEM.monotonic() - began
    finally:
        substrate.sweep()


def main() -> int:
    """Measure, print the row and write the page; return 1 beyond a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=5)
    parser.add_argument("--tables", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blackstart-benchmark-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        with bench(folder, asked.megabytes) as running:
            copies(running, asked.databases)
            if asked.tables:
                fill(running, asked.tables)
            load, began = os.getloadavg()[0], SYSTEM.monotonic()
            with counted(running.primary.place.sql) as seen:
                stored = running.back_up()
            wall = SYSTEM.monotonic() - began
            restore = restored(running) if asked.tables else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    at = SYSTEM.wall().isoformat(timespec="seconds")
    figures = (
        asked.databases,
        asked.megabytes,
        round(wall, 1),
        max(seen),
        peak,
        stored,
        asked.tables,
        round(restore, 1),
    )
    row = Row(at, os.cpu_count() or 0, round(load, 1), *figures)
    print(row)
    add("tenants", row)
    page.write()
    return int(row.connections > BackupTable().parallel + SPARE or row.peak_mib > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main())
