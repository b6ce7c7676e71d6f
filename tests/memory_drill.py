"""A drill of the estate in memory: drill, strike, recovery and record are real, the environment is in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path

import pytest

from harness.backup.orchestrator import BackupOrchestrator
from harness.core.judge import Promise
from harness.core.service import PublicDoor, Sql
from harness.drill.drill import Drill
from harness.drill.environment import DrillEnvironment
from harness.drill.seed import IDENTITY_FILE
from harness.drill.template import Template
from harness.estate.connections import Connections
from harness.evidence.folder import JOURNAL, RecordFolder
from harness.evidence.journal import JournalFile
from harness.evidence.record import RecordHeader, open_record
from harness.recovery.recovery import Recovery
from harness.repository.catalogue import Repository
from harness.s3.client import tag
from tests.memory_estate import BUCKET, TAG, MemoryEstate

HOUR, RATE = timedelta(hours=1), 500.0
PROMISE = Promise("site loss", HOUR, HOUR, HOUR, "operations", "because")


class NoDeliveries:
    """The customers' receiver of an estate that sends nothing."""

    deliveries: tuple[object, ...] = ()

    def away(self) -> AbstractContextManager[None]:
        return nullcontext()

    def repeats(self) -> tuple[str, ...]:
        return ()


class MemoryEnvironment(DrillEnvironment):
    """The environment of a drill, made of the parts of an estate in memory."""

    def __init__(self, estate: MemoryEstate) -> None:
        self.estate = estate
        self.config, self.journal, self.services = estate.config, estate.journal, (estate.shop,)
        self.run = self.logs = estate.folder
        self.template = Template(estate.folder)
        self.substrate, self.secrets = estate.fake, estate.secrets
        self.primary, self.dr = estate.site("primary"), estate.site("dr")
        self.make = lambda _run, _logs: estate.fake
        self.offsite = self._offsite_with_room = self.edge = self.replicator = self.archiving = self.standby = None
        self.copied = None
        self.receiver = NoDeliveries()  # type: ignore[assignment]

    def start_data(self) -> None:
        self.estate.start_primary()
        tag(self.primary.place.s3, BUCKET, TAG)

    def start_services(self) -> None:
        """The shop is started with its data."""

    @property
    def connections(self) -> Connections:
        return self.estate.connections

    @property
    def repository(self) -> Repository:
        return self.estate.repository

    @property
    def door(self) -> PublicDoor:
        return self.estate.edge

    @property
    def backups(self) -> BackupOrchestrator:
        return self.estate.orchestrator

    def recovery(
        self, freshness: Callable[[Sql], bool | None], on_bytes: Callable[[int], None] = lambda _count: None
    ) -> Recovery:
        return self.estate.recovery(freshness=freshness, on_bytes=on_bytes)

    def close(self) -> None:
        self.substrate.sweep()


def header(mode: str = "drill") -> RecordHeader:
    return RecordHeader(f"{mode} in memory", "The estate comes back.", PROMISE, initiator="tests", mode=mode)


def drill_of(estate: MemoryEstate, folder: Path, about: RecordHeader | None = None, *, on_disk: bool = False) -> Drill:
    """Return an opened drill, whose record says until its end that it was not concluded; its journal a file, if asked.

    `about`: what its record says of it.
    """
    about = about or header()
    identity = {"system": estate.servers.postgres["primary"].identifier, "bucket": BUCKET, "tag": TAG}
    (estate.folder / IDENTITY_FILE).write_text(json.dumps(identity))
    made = RecordFolder.make(folder, "drill in memory")
    if on_disk:
        estate.journal = JournalFile(made.path / JOURNAL)
    estate.journal.mark("opened", "drill in memory")
    open_record(about, made, estate.journal)
    return Drill(about, MemoryEnvironment(estate), made, estate.journal, ask=estate.answers)


def start(drill: Drill) -> None:
    """Start the estate and a client load whose first writes take milliseconds."""
    drill.environment.start_data()
    drill.start_client_load(RATE)


@pytest.fixture
def drill(memory_estate: MemoryEstate, tmp_path: Path) -> Drill:
    return drill_of(memory_estate, tmp_path)
