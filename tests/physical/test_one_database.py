"""One database out of a physical backup: copied and equal, or nothing is left, neither there nor here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import HarnessError, RestoreFailed, UsageError
from harness.core.journal import MemoryJournal
from harness.estate.server_tables import sql_of_url
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.single import restore as module
from harness.physical.single.into import Into, look_into
from harness.physical.single.restore import Loaded, One, restore_one
from harness.physical.single.transfer import transfer
from harness.physical.target import read_target
from harness.postgres.roles.data import Database, inspect
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive
from tests.physical.test_left_jobs import left_by_a_killed_restore
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import DatabaseServer, start_database

NAME = "shop ü"  # a space, and a letter that is not ASCII


@dataclass(frozen=True, slots=True)
class There:
    """A backed up server with the database `NAME`, and another server that may take it. `before`: a later DELETE."""

    archive: Archive
    other: DatabaseServer
    before: str


@pytest.fixture(scope="module")
def there(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory, recipients: Recipients) -> There:
    source = start_database(substrate.site("source"), tmp_path_factory.mktemp("source"))
    other = start_database(substrate.site("other"), tmp_path_factory.mktemp("other"))
    archive = Archive(source, recipients.repository(MemoryStore()), recipients)
    source.execute("postgres", "CREATE ROLE keeper", f'CREATE DATABASE "{NAME}" OWNER keeper', "CREATE DATABASE apart")
    source.execute("postgres", "CREATE DATABASE closed ALLOW_CONNECTIONS false")
    source.execute(
        NAME, "CREATE TABLE kept AS SELECT i, 'note ' || i AS note FROM generate_series(1, 1000) i",
        "ALTER TABLE kept OWNER TO keeper", "CREATE SEQUENCE numbers START 7", "SELECT nextval('numbers')",
        "CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n FROM kept", "SELECT lo_create(4711)",
    )  # fmt: skip
    take_physical(archive.source, MemoryJournal())
    with archive.receiving(archive.receiver(slot=archive.source.slot)):
        before = str(source.one("postgres", "SELECT pg_current_wal_insert_lsn()"))
        source.execute(NAME, "DELETE FROM kept", "SELECT pg_switch_wal()")
        take_physical(archive.source, MemoryJournal())  # returns once the WAL before it is shipped
    return There(archive, other, before)


def load(there: There, tmp_path: Path, server: DatabaseServer, name: str, **more: Any) -> Loaded:
    return loaded(there, replace(One(NAME, look_into(server.sql, name), tmp_path), **more))


def loaded(there: There, one: One) -> Loaded:
    wanted = Wanted(read_target(f"lsn={there.before}"))
    return restore_one(there.archive.repository, there.archive.keys.dr[0], wanted, one, MemoryJournal())


@pytest.fixture
def clean(there: There) -> Iterator[There]:
    """Assert that the servers have the databases that they had before, and remove what a test copied."""
    before = names(there.other), names(there.archive.db)
    yield there
    for server, had in zip((there.other, there.archive.db), before, strict=True):
        for name in names(server) - had:
            server.execute("postgres", f'DROP DATABASE "{name}"')


def names(server: DatabaseServer) -> set[str]:
    return set(str(server.one("postgres", "SELECT string_agg(datname, '|') FROM pg_database")).split("|"))


def test_it_is_copied_into_a_new_database_with_its_owner(clean: There, tmp_path: Path) -> None:
    clean.other.execute("postgres", "CREATE ROLE keeper")
    try:
        done = load(clean, tmp_path, clean.other, "copy")
        assert (done.tables, done.rows) == (2, 1001)  # a large object counts as a row
        assert clean.other.one("copy", "SELECT count(*) FROM kept") == 1000
        assert clean.other.one("copy", "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'") == "keeper"
        assert clean.other.one("copy", "SELECT nextval('numbers')") == 8
        assert clean.other.one("copy", "SELECT n FROM seen") == 1000
        assert list(tmp_path.iterdir()) == []
    finally:
        clean.other.execute("postgres", "DROP DATABASE IF EXISTS copy", "DROP ROLE keeper")


def test_it_is_copied_into_an_empty_database_without_owners(clean: There, tmp_path: Path) -> None:
    clean.other.execute("postgres", "CREATE DATABASE waiting")
    load(clean, tmp_path, clean.other, "waiting", owners=False)
    assert clean.other.one("waiting", "SELECT count(*) FROM kept") == 1000
    with pytest.raises(UsageError, match=r"database waiting at .* is not empty, and nothing is restored over it"):
        load(clean, tmp_path, clean.other, "waiting", owners=False)
    assert list(tmp_path.iterdir()) == []


def test_on_the_server_that_was_backed_up_only_as_a_new_one(clean: There, tmp_path: Path) -> None:
    clean.archive.db.execute("postgres", "CREATE DATABASE waiting")
    for name in (NAME, "apart", "waiting"):
        with pytest.raises(UsageError, match="is on the server that was backed up; name a database that does not"):
            load(clean, tmp_path, clean.archive.db, name)
    assert clean.archive.db.one(NAME, "SELECT count(*) FROM kept") == 0
    load(clean, tmp_path, clean.archive.db, "copy")
    assert clean.archive.db.one("copy", "SELECT count(*) FROM kept") == 1000


def test_what_the_server_lacks_is_named_at_once(clean: There, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its server has no role keeper; make them, or give --no-owner"):
        load(clean, tmp_path, clean.other, "copy")
    with pytest.raises(
        UsageError, match=f"--database gone: the server had no such database then; it had apart, .*{NAME}"
    ):
        load(clean, tmp_path, clean.other, "copy", database="gone")
    with pytest.raises(UsageError, match="--database closed: it allowed no connections then; restore the server"):
        load(clean, tmp_path, clean.other, "copy", database="closed")
    with pytest.raises(UsageError, match=r"--scratch .*: is no folder"):
        load(clean, tmp_path, clean.other, "copy", scratch=tmp_path / "missing")
    assert "copy" not in names(clean.other)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RestoreFailed])
def test_after_a_failure_nothing_is_left(
    clean: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(*words: object, **more: object) -> object:
        transfer(*words, **more)  # type: ignore[arg-type]
        raise error("now")

    monkeypatch.setattr(module, "transfer", interrupted)
    with pytest.raises(error):
        load(clean, tmp_path, clean.other, "copy", owners=False)
    assert "copy" not in names(clean.other)
    assert list(tmp_path.iterdir()) == []


def killed(into: Into, like: Database) -> None:
    """Do what a restore has done that is killed before it fills its database."""
    into.make(like, owner=False)
    into.begin()


def test_a_database_that_a_killed_restore_left_is_made_anew_unless_somebody_filled_it(
    clean: There, tmp_path: Path
) -> None:
    """On the server that was backed up it was in the way of the next restore, and an operator had to drop it."""
    server = clean.archive.db
    (like,) = (one for one in inspect(server.sql).databases if one.name == "apart")
    killed(look_into(server.sql, "copy"), like)
    load(clean, tmp_path, server, "copy")
    assert server.one("copy", "SELECT count(*) FROM kept") == 1000
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'copy'"
    assert server.one("postgres", comment) is None
    server.execute("postgres", "DROP DATABASE copy")
    killed(look_into(server.sql, "copy"), like)
    left = look_into(server.sql, "copy")
    server.execute("copy", "CREATE TABLE theirs (i int)")
    assert not look_into(server.sql, "copy").new
    with pytest.raises(RestoreFailed, match="somebody has filled it meanwhile"):
        left.make(like, owner=False)
    assert server.one("copy", "SELECT count(*) FROM theirs") == 0


def test_what_a_killed_restore_left_of_jobs_is_cleared(clean: There, tmp_path: Path) -> None:
    clean.other.execute("postgres", "CREATE DATABASE waiting")
    left_by_a_killed_restore(clean.other, "waiting")
    load(clean, tmp_path, clean.other, "waiting", owners=False)
    assert clean.other.one("waiting", "SELECT count(*) FROM kept") == 1000
    there = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('cron', 'blackstart_held_jobs')"
    assert clean.other.one("waiting", there) == 0


def test_an_interrupted_fetch_leaves_nothing_and_promises_nothing(clean: There, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    one = One(NAME, look_into(clean.other.sql, "copy"), tmp_path)
    archive = clean.archive
    with pytest.raises(KeyboardInterrupt) as stopped:
        restore_one(
            archive.repository, archive.keys.dr[0], Wanted(read_target("latest")), one, MemoryJournal(), interrupt
        )
    assert not hasattr(stopped.value, "__notes__")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_load_leaves_the_database_empty(clean: There, tmp_path: Path) -> None:
    clean.other.execute("postgres", "CREATE DATABASE waiting")
    into = look_into(clean.other.sql, "waiting")
    # A table that appears after the database was found empty: the load collides with it.
    one = One(NAME, into, tmp_path, owners=False)

    def late(*words: object, **more: object) -> object:
        clean.other.execute("waiting", "CREATE TABLE kept (other int)")
        return transfer(*words, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "transfer", late)
        with pytest.raises(RestoreFailed, match=r'pg_restore: .*relation "kept" already exists'):
            loaded(clean, one)
    assert clean.other.one("waiting", "SELECT count(*) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'S')") == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hunter2@db:5432/shop", "a password in the URL"),
        ("postgresql://u@db:5432", "names no database of a user"),
        ("postgresql://u@db:5432/template1", "names no database of a user"),
        ("nonsense", "not a PostgreSQL URL"),
        ("postgresql://u@db:5432/shop?sslmode=maybe", "Input should be"),
        ("postgresql:///shop", "no host in the URL"),
    ],
)
def test_a_url_that_names_no_target(url: str, shown: str) -> None:
    with pytest.raises(UsageError, match=f"--into-database: {shown}") as refused:
        sql_of_url("--into-database", url, "env:NONE")
    assert "hunter2" not in str(refused.value)


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("none")
    sql, name = sql_of_url("--into-database", "postgresql://u@127.0.0.1:1/shop", f"file:{password}")
    with pytest.raises(HarnessError, match=r"127.0.0.1:1.* is it running\?"):
        look_into(sql, name)
