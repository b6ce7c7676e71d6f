"""Why the server of a replay ended is read from its log; a limit that the primary raised meanwhile is raised here."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import MissingPart, RestoreFailed
from harness.physical.private_server import UNREACHED, Running, Unreached, connect, ended, is_refusal, running_server
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


@pytest.mark.night
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


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A data folder, of a server whose template1 takes no connections, and neither does `postgres` but for a test."""
    programs, folder = programs_of(18), tmp_path / "closed"
    programs.run("initdb", "-U", "postgres", "-D", str(folder), "--no-sync")
    run_on(
        programs, folder, tmp_path / "e", 20, "ALTER DATABASE template1 ALLOW_CONNECTIONS false", "CREATE DATABASE one"
    )
    return folder


def test_a_server_whose_template1_takes_no_connections_is_restored(closed: Path, tmp_path: Path) -> None:
    programs, place = programs_of(18), tmp_path / "run"
    replay(programs, closed, "postgres", {"recovery_target_timeline": "1"}, {})
    place.mkdir(mode=0o700)
    with running_server(programs, closed, place, {}) as process:
        wait_until(Running(process, place, "postgres").promoted, patience=30)
        with connect(place, "postgres") as session:
            assert session.info.dbname == "postgres"


@pytest.mark.night
def test_a_server_that_refuses_every_connection_is_not_waited_for(closed: Path, tmp_path: Path) -> None:
    """As one whose databases have a locale that this machine lacks: it was waited for for four hours."""
    programs, place = programs_of(18), tmp_path / "run"
    place.mkdir(mode=0o700)
    with running_server(programs, closed, place, {}) as process:
        wait_until(Running(process, place, "postgres").promoted, patience=30)
        with psycopg.connect(host=str(place), user="postgres", dbname="one", autocommit=True) as session:
            session.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
        server = Running(process, place, "postgres")
        with pytest.raises(NotYet):  # once is not for good
            server.state()
        with pytest.raises(RestoreFailed, match=r'refuses connections: .* "postgres" is not currently accepting'):
            wait_until(server.promoted, patience=30)


def test_what_passes_is_no_refusal() -> None:
    said = "connection failed: connection to server on socket /x/.s.PGSQL.5432 failed: FATAL:  "
    assert not is_refusal(psycopg.OperationalError(f"{said}the database system is starting up"))
    assert not is_refusal(psycopg.OperationalError(f"{said}terminating connection due to conflict with recovery"))
    assert not is_refusal(psycopg.OperationalError(f"{said}canceling statement due to conflict with recovery"))
    assert not is_refusal(psycopg.OperationalError("connection to server on socket failed: No such file or directory"))
    assert is_refusal(psycopg.OperationalError(f"{said}database locale is incompatible with operating system"))


def test_programs_find_the_locales_that_the_preflight_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCPATH", "/somewhere/locales")
    monkeypatch.delenv("LOCALE_ARCHIVE", raising=False)
    environment = programs_of(18).environment
    assert (environment["LOCPATH"], environment["LC_ALL"]) == ("/somewhere/locales", "C")
    assert "LOCALE_ARCHIVE" not in environment
