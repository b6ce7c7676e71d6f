"""Physical backups, WAL and status by a role that may replicate and nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.postgres.server import connect
from tests.cases.production import Production, blackstart, there
from tests.physical.test_commands import receiving

__all__ = ["there"]
pytestmark = pytest.mark.programs
PASSWORD = "ship:it's"
ROLE = b"CREATE ROLE shipper LOGIN REPLICATION PASSWORD 'ship:it''s'"


def test_the_right_to_replicate_is_enough_for_every_command(there: Production, tmp_path: Path) -> None:
    with connect(there.sql, "postgres") as connection:
        connection.execute(ROLE)
    folder = there.folder(tmp_path)
    at = there.sql.outside
    file = folder / "estate.toml"
    file.write_text(file.read_text().replace(f'sql = "{at}"', f'sql = "postgresql://shipper@{at}/postgres"'))
    (folder / "secrets/primary/postgres-superuser").write_text(PASSWORD)
    good(folder, "keys", "new")
    good(folder, "backup", "--mode", "physical")
    with receiving(folder):
        with connect(there.sql, "guestbook") as connection:
            connection.execute("INSERT INTO entry VALUES (9001, 'late')")
            connection.execute("SELECT pg_catalog.pg_create_restore_point('late')")
        good(folder, "backup", "--mode", "physical")
        status = blackstart(folder, "status")
        assert "does not say its state" not in status.stdout
        assert "replication slot: keeps unknown" not in status.stdout
    good(folder, "verify", "--all")
    good(folder, "restore", "--to", "name=late", "--into", "restored")
    refused = blackstart(folder, "backup")
    assert refused.returncode == 1
    assert "user shipper cannot take a full backup: lacks pg_authid" in refused.stderr


def good(folder: Path, *words: str) -> None:
    done = blackstart(folder, *words)
    assert done.returncode == 0, done.stderr + done.stdout
