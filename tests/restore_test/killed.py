"""A restore test on existing servers that was killed, and what was made there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from harness.core.service import Objects, Place, Sources, Tree
from harness.postgres.identity import system_facts
from harness.postgres.server import connect
from harness.restore_test.cleanup import Snapshot, take_snapshot
from harness.restore_test.undo import SNAPSHOT, SiteUndo
from harness.s3.client import client, ensure_bucket
from harness.s3.objects import RESTORED
from harness.substrate.embedded.undo_journal import JOURNAL, Undo, UndoJournal
from tests.cases.estate import CaseService
from tests.estate.existing_servers import ExistingServers

BACKUP = "20260101T000000.000000Z-0000000000"
OLD, NEW = "undo-old", "undo-new"
SERVICE = CaseService(declared=Sources(trees=(Tree("files", "files", ""),), objects=(Objects(OLD), Objects(NEW))))


@dataclass
class Killed:
    """A restore test on the existing servers that was killed. `before`: what they were; `place`: the site."""

    existing: ExistingServers
    run: Path
    files: Path
    place: Place = field(init=False)
    before: Snapshot = field(init=False)

    def __post_init__(self) -> None:
        self.files.mkdir()
        self.run.mkdir(parents=True)
        ensure_bucket(self.existing.site.place.s3, OLD)
        self.put(OLD, "replicated")
        estate = self.existing.estate(volumes=f'{{ files = "{self.files}" }}')
        self.place = estate.place
        config = self.existing.declare(volumes=f'{{ files = "{self.files}" }}')
        SiteUndo.begin(self.run, config, self.run / "logs")
        self.before = take_snapshot(self.place, (SERVICE,))

    def restored(self, **facts: object) -> None:
        """Note the restore, as the test did."""
        (self.run / "undo/before.json").write_bytes(SNAPSHOT.dump_json(self.before))
        system = system_facts(self.place.sql).identifier
        known: dict[str, object] = {"site": "dr", "system": system, "backup": BACKUP, "logs": str(self.run / "logs")}
        UndoJournal(self.run).note(Undo.CLEAR, **{**known, "databases": ["shop"], "roles": ["shop_role"], **facts})

    def put(self, bucket: str, key: str, backup: str = "") -> None:
        s3 = self.existing.site.place.s3
        ensure_bucket(s3, bucket)
        client(s3).put_object(bucket, key, BytesIO(b"o"), 1, metadata={RESTORED: backup} if backup else None)

    def sql(self, *statements: str) -> None:
        with connect(self.existing.site.place.sql) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def ago(self, **ago: float) -> None:
        """Set every time of its journal back: what is there was made so much later."""
        rows = [json.loads(line) for line in (self.run / JOURNAL).read_text().splitlines()]
        for row in rows:
            if "at" in row:
                row["at"] = (datetime.fromisoformat(row["at"]) - timedelta(**ago)).isoformat()
        (self.run / JOURNAL).write_text("".join(json.dumps(row) + "\n" for row in rows))

    @property
    def now(self) -> Snapshot:
        return take_snapshot(self.place, (SERVICE,))


@pytest.fixture
def killed(existing: ExistingServers, tmp_path: Path) -> Iterator[Killed]:
    made = Killed(existing, tmp_path / "runs/one", tmp_path / "files")
    yield made
    made.sql("DROP DATABASE IF EXISTS shop", "DROP ROLE IF EXISTS shop_role", "DROP ROLE IF EXISTS monitoring")
    store = client(existing.site.place.s3)
    for bucket in (OLD, NEW):
        if store.bucket_exists(bucket):
            for entry in store.list_objects(bucket, recursive=True, include_version=True):
                store.remove_object(bucket, str(entry.object_name), version_id=entry.version_id)
            store.remove_bucket(bucket)


def database(work: Killed) -> None:
    work.sql("CREATE ROLE shop_role", "CREATE DATABASE shop OWNER shop_role")


def file(work: Killed) -> None:
    (work.files / "a").mkdir()
    (work.files / "a/order.pdf").write_text("of the clients")


def new_bucket(work: Killed) -> None:
    work.put(NEW, "photo")


def same_backup(work: Killed) -> None:
    work.put(OLD, "photo", BACKUP)
