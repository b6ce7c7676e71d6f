"""Good backups that were called wrong after their restore, and objects of which a dump has nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.contents import DatabaseFacts
from harness.core.errors import RestoreFailed
from harness.postgres.checks import differences
from tests.cases.estate import CaseEstate
from tests.cases.test_sessions import as_user

pytestmark = [pytest.mark.cases, pytest.mark.programs]
PARTS = (
    "SELECT lo_unlink(lo_create(0)) FROM generate_series(1, 1001)",  # OIDs that DR will not have used
    f"CREATE TYPE mood AS ENUM ({', '.join(repr(f'm{n}') for n in range(30))})",
    "CREATE TABLE m (id int, mood mood) PARTITION BY RANGE (id)",
    "CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (90) PARTITION BY HASH (mood)",
    "CREATE TABLE m2 PARTITION OF m DEFAULT",
    *(f"CREATE TABLE m1_{n} PARTITION OF m1 FOR VALUES WITH (MODULUS 3, REMAINDER {n})" for n in range(3)),
    "INSERT INTO m SELECT n, (enum_range(NULL::mood))[n % 30 + 1] FROM generate_series(1, 60) n",
    "INSERT INTO m VALUES (100, 'm1')",
)


def app(estate: CaseEstate) -> DatabaseFacts:
    """Back up the database `app`, and return its facts."""
    estate.declare("app")
    return next(one for one in estate.back_up().contents.databases if one.name == "app")


def test_rows_that_move_between_hash_partitions_of_an_enum_are_one_table(estate: CaseEstate) -> None:
    """The hash of an enum is that of its OIDs, so pg_dump loads such rows through the root."""
    estate.create("app", *PARTS)
    facts = app(estate)
    assert {one.name: one.rows for one in facts.tables} == {"public.m1": 60, "public.m2": 1}
    estate.restore()
    where = "SELECT id, tableoid::regclass::text FROM m ORDER BY 1"
    assert estate.rows("app", where) != estate.rows("app", where, "primary")
    estate.run("app", "UPDATE m SET id = 89 WHERE id = 60", site="dr")
    changed = "table public.m1: other contents or columns in 60 rows"
    assert differences(estate.dr.place.sql, facts) == (changed,)
    estate.run("app", "DELETE FROM m WHERE id = 89", site="dr")
    assert differences(estate.dr.place.sql, facts) == ("table public.m1: 59 rows, expected 60",)


def test_members_of_extensions_belong_to_the_superuser_of_each_server(estate: CaseEstate, tmp_path: Path) -> None:
    estate.run("postgres", "CREATE ROLE odoo SUPERUSER LOGIN PASSWORD 'odoo'", "CREATE ROLE reader")
    (tmp_path / "password").write_text("odoo")
    estate.primary.sql = as_user(estate.primary, "odoo", f"file:{tmp_path / 'password'}")
    estate.create(
        "app",
        "CREATE EXTENSION hstore",
        "REVOKE ALL ON FUNCTION akeys(hstore) FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION akeys(hstore) TO reader",
    )
    app(estate)
    estate.allowed += ["role odoo"]
    assert estate.restore().findings == ()
    may = "SELECT has_function_privilege({!r}, 'akeys(hstore)', 'EXECUTE')"
    assert [estate.value("app", may.format(role)) for role in ("reader", "pg_monitor")] == [True, False]


def test_a_table_that_was_added_to_an_extension_is_missed(estate: CaseEstate) -> None:
    """pg_dump leaves it to CREATE EXTENSION, which knows nothing of it."""
    estate.create("app", "CREATE EXTENSION hstore", "CREATE TABLE mine AS SELECT 1 AS n", "CREATE TABLE none ()")
    estate.run("app", *(f"ALTER EXTENSION hstore ADD TABLE {name}" for name in ("mine", "none")))
    app(estate)
    with pytest.raises(RestoreFailed, match=r"table of extension hstore: public\.mine: missing") as refused:
        estate.restore()
    assert "none" not in str(refused.value)


def test_a_database_without_plpgsql_comes_back(estate: CaseEstate) -> None:
    estate.create("app", "DROP EXTENSION plpgsql", "CREATE TABLE t AS SELECT 1 AS n")
    app(estate)
    assert estate.restore().rows == 1


def test_what_is_in_schemas_of_postgresql_is_in_no_dump_and_is_named(estate: CaseEstate) -> None:
    """Excluded with a reason, it is named as excluded; what an extension made there is in the dump."""
    estate.create(
        "app",
        "CREATE TABLE information_schema.rates AS SELECT 1 AS n",
        "SET allow_system_table_mods = on",
        "CREATE FUNCTION pg_catalog.double(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1'",
        "CREATE SCHEMA pg_own",
        'CREATE TABLE pg_own."Table" ()',
        "CREATE TEMPORARY TABLE passing (n int)",
    )
    estate.create("other", "CREATE EXTENSION hstore SCHEMA information_schema")
    estate.backup["exclude"] = {"schema pg_own of database app": "it is empty"}
    estate.declare("app", "other")
    contents = estate.back_up().contents
    why = "pg_dump writes nothing of a schema that PostgreSQL brings"
    remedy = "move it to a schema of your own"
    assert contents.uncovered == (
        f"schema information_schema of database app: {why}: table information_schema.rates; {remedy}",
        f"schema pg_catalog of database app: {why}: function pg_catalog.double; {remedy}",
    )
    assert contents.excluded == (
        f'schema pg_own of database app: {why}: table pg_own."Table"; {remedy}; excluded: it is empty',
    )
    estate.run("app", "DROP SCHEMA information_schema CASCADE", "CREATE SCHEMA information_schema")
    estate.run("app", "CREATE TABLE information_schema.sql_features ()", "CREATE VIEW information_schema.v AS SELECT 1")
    assert [line.split(":")[0] for line in estate.back_up().contents.uncovered] == ["schema pg_catalog of database app"]


def test_operators_and_families_of_one_name_have_owners_of_their_own(estate: CaseEstate) -> None:
    estate.run("postgres", "CREATE ROLE one", "CREATE ROLE two")
    estate.create(
        "app",
        'CREATE SCHEMA "odd. (x"',
        'CREATE TYPE "odd. (x"."a, (b" AS ENUM (\'x\')',
        'CREATE FUNCTION same("odd. (x"."a, (b") RETURNS bool LANGUAGE sql AS \'SELECT true\'',
        'CREATE OPERATOR "odd. (x".### (rightarg = "odd. (x"."a, (b", function = same)',
        'CREATE OPERATOR "odd. (x".### (leftarg = int, rightarg = int, function = int4eq)',
        'ALTER OPERATOR "odd. (x".### (NONE, "odd. (x"."a, (b") OWNER TO one',
        'ALTER OPERATOR "odd. (x".### (int, int) OWNER TO two',
        *(f'CREATE OPERATOR FAMILY "f USING" USING {method}' for method in ("btree", "hash")),
        'ALTER OPERATOR FAMILY "f USING" USING btree OWNER TO one',
        'ALTER OPERATOR FAMILY "f USING" USING hash OWNER TO two',
        "CREATE OPERATOR CLASS c FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int)",
        "CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 3 =, FUNCTION 1 btint4cmp(int, int)",
        "ALTER OPERATOR CLASS c USING hash OWNER TO two",
    )
    app(estate)
    assert estate.restore().findings == ()
    query = "SELECT opcmethod, opcowner::regrole::text FROM pg_opclass WHERE opcname = 'c' ORDER BY 1"
    assert [owner for _, owner in estate.rows("app", query)] == ["postgres", "two"]
