"""The commands of incremental backups and of one database, against a real server and a real object store."""

from __future__ import annotations

import re

import pytest

from harness.core.clock import SYSTEM
from harness.postgres.server import connect
from tests.cases.production import Production, blackstart, last, there

__all__ = ["there"]


@pytest.mark.night
def test_an_incremental_backup_and_one_database_of_it(
    there: Production, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = there.folder(tmp_path_factory.mktemp("operator"))
    assert blackstart(folder, "keys", "new").returncode == 0
    incremental = ("backup", "--mode", "incremental")
    refused = blackstart(folder, *incremental)
    assert refused.returncode == 3, refused.stdout
    assert "summarize_wal is off" in refused.stderr
    assert "Traceback" not in refused.stderr
    with connect(there.sql, "guestbook") as connection:
        connection.execute("ALTER SYSTEM SET summarize_wal = on")
        connection.execute("SELECT pg_reload_conf()")
        SYSTEM.sleep(1)
        full = blackstart(folder, "backup", "--mode", "physical")
        assert full.returncode == 0, full.stderr
        connection.execute("INSERT INTO entry VALUES (3000, 'in the second')")
        rows = connection.execute("SELECT count(*) FROM entry").fetchone()
        done = blackstart(folder, *incremental)
        assert done.returncode == 0, done.stderr + done.stdout
        connection.execute("DELETE FROM entry")
    assert f"what changed since backup {last(full)['backup']}" in str(last(done)["covered"])
    listed = blackstart(folder, "backups")
    assert re.search(rf" incremental +{last(full)['backup']} ", listed.stdout), listed.stdout
    checked = blackstart(folder, "verify", "--all")
    assert checked.returncode == 0, checked.stdout
    assert f"incremental, builds on {last(full)['backup']}" in checked.stdout

    server = f"postgresql://{there.sql.user}@{there.sql.outside}"
    one = ("restore", "--database", "guestbook", "--password", there.sql.password_ref, "--into-database")
    back = blackstart(folder, *one, f"{server}/guestbook")
    assert back.returncode == 2, back.stdout
    assert "is on the server that was backed up" in back.stderr
    copied = blackstart(folder, *one, f"{server}/guestbook_copy")
    assert copied.returncode == 0, copied.stderr + copied.stdout
    assert f"RESTORED database guestbook of {last(done)['backup']} to " in copied.stdout
    assert list((folder / "runs").glob("restore-*")) == []
    with connect(there.sql, "guestbook_copy") as connection:
        assert connection.execute("SELECT count(*) FROM entry").fetchone() == rows
    for words in ((), ("--into", "x", "--database", "guestbook"), ("--database", "guestbook")):
        wrong = blackstart(folder, "restore", *words)
        assert (wrong.returncode, "name --into FOLDER for the server, or" in wrong.stderr) == (2, True)
