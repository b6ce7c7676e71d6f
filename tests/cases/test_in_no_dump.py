"""What pg_dump passes over in silence, or cannot read: each is named, with what to do."""

from __future__ import annotations

import psycopg
import pytest

from harness.backup.coverage import check_collations
from harness.core.errors import BackupFailed
from harness.estate.report import Report
from harness.postgres.checks import differences
from harness.postgres.server import connect
from tests.cases.estate import CaseEstate
from tests.cases.majors import OWN, asked_major

pytestmark = [pytest.mark.cases, pytest.mark.night]
OLDEST = 14  # knows no version of the collation of a database itself
INVALID = "it is invalid, no dump has it; build it anew by REINDEX, or drop it"


def test_an_index_that_was_not_completed_is_named(estate: CaseEstate) -> None:
    """One of a partitioned table that waits for those of its partitions is in the dump."""
    estate.create(
        "app",
        "CREATE TABLE t AS SELECT 1 AS n FROM generate_series(1, 2)",
        "CREATE TABLE parts (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE part PARTITION OF parts DEFAULT",
        "CREATE INDEX waiting ON ONLY parts (n)",
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        estate.run("app", 'CREATE UNIQUE INDEX CONCURRENTLY "Half" ON t (n)')
    estate.declare("app")
    contents = estate.back_up().contents
    assert (contents.uncovered, contents.not_compared) == ((), (f'database app: index public."Half": {INVALID}',))
    restored = estate.restore()
    assert restored.findings == ()
    assert estate.rows("app", "SELECT relname FROM pg_class WHERE relkind IN ('i', 'I') AND oid > 16384") == [
        ("waiting",)
    ]


def test_a_row_of_more_than_1_gb_is_refused_with_what_to_do(estate: CaseEstate) -> None:
    """Each value has less: PostgreSQL stores the row, and COPY has no line for it."""
    estate.create("app", "CREATE TABLE t (n int, a text, b text)")
    estate.run("app", "INSERT INTO t (a) VALUES (repeat('a', 550000000))", "UPDATE t SET b = a")
    estate.declare("app")
    with pytest.raises(BackupFailed, match=r"COPY public\.t .*a row in it has more than 1 GB as text.*: split it"):
        estate.back_up()
    assert estate.facts("1.7.1")


def test_a_database_without_the_schema_public_comes_back_without_it(estate: CaseEstate) -> None:
    """It was there again; before PostgreSQL 15 everybody may create objects in it."""
    estate.create("app", "DROP SCHEMA public", "CREATE SCHEMA own", "CREATE TABLE own.t AS SELECT 1 AS n")
    estate.create("other")
    estate.run("postgres", "DROP SCHEMA public")
    estate.declare("app", "other")
    facts = {one.name: one for one in estate.back_up().contents.databases}
    assert estate.restore().findings == ()
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema' ORDER BY 1"
    found = {name: [schema for (schema,) in estate.rows(name, schemas)] for name in ("app", "other", "postgres")}
    assert found == {"app": ["own"], "other": ["public"], "postgres": []}
    estate.run("app", "CREATE SCHEMA public", site="dr")
    assert differences(estate.dr.place.sql, facts["app"]) == ("schema public: not in the backup",)


def test_what_a_restore_cannot_leave_half_done_is_named(estate: CaseEstate) -> None:
    """An interrupted DETACH: the rows are no longer the parent's there. Foreign keys that are not checked there."""
    estate.create(
        "app",
        "CREATE TABLE parts (n int) PARTITION BY LIST (n)",
        "CREATE TABLE one PARTITION OF parts FOR VALUES IN (1)",
        "INSERT INTO parts VALUES (1)",
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (id int REFERENCES parent)",
        "ALTER TABLE child DISABLE TRIGGER ALL",
    )
    with connect(estate.primary.place.sql, "app", autocommit=False) as reader:
        reader.execute("SELECT FROM parts")
        with pytest.raises(psycopg.errors.QueryCanceled):
            estate.run("app", "SET statement_timeout = '1s'", "ALTER TABLE parts DETACH PARTITION one CONCURRENTLY")
    assert estate.rows("app", "SELECT n FROM parts", "primary") == []
    estate.declare("app")
    assert estate.back_up().contents.not_compared == (
        "database app: table public.child: triggers of its foreign keys are disabled, and a restore enables them",
        "database app: table public.one: its DETACH was interrupted, and a restore makes it a partition again",
    )
    assert estate.restore().findings == ()


def test_what_was_added_to_tables_and_views_of_an_extension_is_named(estate: CaseEstate) -> None:
    """It was lost in silence: pg_dump leaves members of an extension, and all that is on them, to CREATE EXTENSION."""
    estate.create(
        "app",
        "CREATE TABLE m (a int PRIMARY KEY, b text)",
        "CREATE INDEX of_it ON m (a, b)",
        "CREATE VIEW v AS SELECT a FROM m",
        "CREATE TABLE untouched (a int PRIMARY KEY)",
        "CREATE EXTENSION citext",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TABLE child (n int)",
        "BEGIN; ALTER EXTENSION citext ADD TABLE m; ALTER EXTENSION citext ADD VIEW v; COMMIT",
        "BEGIN; CREATE TABLE own (a int PRIMARY KEY); CREATE INDEX ON own (a);"
        " ALTER EXTENSION citext ADD TABLE own; COMMIT",
        'CREATE TRIGGER "T" BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION f()',
        "CREATE INDEX i ON own (a)",
        "CREATE RULE r AS ON DELETE TO own DO INSTEAD NOTHING",
        "ALTER TABLE own ADD COLUMN c int DEFAULT 5",
        "ALTER TABLE own ADD CONSTRAINT k CHECK (a > 0)",
        "CREATE POLICY p ON own USING (true)",
        "ALTER TABLE own ENABLE ROW LEVEL SECURITY",
        "CREATE STATISTICS s ON a, c FROM own",
        "ALTER TABLE child ADD FOREIGN KEY (n) REFERENCES own",
        "CREATE TRIGGER t INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f()",
        "BEGIN; CREATE TABLE granted (a int PRIMARY KEY); CREATE MATERIALIZED VIEW filled AS SELECT 1 AS n;"
        " CREATE VIEW replaced AS SELECT 1 AS n; CREATE TABLE switched (a int);"
        " CREATE TRIGGER off BEFORE INSERT ON switched FOR EACH ROW EXECUTE FUNCTION f();"
        " ALTER EXTENSION citext ADD TABLE granted; ALTER EXTENSION citext ADD MATERIALIZED VIEW filled;"
        " ALTER EXTENSION citext ADD VIEW replaced; ALTER EXTENSION citext ADD TABLE switched; COMMIT",
        "GRANT SELECT ON granted, filled TO PUBLIC",
        "REFRESH MATERIALIZED VIEW filled",
        "CREATE OR REPLACE VIEW replaced AS SELECT 2 AS n",
        "ALTER TABLE switched DISABLE TRIGGER off",
        "CREATE EXTENSION hstore",
    )
    estate.declare("app")
    named = estate.back_up().contents.not_compared
    of_own = (
        "column c, constraint k, default of c, index i, its options (row security, replica identity, storage), "
        'policy p, rule r, statistics s, trigger "T"'
    )
    said = "may have been added or changed, and is in no dump"
    assert f"database app: table public.own of extension citext: {said}: {of_own}" in named
    (of_view,) = [line for line in named if "view public.v of extension citext" in line]
    assert of_view.endswith("trigger t")
    for what, part in (("view public.replaced", "its query"), ("table public.switched", "trigger off")):
        assert f"database app: {what} of extension citext: {said}: {part}" in named
    silent = ("hstore", "untouched", "child", "granted", "filled")
    assert not [line for line in named if any(f"{one} of extension" in line or f" {one}" in line for one in silent)]


def test_what_a_hardened_database_revokes_needs_no_permission(estate: CaseEstate) -> None:
    """The restore was refused: it asked for leave to take rights away."""
    revoked = ("EXECUTE ON FUNCTION pg_sleep(float8)", "SELECT ON pg_user", "USAGE ON LANGUAGE plpgsql")
    estate.create("app", *(f"REVOKE {what} FROM PUBLIC" for what in revoked))
    estate.declare("app")
    estate.back_up()
    assert estate.restore().findings == ()
    held = "SELECT proacl::text FROM pg_proc WHERE proname = 'pg_sleep' UNION ALL "
    held += "SELECT relacl::text FROM pg_class WHERE relname = 'pg_user'"
    assert estate.rows("app", held) == estate.rows("app", held, "primary")


def test_indexes_that_another_version_of_a_collation_built_are_named(estate: CaseEstate) -> None:
    """An exchanged library, as after an upgrade of the system: PostgreSQL says so to who connects, and serves on."""
    provider, locale = ("builtin", "C.UTF-8") if asked_major() == OWN else ("icu", "de")
    of_database = asked_major() > OLDEST
    options = f" LOCALE_PROVIDER {provider} {provider}_LOCALE '{locale}' LOCALE 'C'" if of_database else ""
    estate.run("postgres", f"CREATE DATABASE app TEMPLATE template0{options}")
    estate.run(
        "app",
        f"CREATE COLLATION german (provider = {provider}, locale = '{locale}')",
        "CREATE TABLE t (a text PRIMARY KEY COLLATE german, b text UNIQUE)",
        "INSERT INTO t VALUES ('z', 'z'), ('a', 'a')",
        "UPDATE pg_collation SET collversion = '0.8' WHERE collname = 'german'",
        *(("UPDATE pg_database SET datcollversion = '0.9' WHERE datname = 'app'",) if of_database else ()),
    )
    estate.declare("app")
    named = [line for line in estate.back_up().contents.not_compared if "REINDEX DATABASE NAME" in line]
    wanted = [("public.german", "0.8", "ALTER COLLATION public.german REFRESH VERSION")]
    if of_database:
        wanted.insert(0, ("of the database", "0.9", "ALTER DATABASE NAME REFRESH COLLATION VERSION"))
    for line, (name, version, remedy) in zip(named, wanted, strict=True):
        assert line.startswith(f"database app: collation {name}: indexes were built by version {version}, and this ")
        assert line.endswith(f"; REINDEX DATABASE NAME, then {remedy}")
    report = Report()
    check_collations(report, estate.primary.place.sql, ("gone", "app"))
    gone, *rest = map(str, report.warnings)
    assert gone.startswith("database gone: its collations are not known: PostgreSQL at ")
    assert (rest, report.defects) == (named, [])
    assert estate.restore().findings == ()
