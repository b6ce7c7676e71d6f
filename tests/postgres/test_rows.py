# ruff: noqa: S608 - statements of the tests
"""Row counts and digests: what changes them, and what does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.core.contents import TableFacts
from harness.core.errors import HarnessError
from harness.postgres import facts as figures
from harness.postgres.contents.rows import qualified, read_tables
from harness.postgres.server import connect
from tests.servers import DatabaseServer

pytestmark = pytest.mark.programs
NAME, KINDS = "rows", "kinds"


@pytest.fixture(scope="module")
def kinds(dr: DatabaseServer) -> Iterator[DatabaseServer]:
    """A database with types of a user's own."""
    dr.execute("postgres", f"CREATE DATABASE {KINDS}")
    dr.execute(
        KINDS,
        "CREATE EXTENSION citext",
        "CREATE TYPE shout AS ENUM ('a', 'b')",
        "CREATE FUNCTION one(shout) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'same' $$",
        "CREATE CAST (shout AS text) WITH FUNCTION one(shout) AS ASSIGNMENT",
        "CREATE TYPE pair AS (n int, s text)",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    )
    yield dr
    dr.execute("postgres", f"DROP DATABASE {KINDS}")


@pytest.fixture
def server(dr: DatabaseServer) -> Iterator[DatabaseServer]:
    dr.execute("postgres", f"CREATE DATABASE {NAME}")
    yield dr
    dr.execute("postgres", f"DROP DATABASE {NAME}")


def read(server: DatabaseServer, name: str = NAME, *, digests: bool = True) -> dict[str, TableFacts]:
    with connect(server.sql, name) as connection:
        figures.begin_reading(connection)
        return {table.name: table for table in read_tables(connection, digests=digests)}


def digest(server: DatabaseServer, table: str, name: str = NAME) -> str:
    return read(server, name)[table].digest


@pytest.mark.parametrize(
    ("table", "values", "change"),
    [
        ('t (t timestamptz, v float8)', "('2026-01-01', 1.5)", "v = 0"),
        ("t (r int, rows int, hashtextextended int, concat int)", "(1, 2, 3, 4)", "rows = 5"),
        ('t ("a""b" text, "%s" text, "{}" text, "select" text)', "('1', '2', '3', '4')", '"%s" = NULL'),
        ("t (a text, b text)", "('x', NULL)", "b = ''"),
        ("t (a text, b text)", "('x', 'y')", "a = 'xy', b = ''"),
        ("t (a text, b text)", "(NULL, 'x')", "a = 'x', b = NULL"),
        ("t (a numeric)", "(1.0)", "a = 1.00"),
        ("t (a float8)", "(0)", "a = '-0'"),
        ("t (a float8)", "('NaN')", "a = 'Infinity'"),
        ("t (a timestamp)", "('2026-01-01 BC')", "a = '2026-01-01'"),
        ("t (a char(5))", "('a')", "a = 'b'"),
        ("t (a bool)", "(true)", "a = NULL"),
        ("t (a json)", "('{\"a\": 1}')", "a = '{\"a\":1}'"),
        ("t (a jsonb)", "('[1.0]')", "a = '[1.00]'"),
        ("t (a citext)", "('A')", "a = 'a'"),
        ("t (a shout)", "('a')", "a = 'b'"),
        ("t (a pair)", "(NULL)", "a = ROW(NULL, NULL)"),
        ("t (a pair[])", "(ARRAY[ROW(1, 'x')::pair])", "a = ARRAY[ROW(1, 'y')::pair]"),
        ("t (a point, b box, c bit(3))", "('(1,2)', '(1,2),(3,4)', '101')", "a = '(1,3)'"),
        ("t (a regclass)", "('pg_class')", "a = 'pg_proc'"),
        ("t (a positive)", "(1)", "a = 2"),
        ("t (a int4multirange)", "('{[1,3)}')", "a = '{[1,4)}'"),
        ("t (a inet)", "('10.0.0.1')", "a = '10.0.0.1/24'"),
        ('t (a "char")', "('a')", "a = 'b'"),
        ("t (a bytea)", "('\\x00')", "a = '\\x0000'"),
        ("t (n int, v int GENERATED ALWAYS AS (1 / n) VIRTUAL)", "(0)", "n = 1"),
    ],
    ids=str,
)  # fmt: skip
def test_every_change_of_a_value_changes_the_digest(
    kinds: DatabaseServer, table: str, values: str, change: str
) -> None:
    columns = "(n)" if "VIRTUAL" in table else ""
    kinds.execute(KINDS, "DROP TABLE IF EXISTS t", f"CREATE TABLE {table}", f"INSERT INTO t {columns} VALUES {values}")
    before = digest(kinds, "public.t", KINDS)
    kinds.execute(KINDS, f"UPDATE t SET {change}")
    assert digest(kinds, "public.t", KINDS) != before


