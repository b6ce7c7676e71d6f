"""WAL of a server, received and shipped from one position to another by the receiver of `blackstart wal receive`.

`python -m benchmarks.repository.receive DECLARATION FROM UNTIL`, positions as `pg_lsn` shows them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event

from harness.core.journal import MemoryJournal
from harness.core.wal import read_lsn
from harness.estate.config import load_config
from harness.physical.receive import Receiver
from harness.physical.source import source_of
from harness.postgres.replication.connection import Replication
from harness.postgres.replication.stream import make_slot

SLOT = "bench_wal"


def main() -> None:
    """Receive, and print the position up to which the repository has the WAL."""
    declared, begin, end = sys.argv[1:]
    source = source_of(load_config(Path(declared)), Path("none"), "")
    with Replication(source.sql, "benchmark") as connection:
        make_slot(connection, SLOT, temporary=True)
        identity = connection.identify()
        receiver = Receiver(
            source.sql, source.repository, source.keys, SLOT, MemoryJournal(), budget=60.0, until=read_lsn(end)
        )
        receiver.receive(connection, identity, (identity.timeline, read_lsn(begin)), Event())


if __name__ == "__main__":
    main()
