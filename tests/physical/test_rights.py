"""Rights of the role of physical backups: `check` and the backup say the same, and what it is not told is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.journal import MemoryJournal
from harness.core.service import Sql
from harness.physical import required
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.required import ask_required
from harness.physical.restore import restore
from harness.physical.target import read_target
from harness.vault import read_text_secret
from tests.physical.conftest import Archive
from tests.physical.test_required import ENDLESS, SLOT, begins, refused, replicator

__all__ = ["replicator"]
TOLD = (
    "GRANT pg_read_all_settings TO plain",
    "GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO plain",
    "GRANT SELECT ON pg_file_settings TO plain",
    "GRANT CONNECT ON DATABASE closed TO plain",
)


def told(archive: Archive, sql: Sql, folder: Path) -> tuple[str, ...]:
    """Return what a restore of a backup that the role takes says of what it did not compare."""
    take_physical(replace(archive.source, sql=sql), MemoryJournal())
    done = restore(
        archive.repository, archive.keys.dr[0], Wanted(read_target("latest")), folder, MemoryJournal(), elsewhere=True
    )
    return tuple(line for line in done.warnings if "not compared" in line)


@pytest.fixture
def plain(archive: Archive, replicator: Sql) -> Iterator[Sql]:
    """Return a role that may replicate and no more, on a server with a database that it may not connect to."""
    server = archive.db
    server.execute("postgres", "ALTER ROLE plain REPLICATION", "CREATE DATABASE closed")
    server.execute("postgres", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    yield replicator
    server.execute("postgres", "DROP DATABASE closed", "DROP OWNED BY plain")


@pytest.mark.night
def test_what_the_role_is_not_told_is_said_and_its_grants_are_the_remedy(
    archive: Archive, plain: Sql, tmp_path: Path
) -> None:
    """The libraries that a server loads were not compared, in silence."""
    found = ask_required(plain, SLOT)
    assert found.failures == ()
    begins(
        found.warnings,
        ENDLESS,
        "user plain is not told shared_preload_libraries, session_preload_libraries, local_preload_libraries of",
        "user plain may not connect to closed, and what is in there is not compared at a restore",
    )
    assert all(any(grant in line for line in found.warnings) for grant in TOLD)
    settings, databases = told(archive, plain, tmp_path / "before")
    assert settings.startswith(
        "shared_preload_libraries, session_preload_libraries, local_preload_libraries: not compared"
    )
    assert databases.startswith("database closed: libraries and collations are not compared: ")
    archive.db.execute("postgres", *TOLD[:2])
    assert ask_required(plain, SLOT).failures == ()
    (settings, _) = told(archive, plain, tmp_path / "half")  # the backup failed: the function alone does not do
    assert settings.startswith("session_preload_libraries, local_preload_libraries: not compared")
    archive.db.execute("postgres", *TOLD[2:])
    begins(ask_required(plain, SLOT).warnings, ENDLESS)
    assert told(archive, plain, tmp_path / "after") == ()


def test_functions_that_were_revoked_and_a_limit_of_connections_are_said_before_the_backup(
    archive: Archive, plain: Sql
) -> None:
    """`blackstart check` passed, and the backup failed after it had begun."""
    server = archive.db
    functions = "FUNCTION pg_control_system(), pg_control_checkpoint()"
    server.execute("postgres", f"REVOKE EXECUTE ON {functions} FROM PUBLIC", "ALTER ROLE plain CONNECTION LIMIT 1")
    try:
        begins(
            ask_required(plain, SLOT).failures,
            "user plain may not execute pg_control_system() and pg_control_checkpoint(); GRANT EXECUTE ON FUNCTION",
            "user plain has CONNECTION LIMIT 1, and a physical backup needs 2; ALTER ROLE plain CONNECTION LIMIT 3",
        )
        refused(archive, plain)
        server.execute("postgres", f"GRANT EXECUTE ON {functions} TO plain", "ALTER ROLE plain CONNECTION LIMIT 2")
        found = ask_required(plain, SLOT)
        assert found.failures == ()
        assert "user plain has CONNECTION LIMIT 2, and `blackstart status` beside a backup needs 3" in str(
            found.warnings
        )
        source = replace(archive.source, sql=plain)
        with archive.receiving(replace(archive.receiver(slot=source.slot), sql=plain)):  # it was refused
            take_physical(source, MemoryJournal())
    finally:
        server.execute("postgres", f"GRANT EXECUTE ON {functions} TO PUBLIC")


@pytest.mark.parametrize(("major", "minor", "needs"), [(15, 10, 4), (15, 11, 2), (17, 2, 4), (18, 0, 2)])
def test_wal_senders_count_for_the_limit_of_older_minor_releases(
    archive: Archive, major: int, minor: int, needs: int
) -> None:
    found = replace(required._ask(archive.db.sql, SLOT), major=major, minor=minor, connections=needs)
    assert not any("CONNECTION LIMIT" in line for line in required._failures(found))
    (line,) = required._failures(replace(found, connections=needs - 1))
    assert f"has CONNECTION LIMIT {needs - 1}, and a physical backup needs {needs}; ALTER ROLE" in line


def test_a_remedy_is_a_statement_that_the_server_takes(archive: Archive) -> None:
    """Names were not quoted in it."""
    server, role = archive.db, '"Back-up"'
    server.execute("postgres", f"CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 1", 'CREATE DATABASE "a B"')
    server.execute("postgres", 'REVOKE CONNECT ON DATABASE "a B" FROM PUBLIC')
    sql = replace(server.sql, user="Back-up")
    try:
        server.execute("postgres", f"ALTER ROLE {role} PASSWORD '{read_text_secret(sql.password_ref)}'")
        found = ask_required(sql, SLOT)
        lines = (*found.failures, *found.warnings)
        parts = [part for line in lines if line.startswith(f"user {role} ") for part in line.split("; ")[1:]]
        remedies = [part.partition(",")[0] if part.startswith("ALTER") else part for part in parts]
        assert len(remedies) == 6
        server.execute("postgres", *remedies)
        assert ask_required(sql, SLOT).failures == ()
        begins(ask_required(sql, SLOT).warnings, ENDLESS)
    finally:
        server.execute("postgres", 'DROP DATABASE "a B"', f"DROP OWNED BY {role}", f"DROP ROLE {role}")
