"""Why the server of a replay ended is read from its log; a limit that the primary raised meanwhile is raised here."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from harness.core.clock import wait_until
from harness.core.errors import MissingPart
from harness.physical.private_server import UNREACHED, Running, Unreached, ended, running_server
from harness.physical.programs import Programs, programs_of
from harness.physical.server import replay

EARLY = "2026-03-01 12:00:00 GMT [1] FATAL:  the database system is not yet accepting connections\n"


def test_a_connection_that_came_too_early_is_not_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{EARLY}2026 [2] FATAL:  {UNREACHED}\n{EARLY}")
    assert isinstance(ended(log), Unreached)
    log.write_text(f"{EARLY}2026 [2] FATAL:  could not open file\n{EARLY}")
    assert "could not open file" in str(ended(log))
    log.write_text("")
    assert "no log" in str(ended(log))


def test_programs_of_another_major_are_not_taken() -> None:
    with pytest.raises(MissingPart, match="postgres of PostgreSQL 99 is missing"):
        programs_of(99)


def run_on(programs: Programs, folder: Path, place: Path, connections: int, *statements: str) -> None:
    """Run a primary with that max_connections, carry out the statements, and then take a base backup beside it."""
    place.mkdir(mode=0o700)
    (place / "open").write_text("local all all trust\nlocal replication all trust\n")
    settings = {"max_connections": str(connections), "hba_file": str(place / "open")}
    with running_server(programs, folder, place, settings) as process:
        wait_until(Running(process, place, "postgres").promoted, patience=30)
        with psycopg.connect(host=str(place), user="postgres", dbname="postgres", autocommit=True) as session:
            for statement in statements:
                session.execute(statement.encode())
        if not statements:
            copy = folder.with_name("copy")
            programs.run("pg_basebackup", "-h", str(place), "-U", "postgres", "-c", "fast", "-D", str(copy))


@pytest.mark.parametrize("target", [{}, {"recovery_target_name": "after"}], ids=["latest", "name"])
def test_limits_that_were_raised_after_the_base_backup_are_raised_for_the_replay(
    tmp_path: Path, target: dict[str, str]
) -> None:
    programs, primary, copy = programs_of(18), tmp_path / "primary", tmp_path / "copy"
    programs.run("initdb", "-U", "postgres", "-D", str(primary), "--no-sync")
    run_on(programs, primary, tmp_path / "a", 20)
    run_on(programs, primary, tmp_path / "b", 60, "CREATE TABLE kept AS SELECT 1 AS i")
    run_on(programs, primary, tmp_path / "c", 40, "INSERT INTO kept VALUES (2)")
    run_on(
        programs, primary, tmp_path / "d", 90, "SELECT pg_create_restore_point('after')", "INSERT INTO kept VALUES (3)"
    )
    shutil.rmtree(copy / "pg_wal")
    shutil.copytree(primary / "pg_wal", copy / "pg_wal")
    replay(programs, copy, "postgres", {"recovery_target_timeline": "1"}, target)
    place = tmp_path / "run"
    place.mkdir(mode=0o700)
    with running_server(programs, copy, place, {}) as process:
        wait_until(Running(process, place, "postgres").promoted, patience=30)
        with psycopg.connect(host=str(place), user="postgres", dbname="postgres") as session:
            rows = session.execute("SELECT i FROM kept ORDER BY i").fetchall()
    assert rows == [(1,), (2,), (3,)][: 2 if target else 3]