CRON = (("job", "active bool", "active = false"), ("job_run_details", "status text", "status = 'failed'"))


@pytest.mark.parametrize(("table", "column", "change"), CRON)
def test_what_the_scheduler_writes_is_left_out_of_its_own_tables_alone(
    server: DatabaseServer, table: str, column: str, change: str
) -> None:
    """It was left out of a user's own table of that name, too. Here another extension has the scheduler's name."""
    name = f"cron.{table}"
    server.execute(
        NAME, "CREATE SCHEMA cron", f"CREATE TABLE {name} ({column}, n int)", f"INSERT INTO {name} VALUES ('t', 1)"
    )
    before = digest(server, name)
    server.execute(NAME, f"UPDATE {name} SET {change}")
    assert digest(server, name) != before
    server.execute(
        NAME,
        "CREATE EXTENSION citext",
        f"ALTER EXTENSION citext ADD TABLE {name}",
        "SET allow_system_table_mods = on",
        f"UPDATE pg_extension SET extname = 'pg_cron', extconfig = ARRAY['{name}'::regclass::oid],"
        " extcondition = ARRAY['']"
        " WHERE extname = 'citext'",
    )
    before = digest(server, name)
    server.execute(NAME, f"UPDATE {name} SET {column.partition(' ')[0]} = NULL")
    assert digest(server, name) == before
    server.execute(NAME, f"UPDATE {name} SET n = 2")
    assert digest(server, name) != before


def test_a_digest_depends_neither_on_the_order_of_rows_nor_of_columns(server: DatabaseServer) -> None:
    server.execute(
        NAME,
        "CREATE TABLE a (x int, gone int, y text, t int)",
        "CREATE TABLE b (t int, y text, x int)",
        "ALTER TABLE a DROP COLUMN gone",
        "INSERT INTO a SELECT n, 'y' || n, n / 7 FROM generate_series(1, 1000) n",
        "INSERT INTO b SELECT n / 7, 'y' || n, n FROM generate_series(1000, 1, -1) n",
    )
    assert digest(server, "public.a") == digest(server, "public.b")
    server.execute(NAME, "UPDATE b SET y = 'y999' WHERE x = 1")
    assert digest(server, "public.a") != digest(server, "public.b")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("('a', 1), ('b', 2)", "('a', 2), ('b', 1)"),
        ("('a', 1), ('a', 1)", "('b', 1), ('b', 1)"),
        ("('a', 1), ('a', 1), ('b', 2)", "('a', 1), ('b', 2), ('b', 2)"),
    ],
)
def test_values_that_change_places_are_seen(server: DatabaseServer, first: str, second: str) -> None:
    server.execute(NAME, "CREATE TABLE t (a text, n int)", f"INSERT INTO t VALUES {first}")
    before = digest(server, "public.t")
    server.execute(NAME, "TRUNCATE t", f"INSERT INTO t VALUES {second}")
    assert digest(server, "public.t") != before


