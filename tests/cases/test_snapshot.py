"""Case 10 and its kind: locks, TRUNCATE and endless queries while a database is being dumped; case 3: templates."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import psycopg
import pytest

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import BackupFailed
from harness.patience import PATIENCE
from harness.postgres.contents.locks import TRY
from harness.postgres.dump import chunks, dump_task, facts, open_snapshot
from harness.postgres.server import connect
from harness.substrate.embedded.task import ProcessTask
from tests.servers import DatabaseServer, embedded, start_database

pytestmark = [pytest.mark.cases, pytest.mark.programs]
NAME = "jobs"
DUMPS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg_dump%'"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    home = tmp_path_factory.mktemp("snapshot")
    with embedded(home) as substrate:
        made = start_database(substrate.site("primary"), home)
        made.execute("postgres", f"CREATE DATABASE {NAME}")
        made.execute(NAME, "CREATE TABLE jobs (n int)", "INSERT INTO jobs SELECT generate_series(1, 100000)")
        yield made


@contextmanager
def session(server: DatabaseServer, *statements: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session with an open transaction in which the statements ran."""
    with connect(server.sql, NAME, autocommit=False, application="importer") as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield connection
        connection.rollback()


def until(server: DatabaseServer, query: str, wanted: int) -> None:
    def reached() -> None:
        if server.one(NAME, query) != wanted:
            raise NotYet(query)

    wait_until(reached, patience=10)


def test_a_lock_that_blocks_the_backup_is_named_with_its_session(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PATIENCE, "dump_lock", 1.5)
    with session(server, "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE") as blocking:
        pid, began = blocking.info.backend_pid, SYSTEM.monotonic()
        with pytest.raises(BackupFailed) as failed, open_snapshot(server.sql, NAME):
            pass
    assert SYSTEM.monotonic() - began < 10
    assert str(failed.value) == (
        "database jobs: no snapshot: canceling statement due to lock timeout; table public.jobs is locked by "
        f"pid {pid}, user postgres, application importer, idle in transaction; end that session"
    )


def test_a_lock_that_is_released_in_time_only_delays_the_backup(server: DatabaseServer) -> None:
    with session(server, "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE") as blocking, ThreadPoolExecutor(1) as pool:

        def read() -> int:
            with open_snapshot(server.sql, NAME) as snapshot:
                return facts(snapshot, "databases/1").rows

        reading = pool.submit(read)
        until(server, WAITING, 1)
        SYSTEM.sleep(1.2 * TRY)  # so that the lock is asked for again
        blocking.execute("INSERT INTO jobs VALUES (0)")
        blocking.commit()
        assert reading.result(timeout=20) == 100001  # the snapshot came after the lock
    server.execute(NAME, "DELETE FROM jobs WHERE n = 0")


def test_the_wait_for_a_lock_ends_when_the_backup_is_stopped(server: DatabaseServer) -> None:
    stopped = Event()
    with session(server, "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"), ThreadPoolExecutor(1) as pool:
        opening = pool.submit(lambda: open_snapshot(server.sql, NAME, stopped=stopped.is_set).__enter__())
        until(server, WAITING, 1)
        stopped.set()
        with pytest.raises(BackupFailed, match="stopped while it waited for a lock"):
            opening.result(timeout=5)


def test_a_session_that_waits_for_our_lock_and_blocks_pg_dump_is_named(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PATIENCE, "dump_lock", 1.0)
    with ThreadPoolExecutor(1) as pool, session(server) as waiting:
        truncating = []

        def back_up() -> None:
            with open_snapshot(server.sql, NAME) as snapshot:
                truncating.append(pool.submit(waiting.execute, b"TRUNCATE jobs"))
                until(server, WAITING, 1)
                list(chunks(server.site.run(dump_task(server.site, server.sql, snapshot)), 30))

        with pytest.raises(BackupFailed) as failed:
            back_up()
        truncating[0].result(timeout=10)
    assert "table public.jobs is locked by pid" in str(failed.value)
    assert "user postgres, application importer, active" in str(failed.value)
    assert server.one(NAME, DUMPS) == 0


def test_what_is_truncated_after_the_snapshot_is_in_the_dump(server: DatabaseServer) -> None:
    with ThreadPoolExecutor(1) as pool, session(server) as other:
        with open_snapshot(server.sql, NAME) as snapshot:
            task = server.site.run(dump_task(server.site, server.sql, snapshot))
            dump = chunks(task, 30)
            content = next(dump)  # it has its locks
            truncating = pool.submit(other.execute, b"TRUNCATE jobs")
            assert facts(snapshot, "databases/1").rows == 100000
            content += b"".join(dump)
        truncating.result(timeout=10)
    assert b"99999\n" in content


def test_tables_that_come_and_go_do_not_fail_a_backup(server: DatabaseServer) -> None:
    stop = Event()

    def churn() -> None:
        with connect(server.sql, NAME) as connection:
            while not stop.is_set():
                connection.execute("CREATE TABLE brief (n int)")
                connection.execute("DROP TABLE brief")

    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        try:
            for _ in range(5):
                with open_snapshot(server.sql, NAME) as snapshot:
                    rows = {table.name: table.rows for table in facts(snapshot, "databases/1").tables}
                    assert rows["public.jobs"] == 100000
        finally:
            stop.set()
        churning.result(timeout=10)


def test_the_patience_of_a_dump_ends_its_queries_too(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PATIENCE, "dump", 1.0)
    began = SYSTEM.monotonic()
    with (
        pytest.raises(BackupFailed, match=r"^database jobs: not done within 1 s; cancelled; query: SELECT pg_sleep"),
        open_snapshot(server.sql, NAME) as snapshot,
    ):
        snapshot.names("SELECT pg_sleep(60)")
    assert SYSTEM.monotonic() - began < 10


def test_an_interruption_ends_query_and_dump_on_the_server(server: DatabaseServer) -> None:
    began = SYSTEM.monotonic()
    with ThreadPoolExecutor(1) as pool:
        under_way = []

        def back_up() -> None:
            with open_snapshot(server.sql, NAME) as snapshot:
                running = server.site.run(dump_task(server.site, server.sql, snapshot))
                until(server, DUMPS, 1)
                assert isinstance(running, ProcessTask)
                os.kill(running.child.pid, signal.SIGSTOP)  # as if it hung
                under_way.append((running, pool.submit(snapshot.names, "SELECT pg_sleep(60)")))
                until(server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            back_up()
        running, query = under_way[0]
        with pytest.raises(BackupFailed):
            query.result(timeout=5)
    running.__exit__(None, None, None)
    until(server, DUMPS, 0)
    assert SYSTEM.monotonic() - began < 15


def test_a_template_is_read_like_any_database(server: DatabaseServer) -> None:
    server.execute("postgres", "CREATE DATABASE golden IS_TEMPLATE true CONNECTION LIMIT 5")
    server.execute("golden", "CREATE TABLE g AS SELECT generate_series(1, 500)")
    with open_snapshot(server.sql, "golden") as snapshot:
        seen = facts(snapshot, "databases/0002")
    assert (seen.rows, seen.template, seen.limit, seen.path) == (500, True, 5, "databases/0002")
