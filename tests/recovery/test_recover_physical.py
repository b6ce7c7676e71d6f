"""`blackstart recover` from a base backup and its WAL, with the bucket and the key of the DR site alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.patience import PATIENCE
from harness.postgres.server import ask_row, connect
from tests.cases.production import begun, blackstart, production
from tests.recovery.disasters import disaster_of

pytestmark = pytest.mark.programs
LATE = "hello, written after the backup"
RECEIVED = "SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= pg_current_wal_flush_lsn()"


def physical(folder: Path) -> Path:
    declared = folder / "estate.toml"
    declared.write_text(declared.read_text() + '[backup]\nmode = "physical"\nwal_seconds = 1\n')
    return folder


@pytest.mark.night
def test_what_was_written_after_the_backup_is_recovered_and_so_is_its_password(tmp_path: Path) -> None:
    with production(tmp_path / "production") as there:
        operator = physical(there.folder(tmp_path / "operator"))
        for words in (("keys", "new"), ("backup",)):
            done = blackstart(operator, *words)
            assert done.returncode == 0, done.stderr
        receiver = begun(operator, "wal", "receive")
        try:
            with connect(there.sql, "guestbook") as connection:
                connection.execute("INSERT INTO entry VALUES (501, %s)", (LATE,))

            def received() -> None:
                if not ask_row(there.sql, RECEIVED)[0]:
                    assert receiver.poll() is None
                    raise NotYet("not all WAL is shipped")

            wait_until(received, patience=PATIENCE.wal_shipped)
        finally:
            receiver.terminate()
            output, errors = receiver.communicate()
        assert receiver.returncode == 0, output + errors
        with disaster_of(there, operator / "secrets/dr", tmp_path / "disaster") as disaster:
            physical(disaster.folder)
            there.primary.destroy()
            done = blackstart(disaster.folder, *disaster.words)
            assert done.returncode == 0, done.stderr
            front = json.loads((disaster.folder / "recovered.json").read_text())["public"]
            assert LATE in disaster.guests(front)
            (record,) = (json.loads(one.read_text()) for one in disaster.folder.glob("reports/drills/*/record.json"))
            assert (record["verdict"], record["backup"]["mode"]) == ("KEPT", "physical"), record["reasons"]
            assert blackstart(disaster.folder, "release", "--live", "recovered.json").returncode == 0
