"""What a physical backup needs of a server, on real ones that lack it: each is named, with the remedy, all at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import BackupFailed, Refused
from harness.core.journal import MemoryJournal
from harness.core.service import Sql
from harness.physical.backup import take_physical
from harness.physical.programs import Programs
from harness.physical.required import _ask, _failures, _unchained, ask_required
from harness.postgres.replication.connection import Replication
from harness.postgres.server import SUPERUSER_PASSWORD, server_spec, sql_of
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive, folder_of
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import DatabaseServer, secret_files

SLOT = "blackstart_shop"  # of the conftest's estate
ENDLESS = "max_slot_wal_keep_size is -1: a replication slot that nobody receives from fills the server's disk"


def begins(lines: tuple[str, ...], *starts: str) -> None:
    """Assert that there are these lines and no other, each with a remedy after its reason."""
    assert len(lines) == len(starts), lines
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start), (line, start)
        assert "; " in line


def refused(archive: Archive, sql: Sql) -> str:
    """Return why a backup is refused; what `check` says is in it, and nothing was written to the repository."""
    said = ask_required(sql, SLOT).failures
    with pytest.raises(BackupFailed) as error:
        take_physical(replace(archive.source, sql=sql), MemoryJournal())
    assert all(line in str(error.value) for line in said)
    assert not list(archive.repository.store.list(""))
    return str(error.value)


@pytest.fixture
def replicator(archive: Archive, tmp_path: Path) -> Iterator[Sql]:
    """A role that may log in and no more."""
    archive.db.execute("postgres", "CREATE ROLE plain LOGIN PASSWORD 'p'")
    ref = secret_files(tmp_path, {"plain": "p"})["plain"]
    yield replace(archive.db.sql, user="plain", password_ref=ref)
    archive.db.execute("postgres", "DROP ROLE plain")


@contextmanager
def hba(server: DatabaseServer, change: str) -> Iterator[None]:
    """Put a line before all others of pg_hba.conf."""
    file = Path(str(server.one("postgres", "SHOW hba_file")))
    before = file.read_text()
    try:
        file.write_text(f"{change}\n{before}")
        server.execute("postgres", "SELECT pg_reload_conf()")
        yield
    finally:
        file.write_text(before)
        server.execute("postgres", "SELECT pg_reload_conf()")


def test_a_server_as_it_is_made_lacks_a_limit_alone(archive: Archive) -> None:
    found = ask_required(archive.db.sql, SLOT, incremental=True)
    assert found.failures == ()
    assert found.unchained.startswith("summarize_wal is off; ALTER SYSTEM SET summarize_wal = on")
    begins(found.warnings, ENDLESS)
    assert ask_required(archive.db.sql, SLOT).all_failures == ()


def test_a_limit_for_slots_is_no_warning_and_tablespaces_are_named(archive: Archive) -> None:
    server = archive.db
    server.execute("postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'", "SELECT pg_reload_conf()")
    made = [f"CREATE TABLESPACE {name} LOCATION ''" for name in ("fast", "slow")]
    server.execute("postgres", "SET allow_in_place_tablespaces = on", *made)
    try:
        (line,) = ask_required(server.sql, SLOT).warnings
        assert line.startswith("tablespaces fast, slow: a recovery onto a DR site restores the dumps")
    finally:
        server.execute("postgres", "DROP TABLESPACE fast", "DROP TABLESPACE slow")
        server.execute("postgres", "ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")


def test_the_right_to_replicate_is_enough(archive: Archive, replicator: Sql) -> None:
    archive.db.execute("postgres", "ALTER ROLE plain REPLICATION")
    assert ask_required(replicator, SLOT).failures == ()
    receipt = take_physical(replace(archive.source, sql=replicator), MemoryJournal())
    facts = receipt.contents.physical
    assert facts is not None
    assert (facts.superuser, facts.checksums) == ("postgres", True)


def test_a_role_without_the_right_to_replicate(archive: Archive, replicator: Sql) -> None:
    begins(
        ask_required(replicator, SLOT).failures, "user plain has no right to replicate; ALTER ROLE plain REPLICATION"
    )
    assert "no right to replicate" in refused(archive, replicator)
    archive.db.execute("postgres", "ALTER ROLE plain REPLICATION")
    assert ask_required(replicator, SLOT).failures == ()


@pytest.mark.parametrize("line", ["host replication all all reject", "host replication plain all reject"])
def test_no_replication_connection_is_admitted(archive: Archive, replicator: Sql, line: str) -> None:
    """A role that lacks the right as well is told both."""
    with hba(archive.db, line):
        found = ask_required(replicator, SLOT).failures
        begins(found, "user plain has no right to replicate", "no replication connection (")
        assert "pg_hba.conf" in found[1].partition(" (")[2].partition(")")[0]
        assert "`host replication plain ADDRESS/32 scram-sha-256`, and a reload" in found[1]
        assert "no replication connection" in refused(archive, replicator)
    archive.db.execute("postgres", "ALTER ROLE plain REPLICATION")
    assert ask_required(replicator, SLOT).failures == ()


def test_senders_and_slots_that_are_all_in_use(archive: Archive) -> None:
    server = archive.db
    senders, slots = (
        int(str(server.one("postgres", f"SHOW max_{what}"))) for what in ("wal_senders", "replication_slots")
    )
    one = "SELECT pg_create_physical_replication_slot('other_{}')"
    with ExitStack() as held:
        for _ in range(senders - 1):
            held.enter_context(Replication(server.sql, "another"))
        server.execute("postgres", *(one.format(number) for number in range(slots - 1)))
        found = ask_required(server.sql, SLOT, connects=True)
        assert found.failures == ()
        needs = "1 is free, and a backup beside `blackstart wal receive` needs 2; raise it"
        begins(found.warnings, f"max_wal_senders: {needs}", f"max_replication_slots: {needs}", ENDLESS)
        held.enter_context(Replication(server.sql, "another"))
        server.execute("postgres", one.format("last"))
        begins(
            ask_required(server.sql, SLOT).failures,
            f"max_wal_senders is {senders}, {senders} are in use, and a physical backup needs one; end one of",
            f"max_replication_slots is {slots}, {slots} are in use, and a physical backup needs one; drop one of",
        )
        assert f"max_wal_senders is {senders}" in refused(archive, server.sql)


def test_the_only_free_sender_is_left_to_the_backup(archive: Archive) -> None:
    server = archive.db
    senders = int(str(server.one("postgres", "SHOW max_wal_senders")))
    with ExitStack() as held:
        for _ in range(senders - 1):
            held.enter_context(Replication(server.sql, "another"))
        assert take_physical(archive.source, MemoryJournal()).backup_id


@pytest.fixture(scope="module")
def minimal(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    """A server without WAL for replication, and without place for it."""
    site = substrate.site("minimal")
    secrets = secret_files(tmp_path_factory.mktemp("minimal"), {SUPERUSER_PASSWORD: "m"})
    tuning = ("wal_level=minimal", "max_wal_senders=0", "max_replication_slots=0")
    node = site.launch(server_spec(site, secrets=secrets, tuning=tuning))
    return DatabaseServer(site, node, sql_of(node, secrets[SUPERUSER_PASSWORD]))


def test_all_settings_that_are_wrong_are_said_at_once(minimal: DatabaseServer, recipients: Recipients) -> None:
    none = Archive(minimal, recipients.repository(MemoryStore()), recipients)
    lines = (
        "wal_level is minimal, its WAL cannot be restored from; ALTER SYSTEM SET wal_level = replica, and restart",
        "max_wal_senders is 0, 0 are in use, and a physical backup needs one; ALTER SYSTEM SET max_wal_senders = 10",
        "max_replication_slots is 0, 0 are in use, and a physical backup needs one; ALTER SYSTEM SET max_replic",
    )
    begins(ask_required(minimal.sql, SLOT).failures, *lines)
    said = refused(none, minimal.sql)
    assert all(line in said for line in lines)
    assert "\n" not in said


def test_a_standby_is_refused(
    substrate: Embedded, tmp_path_factory: pytest.TempPathFactory, recipients: Recipients
) -> None:
    site = substrate.site("standby")
    secrets = secret_files(tmp_path_factory.mktemp("standby"), {SUPERUSER_PASSWORD: "s"})
    node = site.launch(server_spec(site, secrets=secrets))
    server = DatabaseServer(site, node, sql_of(node, secrets[SUPERUSER_PASSWORD]))
    node.kill()
    (folder_of(server) / "standby.signal").touch()
    node.start()
    standby = Archive(server, recipients.repository(MemoryStore()), recipients)
    assert "is a standby; name the primary" in refused(standby, server.sql)


def test_an_incremental_backup_alone_is_refused_before_anything_is_written(archive: Archive) -> None:
    with pytest.raises(Refused, match="summarize_wal is off"):
        take_physical(archive.source, MemoryJournal(), incremental=True)
    assert not list(archive.repository.store.list(""))


def test_an_older_server_is_told_its_version(archive: Archive) -> None:
    found = replace(_ask(archive.db.sql, SLOT), major=14, summarize_wal=None)
    begins(tuple(_failures(found)), "version 14; physical backups need 15 or newer")
    assert _unchained(found).startswith("incremental backups need version 17 or newer; take a physical one")


def test_programs_of_a_restore_that_are_missing_are_named(tmp_path: Path) -> None:
    assert Programs(tmp_path, 16).lacking == ("pg_controldata", "pg_verifybackup", "pg_checksums")
    (tmp_path / "pg_verifybackup").touch()
    assert Programs(tmp_path, 17).lacking == ("pg_controldata", "pg_checksums", "pg_combinebackup")
