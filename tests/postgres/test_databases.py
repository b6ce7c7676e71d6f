"""Which databases a server has, and what is asked in a snapshot of one."""

from __future__ import annotations

import pytest

from harness.core.errors import BackupFailed, HarnessError
from harness.postgres.checks import column
from harness.postgres.dump import open_snapshot
from harness.postgres.identity import DatabaseEntry, catalogue, databases, holds_user_data
from tests.servers import DatabaseServer

pytestmark = pytest.mark.programs


@pytest.mark.parametrize("database", ["postgres", "template1"])
@pytest.mark.parametrize(
    ("change", "revert"),
    [
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f()"),
        ("CREATE TYPE mood AS ENUM ('glad')", "DROP TYPE mood"),
        ("CREATE SCHEMA own", "DROP SCHEMA own"),
        ("CREATE EXTENSION hstore", "DROP EXTENSION hstore"),
        ("SELECT lo_create(7)", "SELECT lo_unlink(7)"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
        ("GRANT SELECT ON pg_authid TO pg_monitor", "REVOKE SELECT ON pg_authid FROM pg_monitor"),
        (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
            "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC",
        ),
        ("ALTER DATABASE {} SET work_mem = '7MB'", "ALTER DATABASE {} RESET ALL"),
        ("ALTER DATABASE {} CONNECTION LIMIT 5", "ALTER DATABASE {} CONNECTION LIMIT -1"),
    ],
)
def test_a_database_of_initdb_holds_user_data_once_it_was_changed(
    dr: DatabaseServer, database: str, change: str, revert: str
) -> None:
    assert not holds_user_data(dr.sql, database)
    dr.execute(database, change.format(database))
    try:
        assert holds_user_data(dr.sql, database)
    finally:
        dr.execute(database, revert.format(database))
    dr.execute(database, "CREATE TEMPORARY TABLE t (n text)")
    assert not holds_user_data(dr.sql, database)


def test_the_catalogue_has_templates_closed_and_invalid_databases(dr: DatabaseServer) -> None:
    made = ("golden IS_TEMPLATE true", "closed ALLOW_CONNECTIONS false", "few CONNECTION_LIMIT 3", '"half gone"')
    dr.execute("postgres", *(f"CREATE DATABASE {one}" for one in made))
    dr.execute("postgres", "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half gone'")
    try:
        found = {d.name: d for d in catalogue(dr.sql)}
        assert found["golden"] == DatabaseEntry("golden", True, True, -1, True, "postgres")
        assert found["closed"] == DatabaseEntry("closed", False, False, -1, True, "postgres")
        assert found["few"].limit == 3
        assert not found["half gone"].valid
        assert found["template0"].connectable is False
        here = databases(dr.sql)
        assert {"golden", "few"} <= set(here)
        assert not {"closed", "half gone", "template0", "template1", "postgres"} & set(here)
    finally:
        dr.execute("postgres", "ALTER DATABASE golden IS_TEMPLATE false")
        dr.execute("postgres", *(f"DROP DATABASE {one}" for one in ("golden", "closed", "few", '"half gone"')))


def test_a_query_in_the_snapshot_sees_what_the_dump_holds(dr: DatabaseServer) -> None:
    dr.execute("postgres", "CREATE TABLE files (path text)", "INSERT INTO files VALUES ('a%s'), (NULL), ('b')")
    try:
        with open_snapshot(dr.sql, "postgres") as snapshot:
            dr.execute("postgres", "DELETE FROM files")
            query = "SELECT path FROM files WHERE path LIKE '%' -- all"
            assert [*snapshot.names(query)] == ["a%s", "b"]
            assert snapshot.connection.execute("SHOW search_path").fetchone() == ("",)
            assert column(dr.sql, "postgres", query) == ()
            with pytest.raises(BackupFailed, match=r'database postgres: .*"nowhere" does not exist; query: SELECT 1'):
                snapshot.names("SELECT 1\n  FROM nowhere")
    finally:
        dr.execute("postgres", "DROP TABLE files")


@pytest.mark.parametrize(
    "query",
    ["SELECT 'a'; SELECT 'b'", "SELECT 'a', 'b'", "-- nothing", "SET work_mem = '1MB'", "SELECT 'a'; COMMIT", "SELECT"],
)
def test_a_query_that_names_more_than_its_first_column_is_refused(dr: DatabaseServer, query: str) -> None:
    """What its second statement or its second column returns was in no backup, and nothing said so."""
    with (
        pytest.raises(BackupFailed, match="database postgres: the query is not one statement that returns one column"),
        open_snapshot(dr.sql, "postgres") as snapshot,
    ):
        snapshot.names(query)
    with pytest.raises(HarnessError, match="several become one with UNION ALL"):
        column(dr.sql, "postgres", query)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("ALTER ROLE keeper SET search_path = b", "b"),
        ("ALTER DATABASE kept SET search_path = b, a", "b"),
        ("ALTER ROLE keeper RESET ALL", "keeper"),
    ],
)
def test_a_query_of_a_service_has_the_search_path_of_the_owner(dr: DatabaseServer, setting: str, expected: str) -> None:
    dr.execute("postgres", "CREATE ROLE keeper", "CREATE DATABASE kept OWNER keeper")
    try:
        for schema in ("a", "b", "keeper"):
            dr.execute(
                "kept", f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.place AS SELECT '{schema}'::text AS name"
            )
        dr.execute("postgres", setting)
        with open_snapshot(dr.sql, "kept") as snapshot:
            assert [*snapshot.names("SELECT name FROM place")] == [expected]
        assert column(dr.sql, "kept", "SELECT name FROM place;") == (expected,)
    finally:
        dr.execute("postgres", "DROP DATABASE kept", "DROP ROLE keeper")
