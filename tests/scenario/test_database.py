from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import BackupFailed, HarnessError
from harness.core.node import Task
from harness.postgres.bulk import seed_bulk
from harness.postgres.checks import column, connected
from harness.postgres.dump import chunks, dump_task, facts, open_snapshot
from harness.postgres.identity import databases, system_facts
from harness.postgres.server import connect, server_spec, sql_of
from harness.scenario.faults.database import lock_table
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.task import ProcessTask
from tests.servers import DatabaseServer, start_database

pytestmark = pytest.mark.programs

MEGABYTES = 24
DUMPS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pg_dump%'"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def drop_database(server: DatabaseServer, name: str) -> None:
    with connect(server.sql) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def end_dumps(server: DatabaseServer) -> int:
    """Terminate the sessions of every `pg_dump` and return their number."""
    ended = "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity WHERE application_name LIKE 'pg_dump%'"
    return len(column(server.sql, "postgres", ended))


@pytest.fixture(scope="module")
def bulk(primary: DatabaseServer) -> Iterator[DatabaseServer]:
    rows = seed_bulk(primary.site, primary.sql, megabytes=MEGABYTES)
    assert primary.one("bulk", "SELECT count(*) FROM entries") == rows
    yield primary
    drop_database(primary, "bulk")
    assert "bulk" not in databases(primary.sql)


def until_dumping(server: DatabaseServer) -> None:
    def dumping() -> None:
        if not column(server.sql, "postgres", DUMPS):
            raise NotYet("no dump yet")

    wait_until(dumping, patience=10)


def test_bulk_data_have_the_requested_size(bulk: DatabaseServer) -> None:
    size = bulk.one("bulk", "SELECT pg_table_size('entries')")
    assert isinstance(size, int)
    assert 0.95 < size / (MEGABYTES * 10**6) < 1.05
    assert bulk.one("bulk", "SELECT count(*) FROM pg_indexes WHERE tablename = 'entries'") == 1


def test_a_dump_with_a_terminated_session_is_a_failed_backup(bulk: DatabaseServer) -> None:
    with (
        open_snapshot(bulk.sql, "bulk") as snapshot,
        closing(chunks(bulk.site.run(dump_task(bulk.site, bulk.sql, snapshot)), 30)) as dump,
    ):
        got = [next(dump)]
        assert end_dumps(bulk) == 1
        with pytest.raises(BackupFailed, match=r"^dump: .*pg_dump: error: .*\(exit code 1\)$") as caught:
            got += dump
    assert b"PGDMP" in got[0][:5]
    assert "\n" not in str(caught.value)


def test_a_killed_dump_is_a_failed_backup(bulk: DatabaseServer) -> None:
    with open_snapshot(bulk.sql, "bulk") as snapshot:
        running = bulk.site.run(dump_task(bulk.site, bulk.sql, snapshot))  # nobody reads what it writes yet
        assert isinstance(running, ProcessTask)
        until_dumping(bulk)
        running.child.kill()
        with pytest.raises(BackupFailed, match=r"^dump: ended by signal 9$"):
            list(chunks(running, 10))


def test_a_stalled_dump_times_out(bulk: DatabaseServer) -> None:
    with open_snapshot(bulk.sql, "bulk") as snapshot:
        running = bulk.site.run(dump_task(bulk.site, bulk.sql, snapshot))
        assert isinstance(running, ProcessTask)
        os.kill(running.child.pid, signal.SIGSTOP)
        began = SYSTEM.monotonic()
        with pytest.raises(BackupFailed, match="not done within 1 s; killed"):
            list(chunks(running, 1))
        assert SYSTEM.monotonic() - began < 20


def test_a_stopping_consumer_ends_the_dump(bulk: DatabaseServer) -> None:
    with open_snapshot(bulk.sql, "bulk") as snapshot:
        dump = chunks(bulk.site.run(dump_task(bulk.site, bulk.sql, snapshot)), 30)
        next(dump)
        dump.close()

        def gone() -> None:
            if column(bulk.sql, "postgres", DUMPS):
                raise NotYet("still dumping")

        wait_until(gone, patience=5)


