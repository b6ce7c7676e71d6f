"""Names, settings and folders of strangers: a backup is taken, restored, and a server starts on what was restored."""

from __future__ import annotations

import os
from datetime import timedelta, timezone
from pathlib import Path

import psycopg
import pytest

from harness.core.clock import SYSTEM
from harness.core.journal import MemoryJournal
from harness.core.wal import read_history
from harness.evidence.journal import JournalFile
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.restore import restore
from harness.physical.target import read_target
from harness.postgres.server import connect
from harness.vault import read_text_secret
from tests.physical.conftest import Archive
from tests.physical.test_put_back import alone, receiving, shipped
from tests.physical.test_restore import running

__all__ = ["alone"]
SETTINGS = {
    "TimeZone": "<+0545>-05:45",
    "log_timezone": "Asia/Kathmandu",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "default_transaction_read_only": "on",
    "log_line_prefix": "FATAL: %m ",
}


def rows(folder: Path, place: Path) -> list[tuple[int]]:
    with running(folder, place) as session:
        return session.execute("SELECT i FROM kept ORDER BY i").fetchall()


def test_names_that_are_no_utf_8_text(alone: Archive, tmp_path: Path) -> None:
    """The whole backup failed at the setting of one role: `invalid byte sequence for encoding "UTF8"`."""
    at = alone.db.sql
    with connect(at, "postgres") as session:
        session.execute("CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    with psycopg.connect(
        host=at.outside.host, port=at.outside.port, user=at.user, password=read_text_secret(at.password_ref),
        dbname="raw", client_encoding="SQL_ASCII", autocommit=True,
    ) as session:  # fmt: skip
        session.execute(b"CREATE DATABASE \"caf\xe9\" ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
        session.execute(b'CREATE ROLE "ren\xe9"')
        session.execute(b"ALTER ROLE \"ren\xe9\" SET local_preload_libraries = 'caf\xe9'")
    take_physical(alone.source, MemoryJournal())
    wanted, key = Wanted(read_target("latest")), alone.keys.dr[0]
    done = restore(alone.repository, key, wanted, tmp_path / "data", MemoryJournal())
    said = "\n".join(done.warnings)
    assert 'local_preload_libraries of role "ren\\xe9": ' in said
    assert "database caf\\xe9: libraries and collations are not compared: " in said
    assert rows(done.folder, tmp_path / "run") == [(1,)]


@pytest.mark.parametrize("name", ['it\'s "late"\n%p \\ =é', "late\n7\t0/1\tafter LSN 0/1", "late\x0b\u2028\r"])
def test_a_restore_point_of_several_lines_on_a_server_with_settings_of_its_own(
    alone: Archive, tmp_path: Path, name: str
) -> None:
    """PostgreSQL writes the name into the history of the new timeline, and did not start on what was restored."""
    with connect(alone.db.sql, "postgres") as session:
        for setting, value in SETTINGS.items():
            session.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
        session.execute("SELECT pg_reload_conf()")
    with receiving(alone):
        take_physical(alone.source, MemoryJournal())
        with connect(alone.db.sql, "postgres") as session:
            session.execute("INSERT INTO kept VALUES (2)")
            session.execute("SELECT pg_create_restore_point(%s)", (name,))
            at = SYSTEM.wall().astimezone(timezone(-timedelta(hours=9, minutes=30)))
            session.execute("INSERT INTO kept VALUES (3)")
        shipped(alone)
    for number, target in enumerate((f"name={name}", f"time={at.isoformat()}")):
        wanted, key = Wanted(read_target(target)), alone.keys.dr[0]
        done = restore(alone.repository, key, wanted, tmp_path / f"data{number}", MemoryJournal())
        assert rows(done.folder, tmp_path / f"run{number}") == [(1,), (2,)]
    text = (tmp_path / "data0/pg_wal/00000002.history").read_bytes()
    assert len(read_history(text)) == 1


@pytest.mark.parametrize("name", [b"line\nfeed", b"by\xfete", b"per%cent=%p,x:y '\"$HOME`id`\\"])
def test_a_folder_of_any_name(alone: Archive, tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    wanted, key = Wanted(read_target("latest")), alone.keys.dr[0]
    done = restore(alone.repository, key, wanted, folder, JournalFile(tmp_path / "journal.jsonl"))
    assert rows(done.folder, tmp_path / "run") == [(1,)]
