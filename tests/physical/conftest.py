"""A database server, a repository and a receiver for the tests of physical backups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import pytest

from harness.core.journal import MemoryJournal
from harness.physical.receive import Keys, Receiver
from harness.physical.source import PhysicalSource
from harness.repository.catalogue import Repository
from harness.substrate.embedded.substrate import Embedded
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, recipients
from tests.servers import DatabaseServer, start_database

__all__ = ["recipients"]


@dataclass(frozen=True, slots=True)
class Archive:
    """A server, and a repository in memory for its WAL."""

    db: DatabaseServer
    repository: Repository
    keys: Recipients

    def receiver(self, slot: str = "blackstart", budget: float = 0.3, **more: object) -> Receiver:
        keys = Keys(self.keys.public, self.keys.writer[0].decode())
        return Receiver(self.db.sql, self.repository, keys, slot, MemoryJournal(), budget, **more)  # type: ignore[arg-type]

    @property
    def source(self) -> PhysicalSource:
        keys = Keys(self.keys.public, self.keys.writer[0].decode())
        return PhysicalSource("shop", self.db.sql, self.repository, keys, None)

    @contextmanager
    def receiving(self, receiver: Receiver | None = None) -> Iterator[Receiver]:
        """Run a receiver in a thread; raise what it raises."""
        running, stop, failed = receiver or self.receiver(), Event(), list[BaseException]()

        def run() -> None:
            try:
                running.run(stop)
            except BaseException as error:  # noqa: BLE001 - raised below
                failed.append(error)

        thread = Thread(target=run)
        thread.start()
        try:
            yield running
        finally:
            stop.set()
            thread.join(60)
        if failed:
            raise failed[0]


@pytest.fixture(scope="module")
def server(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))


@pytest.fixture
def archive(server: DatabaseServer, recipients: Recipients) -> Iterator[Archive]:
    yield Archive(server, recipients.repository(MemoryStore()), recipients)
    server.execute("postgres", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")


def lsn(server: DatabaseServer) -> int:
    """Return the position up to which a server has written its WAL."""
    found = server.one("postgres", "SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
    return int(str(found))


def folder_of(server: DatabaseServer) -> Path:
    return server.site.volume("postgres").root / "data"  # type: ignore[attr-defined, no-any-return]
