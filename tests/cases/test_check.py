"""Cases 4, 5 and 15: what differs from the backup after a restore is found, what does not differ is not reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.core.contents import DatabaseFacts
from harness.postgres.checks import differences, losses
from harness.postgres.contents.schema import SchemaText
from harness.postgres.dump import chunks, dump_task, facts, open_snapshot, schema_task
from harness.postgres.restoring.database import Spooled, restore_database
from tests.cases.estate import CaseEstate
from tests.cases.majors import OWN, serving
from tests.cases.odd import ODD, ROLES
from tests.servers import DatabaseServer, embedded, start_database

pytestmark = [pytest.mark.cases, pytest.mark.programs]
NAME = "odd"


@dataclass(frozen=True, slots=True)
class Kept:
    """A database in a backup: its facts and its stored schema; `dump`: what pg_restore reads."""

    facts: DatabaseFacts
    schema: bytes
    dump: bytes


def keep(server: DatabaseServer, name: str) -> Kept:
    """Take what a backup takes of one database."""
    with open_snapshot(server.sql, name) as snapshot:
        text = SchemaText()
        running = server.site.run(schema_task(server.site, server.sql, name, snapshot))
        schema = b"".join(text.chunks(chunks(running, 60)))
        dump = b"".join(chunks(server.site.run(dump_task(server.site, server.sql, snapshot)), 60))
        seen = facts(snapshot, "databases/0001")
    return Kept(replace(seen, schema=text.digest), schema, dump)


def folder(home: Path, name: str) -> Path:
    (home / name).mkdir()
    return home / name


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DatabaseServer, DatabaseServer]]:
    home = tmp_path_factory.mktemp("check")
    with embedded(home) as substrate:
        with serving(OWN):
            primary, dr = (
                start_database(substrate.site(name), tmp_path_factory.mktemp(name)) for name in ("primary", "dr")
            )
        yield primary, dr


@pytest.fixture(scope="module")
def kept(servers: tuple[DatabaseServer, DatabaseServer]) -> Kept:
    """The odd database, restored on DR as `whole`."""
    primary, dr = servers
    for server in servers:
        server.execute("postgres", *(f"CREATE ROLE {role}" for role in ROLES), f"CREATE DATABASE {NAME}")
    primary.execute(NAME, ODD)
    made = keep(primary, NAME)
    restore(dr, made)
    return made


def restore(dr: DatabaseServer, kept: Kept) -> None:
    with dr.site.volume("spool").open("odd.dump", "wb") as spool:
        spool.write(kept.dump)
    restore_database(dr.sql, kept.facts, Spooled(dr.site, "spool", "odd.dump", 2))


@pytest.fixture
def changed(servers: tuple[DatabaseServer, DatabaseServer], kept: Kept) -> Iterator[Changed]:
    """A copy of the restored database, in the place of it."""
    dr = servers[1]
    dr.execute("postgres", f"ALTER DATABASE {NAME} RENAME TO whole", f"CREATE DATABASE {NAME} TEMPLATE whole")
    yield Changed(dr, kept)
    dr.execute("postgres", f"DROP DATABASE {NAME}", f"ALTER DATABASE whole RENAME TO {NAME}")


@dataclass(frozen=True, slots=True)
class Changed:
    dr: DatabaseServer
    kept: Kept

    def execute(self, *statements: str) -> None:
        self.dr.execute(NAME, *statements)

    def differences(self) -> tuple[str, ...]:
        return differences(self.dr.sql, self.kept.facts, self.dr.site, lambda: (self.kept.schema,))

    def losses(self) -> tuple[str, ...]:
        return losses(self.dr.sql, self.kept.facts, self.dr.site, lambda: (self.kept.schema,))


def test_a_good_restore_of_odd_statements_has_no_difference(changed: Changed) -> None:
    assert changed.differences() == ()
    assert changed.losses() == ()


def test_what_a_restore_computes_is_not_compared_and_is_named(kept: Kept) -> None:
    assert kept.facts.not_compared == (
        "foreign table public.ft: its rows are on another server",
        "materialised view app.mv: its rows are computed by the restore",
        "sequence public.around: it cycles, its value is not compared",
        "table public.gen: values of generated columns are computed by the restore",
    )


DATA = (
    ("UPDATE clash SET t = 2", "table public.clash: other contents or columns in 1 rows"),
    ("UPDATE clash SET rows = 0", "table public.clash: other contents or columns in 1 rows"),
    ("DELETE FROM part_a1", "table public.part_a1: 0 rows, expected 1"),
    ("UPDATE measure_2026 SET note = 'last'", "table public.measure_2026: other contents or columns in 1 rows"),
    ("TRUNCATE cache", "table public.cache: 0 rows, expected 1"),
    ("DROP TABLE room", "table public.room: missing"),
    ("SELECT setval('fresh', 1, false)", "sequence public.fresh: at 1, not yet called, behind 900, not yet called"),
    ("SELECT setval('app.orders_id_seq', 1)", "sequence app.orders_id_seq: at 1, behind 2"),
    ("SELECT lo_unlink(7)", "table pg_catalog.pg_largeobject: 1 rows, expected 2"),
    ("SELECT lo_put(8, 0, '\\x03')", "table pg_catalog.pg_largeobject: other contents or columns in 2 rows"),
    ("REVOKE SELECT ON LARGE OBJECT 7 FROM r1", "large objects: other owners, grants or comments"),
    ("ALTER LARGE OBJECT 7 OWNER TO r2", "large objects: other owners, grants or comments"),
    ("COMMENT ON LARGE OBJECT 8 IS NULL", "large objects: other owners, grants or comments"),
    ("DROP EXTENSION btree_gist CASCADE", "extension btree_gist: missing"),
    ("UPDATE pg_extension SET extversion = '1.1' WHERE extname = 'hstore'", "extension hstore: version 1.1, expected"),
)
SCHEMA = (
    ("DROP VIEW casts", "schema: view public.casts: missing"),
    ("CREATE OR REPLACE VIEW sb AS SELECT 2 AS one", "schema: view public.sb: `"),
    ("ALTER VIEW sb RESET (security_barrier)", "schema: view public.sb: `"),
    (
        "CREATE OR REPLACE FUNCTION app.f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "schema: function app.f(integer): another definition",
    ),
    ("ALTER FUNCTION app.f(text) SECURITY DEFINER", "schema: function app.f(text): another definition"),
    ("DROP TRIGGER tr ON app.orders", "schema: trigger app.orders tr: missing"),
    ("ALTER TABLE app.orders ENABLE TRIGGER tr", "schema: trigger app.orders tr: without `"),
    ("DROP POLICY pol ON app.orders", "schema: policy app.orders pol: missing"),
    ("ALTER TABLE app.orders DISABLE ROW LEVEL SECURITY", "schema: row security app.orders: missing"),
    ("ALTER TABLE app.orders NO FORCE ROW LEVEL SECURITY", "schema: table app.orders: without `"),
    ("ALTER TABLE cyc2 DROP CONSTRAINT cyc2_pkey CASCADE", "schema: constraint public.cyc2 cyc2_pkey: missing"),
    ("ALTER TABLE app.orders DROP CONSTRAINT orders_state_check", "schema: table app.orders: `"),
    ("ALTER TABLE nn ALTER b DROP NOT NULL", "schema: table public.nn: `"),
    ("ALTER TABLE app.orders ALTER kind DROP DEFAULT", "schema: table app.orders: `"),
    ("ALTER TABLE app.orders ALTER id DROP DEFAULT", "schema: default app.orders id: missing"),
    ("REVOKE SELECT ON app.orders FROM r3", "schema: grants on table app.orders: without `"),
    ("GRANT SELECT ON cyc1 TO r1", "schema: grants on table public.cyc1: not in the backup"),
    ("ALTER TABLE cyc1 OWNER TO r1", "schema: table public.cyc1: owner r1, expected postgres"),
    ("DROP MATERIALIZED VIEW app.mv", "schema: materialized view app.mv: missing"),
    ("DROP INDEX app.i1", "schema: index app.i1: missing"),
    ("COMMENT ON TABLE app.orders IS 'other'", "schema: comment on table app.orders: `"),
    ("ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM r3", "schema: default acl app."),
    ("DROP PUBLICATION pub2", "schema: publication pub2: missing"),
    ("DROP EVENT TRIGGER et", "schema: event trigger et: missing"),
    ("ALTER TABLE part DETACH PARTITION part_d", "schema: table attach public.part_d: missing"),
    ("ALTER SEQUENCE fresh MAXVALUE 1000", "schema: sequence public.fresh: `"),
    ("ALTER TYPE app.mood ADD VALUE 'calm'", "schema: type app.mood: `"),
    ("ALTER DOMAIN app.pos DROP CONSTRAINT pos_check", "schema: domain app.pos: `"),
    ("DROP STATISTICS st", "schema: statistics public.st: missing"),
    ("ALTER SERVER far OPTIONS (SET host '127.0.0.9')", "schema: server far: another definition"),
    ("ALTER USER MAPPING FOR postgres SERVER far OPTIONS (SET password 'x')", "far: another definition"),
    ("CREATE TABLE extra (n int)", "schema: table public.extra: not in the backup"),
    ("DROP RULE ru ON cyc1", "schema: rule public.cyc1 ru: missing"),
    ("DROP AGGREGATE agg(int)", "schema: aggregate public.agg(integer): missing"),
    ("ALTER TABLE room ALTER id TYPE bigint", "schema: table public.room: `"),
)


@pytest.mark.parametrize(("change", "line"), [*DATA, *SCHEMA], ids=str)
def test_every_change_after_a_restore_is_found(changed: Changed, change: str, line: str) -> None:
    changed.execute("SET client_min_messages = error", f"SET session_replication_role = replica; {change}")
    found = changed.differences()
    assert any(line in one for one in found), found
    assert not any("secret" in one or "hunter2" in one for one in found)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER EVENT TRIGGER et ENABLE",  # a drill switches it
        "SELECT nextval('fresh')",
        "SELECT setval('around', 1)",
        "REFRESH MATERIALIZED VIEW app.mv",
        "VACUUM ANALYZE app.orders",
        "REVOKE SELECT ON app.orders FROM r3; GRANT SELECT ON app.orders TO r3",
        "GRANT UPDATE ON LARGE OBJECT 8 TO r1; REVOKE UPDATE ON LARGE OBJECT 8 FROM r1",
    ],
)
def test_what_no_restore_has_to_keep_is_not_reported(changed: Changed, change: str) -> None:
    changed.execute(change)
    assert changed.differences() == ()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("DELETE FROM clash", "table public.clash: 0 rows, at least 1 expected"),
        ("DROP TABLE room", "table public.room: missing"),
        ("DROP VIEW sb", "schema: view public.sb: missing"),
        ("SELECT setval('fresh', 1, false)", "sequence public.fresh: at 1, not yet called, behind 900, not yet called"),
        ("SELECT lo_unlink(8)", "table pg_catalog.pg_largeobject: 1 rows, at least 2 expected"),
    ],
)
def test_what_services_must_not_have_lost_is_found(changed: Changed, change: str, line: str) -> None:
    changed.execute(change)
    assert line in changed.losses()


def test_what_services_write_is_no_loss(changed: Changed) -> None:
    changed.execute(
        "INSERT INTO clash DEFAULT VALUES",
        "UPDATE clash SET t = 7",
        "SELECT nextval('fresh')",
        "CREATE TABLE extra (n int)",
        "CREATE INDEX extra_index ON cyc1 (o)",
    )
    assert changed.losses() == ()


def test_a_backup_holds_the_schema_and_its_restore_is_compared_with_it(estate: CaseEstate) -> None:
    estate.create(
        "app", "CREATE TABLE t (s varchar CHECK (s IN ('a', 'b')))", "CREATE VIEW v AS SELECT * FROM t WHERE s IN ('a')"
    )
    estate.declare("app")
    app = next(database for database in estate.back_up().contents.databases if database.name == "app")
    assert len(app.schema) == 64
    estate.restore()