def test_a_dump_stalls_for_as_long_as_the_table_is_locked(bulk: DatabaseServer) -> None:
    began = SYSTEM.monotonic()
    with lock_table(bulk.sql, "bulk", "entries", 1.0), open_snapshot(bulk.sql, "bulk") as snapshot:
        size = sum(map(len, chunks(bulk.site.run(dump_task(bulk.site, bulk.sql, snapshot)), 30)))
    assert SYSTEM.monotonic() - began > 1.0
    assert size > MEGABYTES * 10**6 / 2


def test_a_lock_can_be_released_early(bulk: DatabaseServer) -> None:
    with lock_table(bulk.sql, "bulk", "entries", 60) as lock:
        with (
            pytest.raises(HarnessError, match="table nosuch of bulk cannot be locked"),
            lock_table(bulk.sql, "bulk", "nosuch", 1),
        ):
            pass
        lock.release()
        lock.release()
        assert bulk.one("bulk", "SELECT count(*) > 0 FROM entries") is True


@pytest.mark.night
def test_a_lock_ignores_the_death_of_its_server(substrate: Embedded, tmp_path: Path, stack: ExitStack) -> None:
    server = start_database(substrate.site("doomed"), tmp_path)
    identity = system_facts(server.sql)
    server.execute("postgres", "CREATE TABLE entries (n int)", "INSERT INTO entries VALUES (1)")
    with open_snapshot(server.sql, "postgres") as snapshot:
        server.execute("postgres", "CREATE TABLE later (n int)")
        lock = stack.enter_context(lock_table(server.sql, "postgres", "later", 60))
        server.node.kill()
        lock.release()
        with pytest.raises(BackupFailed, match="database postgres: cannot be counted: "):
            facts(snapshot, "databases/1")
    with pytest.raises(BackupFailed, match=r"database postgres: PostgreSQL at .*is it running"):
        open_snapshot(server.sql, "postgres").__enter__()
    server.node.start()
    assert system_facts(server.sql) == identity
    assert server.one("postgres", "SELECT n FROM entries") == 1
    server.site.destroy()


def test_sessions_are_listed_by_the_server(primary: DatabaseServer) -> None:
    assert not any("blackstart guest" in line for line in connected(primary.sql, "postgres", "postgres"))
    with connect(primary.sql, application="blackstart guest") as connection:
        assert any(
            line.startswith(f"pid {connection.info.backend_pid} blackstart guest since ")
            for line in connected(primary.sql, "postgres", "postgres")
        )
        assert connected(primary.sql, "postgres", "nobody") == ()
        assert connected(primary.sql, "template1", "postgres") == ()


def test_server_settings(primary: DatabaseServer) -> None:
    shown = {
        name: primary.one("postgres", f"SHOW {name}")
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "password_encryption")
    }
    assert shown == dict.fromkeys(shown, "on") | {"password_encryption": "scram-sha-256"}
    assert primary.one("postgres", "SHOW listen_addresses") == "127.0.0.1"
    assert primary.one("postgres", "SHOW unix_socket_directories") == ""
    assert primary.one("postgres", "SHOW max_connections") == "120"


def test_no_secret_is_in_a_spec_or_task(primary: DatabaseServer) -> None:
    spec = server_spec(primary.site, secrets={"postgres-superuser": primary.sql.password_ref})
    with open_snapshot(primary.sql, "postgres") as snapshot:
        task: Task = dump_task(primary.site, primary.sql, snapshot)
    assert "superuser of primary" not in f"{spec}{task}"
    assert "@{secret:" not in " ".join((*spec.argv, *spec.first_run[0], *task.argv))


def test_a_wrong_password_is_one_line(primary: DatabaseServer, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")
    with pytest.raises(HarnessError, match=r"^PostgreSQL at 127.0.0.1:\d+, database postgres as postgres: ") as caught:
        connect(sql_of(primary.node, f"file:{wrong}"))
    assert "\n" not in str(caught.value)
    assert "not it" not in str(caught.value)
    assert str(caught.value).endswith('password authentication failed for user "postgres"')