def test_tables_of_any_width_and_any_name(server: DatabaseServer) -> None:
    wide = ", ".join(f"c{n} int" for n in range(1600))
    server.execute(
        NAME,
        f"CREATE TABLE wide ({wide})",
        "INSERT INTO wide (c0, c1599) VALUES (1, 2), (NULL, NULL)",
        "CREATE TABLE bare ()",
        "INSERT INTO bare DEFAULT VALUES",
        "INSERT INTO bare DEFAULT VALUES",
        'CREATE SCHEMA "a.b"',
        "CREATE SCHEMA a",
        'CREATE TABLE "a.b".c (n int)',
        'CREATE TABLE a."b.c" (n int)',
        'CREATE TABLE "Groß %s {0} ""x""" (n int)',
        'INSERT INTO "a.b".c VALUES (1)',
        *(f"CREATE TABLE many_{n} (n int)" for n in range(250)),
    )
    found = read(server)
    rows = {name: table.rows for name, table in found.items() if table.rows}
    assert rows == {"public.wide": 2, "public.bare": 2, '"a.b".c': 1}
    assert {'a."b.c"', 'public."Groß %s {0} ""x"""', "public.many_249"} < set(found)
    before = found["public.wide"].digest
    server.execute(NAME, "UPDATE wide SET c40 = 7 WHERE c0 = 1")
    assert digest(server, "public.wide") != before
    assert {name: (t.rows, t.digest) for name, t in read(server, digests=False).items() if t.rows} == {
        name: (count, "") for name, count in rows.items()
    }


def test_large_objects_are_equal_whatever_their_pages_are(server: DatabaseServer) -> None:
    table = "pg_catalog.pg_largeobject"
    server.execute(NAME, "SELECT lo_create(7)")
    assert read(server)[table].rows == 1
    server.execute(NAME, "SELECT lo_put(7, 5000, 'end')")  # a hole before it
    sparse = digest(server, table)
    server.execute(NAME, "SELECT lo_put(7, 0, decode(repeat('00', 5000), 'hex'))")  # as pg_restore writes it
    assert digest(server, table) == sparse
    server.execute(NAME, "SELECT lo_put(7, 100, '\\x01')")
    assert digest(server, table) != sparse
    server.execute(NAME, "SELECT lo_put(7, 100, '\\x00')", "SELECT lo_put(7, 5003, '\\x00')")
    assert digest(server, table) != sparse


def test_what_no_dump_has_the_rows_of_is_not_counted(server: DatabaseServer) -> None:
    server.execute(
        NAME,
        "CREATE EXTENSION hstore",
        "CREATE TABLE settings (name text, own bool)",
        "CREATE TABLE builtin (name text)",
        "INSERT INTO settings VALUES ('shipped', false), ('ours', true)",
        "ALTER EXTENSION hstore ADD TABLE settings",
        "ALTER EXTENSION hstore ADD TABLE builtin",
        "UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass::oid], extcondition = ARRAY['WHERE own']"
        " WHERE extname = 'hstore'",
        "CREATE MATERIALIZED VIEW m AS SELECT 1",
        "CREATE TABLE parent (n int) PARTITION BY LIST (n)",
        "CREATE UNLOGGED TABLE unlogged (n int)",
    )
    assert {name: table.rows for name, table in read(server).items()} == {"public.settings": 1, "public.unlogged": 0}


def test_a_table_that_cannot_be_read_is_named(server: DatabaseServer) -> None:
    server.execute(
        NAME,
        "CREATE TABLE good (n int)",
        "CREATE TABLE bad (n int, s text)",
        "INSERT INTO bad VALUES (1, 'x')",
        "UPDATE pg_attribute SET atttypid = 0 WHERE attrelid = 'bad'::regclass AND attname = 'n'",
    )
    with pytest.raises(HarnessError, match=r"^table public\.bad: .*cache lookup failed"):
        read(server)


@pytest.mark.parametrize(
    ("schema", "name", "said"),
    [("public", "t_1", "public.t_1"), ("Public", "t", '"Public".t'), ("a.b", 'c"d', '"a.b"."c""d"')],
)
def test_a_name_is_quoted_where_needed(schema: str, name: str, said: str) -> None:
    assert qualified(schema, name) == said
