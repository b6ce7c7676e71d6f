from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from harness.core.contents import DatabaseFacts
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.postgres.checks import column, differences
from harness.postgres.dump import chunks, dump_task, facts, open_snapshot
from harness.postgres.identity import databases, system_facts
from harness.postgres.restoring.database import Spooled, restore_database
from harness.postgres.roles import data as roles
from harness.postgres.roles.check import differences as differences_of_server
from harness.postgres.roles.restore import create_database, finish_database, restore
from harness.postgres.server import connect
from tests.servers import DatabaseServer

pytestmark = pytest.mark.programs

ROLES = (
    "CREATE ROLE shop LOGIN PASSWORD 'shop''s own'",
    'CREATE ROLE "Odd; name" NOLOGIN',
    "CREATE ROLE reader NOLOGIN",
    "GRANT reader TO shop",
)
SHOP = (
    "CREATE TYPE mood AS ENUM ('glad', 'sad')",
    "CREATE TABLE kinds (id serial PRIMARY KEY, moment timestamptz, plain timestamp, real_ float8, small float4,"
    " raw bytea, doc jsonb, tags text[], pair int4range, span interval, price money, feeling mood, note text,"
    " twice int GENERATED ALWAYS AS (id * 2) STORED)",
    "INSERT INTO kinds (moment, plain, real_, small, raw, doc, tags, pair, span, price, feeling, note) VALUES"
    " ('2026-03-29 02:30:00.123456+02', '2026-03-29 02:30', 0.1::float8 + 0.2, 1e-30, '\\x00ff5c27', "
    '  \'{"b": [1, null, "\\u00fc"], "a": 1.50}\', \'{NULL,"a,b","","\\""}\', \'[1,5)\', \'1 mon -3 days 04:05:06.7\','
    "  12.34, 'sad', E'tab\\t quote '' \\\\ newline\\n'),"
    " ('infinity', '-infinity', 'NaN', '-Infinity', '', 'null', '{}', 'empty', '0', -1, NULL, ''),"
    " (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "CREATE TABLE parted (day date, n int) PARTITION BY RANGE (day)",
    "CREATE TABLE parted_new PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "INSERT INTO parted VALUES ('2026-05-01', 1), ('2026-05-01', 1)",
    "CREATE TABLE bare ()",
    "INSERT INTO bare DEFAULT VALUES",
    "SELECT lo_from_bytea(4711, '\\xdeadbeef')",
    "CREATE SEQUENCE down INCREMENT -5 START -5 MAXVALUE -1",
    "SELECT nextval('down')",
    "CREATE MATERIALIZED VIEW moments AS SELECT clock_timestamp() AS now",
    "ANALYZE kinds",
    "ALTER TABLE kinds OWNER TO shop",
    "GRANT SELECT ON kinds TO reader",
    "ALTER DATABASE \"shop's\" SET work_mem = '7MB'",
    'GRANT CONNECT ON DATABASE "shop\'s" TO reader',
)


@dataclass(frozen=True, slots=True)
class Dump:
    facts: DatabaseFacts
    content: bytes
    server: roles.ServerData


@pytest.fixture(scope="module")
def dump(primary: DatabaseServer) -> Dump:
    """A dump of the database `shop's` with facts and roles."""
    primary.execute("postgres", *ROLES, 'CREATE DATABASE "shop\'s" OWNER shop')
    primary.execute("shop's", *SHOP)
    with open_snapshot(primary.sql, "shop's") as snapshot:
        # Written after the snapshot: must be missing in dump and facts.
        primary.execute("shop's", "INSERT INTO kinds (note) VALUES ('too late')")
        seen = facts(snapshot, "databases/1")
        dump = b"".join(chunks(primary.site.run(dump_task(primary.site, primary.sql, snapshot)), 60))
    return Dump(seen, dump, roles.parse(roles.read(primary.sql, roles.inspect(primary.sql))))


@pytest.fixture(scope="module")
def restored(dump: Dump, dr: DatabaseServer) -> Iterator[Sql]:
    found = roles.inspect(dr.sql)
    assert restore(dr.sql, dump.server, found) == ()
    with dr.site.volume("spool").open("shop.dump", "wb") as spool:
        spool.write(dump.content)
    create_database(dr.sql, dump.server, found, "shop's")
    assert restore_database(dr.sql, dump.facts, Spooled(dr.site, "spool", "shop.dump", 2)).views == (
        b"public moments postgres",
    )
    finish_database(dr.sql, dump.server, "shop's")
    yield dr.sql
    dr.site.volume("spool").remove("shop.dump")


def test_facts_have_the_counts_and_the_time_of_the_snapshot(primary: DatabaseServer, dump: Dump) -> None:
    tables = {table.name: table.rows for table in dump.facts.tables}
    assert tables == {"public.bare": 1, "public.kinds": 3, "public.parted_new": 2, "pg_catalog.pg_largeobject": 1}
    assert dump.facts.owner == "shop"
    assert dump.facts.collation == "builtin C.UTF-8 C.UTF-8 C.UTF-8"
    assert {s.name: s.value for s in dump.facts.sequences}["public.down"] == -5
    assert dump.facts.size > 5_000_000
    now = primary.one("postgres", "SELECT clock_timestamp()")
    assert str(dump.facts.snapshot_at) < str(now)


def test_a_restored_database_has_equal_facts(restored: Sql, dump: Dump) -> None:
    assert differences(restored, dump.facts) == ()
    with open_snapshot(restored, "shop's") as snapshot:
        again = facts(snapshot, "databases/1")
    assert again.tables == dump.facts.tables


def test_session_defaults_do_not_change_digests(dr: DatabaseServer, restored: Sql, dump: Dump) -> None:
    settings = {"TimeZone": "Asia/Tokyo", "DateStyle": "German", "bytea_output": "escape", "extra_float_digits": "-3"}
    for name, value in settings.items():
        dr.execute("postgres", f"ALTER ROLE postgres SET {name} = '{value}'")
    try:
        assert differences(restored, dump.facts) == ()
    finally:
        dr.execute("postgres", "ALTER ROLE postgres RESET ALL")


@pytest.mark.parametrize(
    ("change", "revert", "line"),
    [
        (
            "UPDATE kinds SET price = '12.35' WHERE price = '12.34'",
            "UPDATE kinds SET price = '12.34' WHERE price = '12.35'",
            "table public.kinds: other contents or columns in 3 rows",
        ),
        (
            "UPDATE kinds SET note = NULL WHERE note = ''",
            "UPDATE kinds SET note = '' WHERE moment = 'infinity'",
            "table public.kinds: other contents or columns in 3 rows",
        ),
        (
            "ALTER TABLE kinds RENAME note TO remark",
            "ALTER TABLE kinds RENAME remark TO note",
            "table public.kinds: other contents or columns in 3 rows",
        ),
        (
            "INSERT INTO parted VALUES ('2026-05-01', 1)",
            "DELETE FROM parted WHERE ctid = (SELECT max(ctid) FROM parted)",
            "table public.parted_new: 3 rows, expected 2",
        ),
        ("ALTER TABLE bare RENAME TO bear", "ALTER TABLE bear RENAME TO bare", "table public.bare: missing"),
        ("CREATE TABLE extra ()", "DROP TABLE extra", "table public.extra: not in the backup"),
        (
            "SELECT setval('kinds_id_seq', 2)",
            "SELECT setval('kinds_id_seq', 4)",
            "sequence public.kinds_id_seq: at 2, behind 3",
        ),
        ("SELECT setval('down', -1)", "SELECT setval('down', -5)", "sequence public.down: at -1, behind -5"),
        (
            'ALTER DATABASE "shop\'s" OWNER TO postgres',
            'ALTER DATABASE "shop\'s" OWNER TO shop',
            "owner: postgres, expected shop",
        ),
    ],
)
def test_each_difference_is_one_line(
    dr: DatabaseServer, restored: Sql, dump: Dump, change: str, revert: str, line: str
) -> None:
    dr.execute("shop's", change)
    try:
        assert line in differences(restored, dump.facts)
    finally:
        dr.execute("shop's", revert)
    assert differences(restored, dump.facts) == ()


def test_owners_grants_and_settings_are_restored(dr: DatabaseServer, restored: Sql) -> None:
    assert column(restored, "shop's", "SELECT tableowner FROM pg_tables WHERE tablename = 'kinds'") == ("shop",)
    assert dr.one("shop's", "SELECT has_table_privilege('reader', 'kinds', 'SELECT')") is True
    assert dr.one("shop's", "SHOW work_mem") == "7MB"
    acl = str(dr.one("postgres", "SELECT datacl::text FROM pg_database WHERE datname = 'shop''s'"))
    assert "reader=c/shop" in acl
    assert dr.one("shop's", "SELECT pg_has_role('shop', 'reader', 'MEMBER')") is True
    assert dr.one("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'Odd; name'") == 1


def test_roles_are_restored_with_passwords_except_the_superuser(
    primary: DatabaseServer, restored: Sql, tmp_path: Path
) -> None:
    password = tmp_path / "shop"
    password.write_text("shop's own")
    with connect(restored, "shop's", user="shop", password_ref=f"file:{password}") as connection:
        assert connection.execute("SELECT count(*) FROM kinds").fetchone() == (3,)
    with pytest.raises(HarnessError, match="password authentication failed"):
        connect(replace(restored, password_ref=primary.sql.password_ref))
    assert databases(restored) == ("shop's",)


def test_restoring_roles_twice_changes_nothing(dr: DatabaseServer, restored: Sql, dump: Dump) -> None:
    restore(dr.sql, dump.server, roles.inspect(dr.sql))
    assert differences_of_server(dr.sql, dump.server, ("shop's",)) == ()
    assert databases(restored) == ("shop's",)


def test_roles_are_restored_in_one_transaction_and_errors_show_no_verifier(dr: DatabaseServer, dump: Dump) -> None:
    half = replace(dump.server.roles[0], name="half", verifier="SCRAM-SHA-256$4096:verifier", until="never")
    with pytest.raises(RestoreFailed, match="invalid input syntax for type timestamp") as caught:
        restore(dr.sql, replace(dump.server, roles=(*dump.server.roles, half)), roles.inspect(dr.sql))
    assert "verifier" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert dr.one("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'half'") == 0


def test_statistics_are_restored(dr: DatabaseServer, restored: Sql) -> None:
    assert dr.one("shop's", "SELECT reltuples FROM pg_class WHERE relname = 'kinds'") == 3
    assert dr.one("shop's", "SELECT count(*) > 5 FROM pg_stats WHERE tablename = 'kinds'") is True


def test_a_truncated_dump_fails_with_the_first_error_of_pg_restore(dr: DatabaseServer, dump: Dump) -> None:
    spool = dr.site.volume("spool")
    for size, reason in (
        (len(dump.content) // 2, r"its dump cannot be listed \(it ends too early\); use another backup"),
        (len(dump.content) - 100, r"could not read from input file: .*\(exit code 1\)"),
    ):
        with spool.open("cut.dump", "wb") as file:
            file.write(dump.content[:size])
        dr.execute("postgres", "CREATE DATABASE cut TEMPLATE template0")
        try:
            with pytest.raises(RestoreFailed, match=rf"database cut .*: {reason}"):
                restore_database(dr.sql, replace(dump.facts, name="cut"), Spooled(dr.site, "spool", "cut.dump", 2))
        finally:
            spool.remove("cut.dump")
            dr.execute("postgres", "DROP DATABASE cut")


def test_the_maintenance_database_is_backed_up_only_when_used(
    primary: DatabaseServer, dr: DatabaseServer, restored: Sql
) -> None:
    assert databases(primary.sql) == ("shop's",)
    primary.execute("postgres", "CREATE TABLE notes (n int)", "INSERT INTO notes VALUES (7)")
    try:
        assert databases(primary.sql) == ("postgres", "shop's")
        with open_snapshot(primary.sql, "postgres") as snapshot:
            seen = facts(snapshot, "databases/1")
            dump = b"".join(chunks(primary.site.run(dump_task(primary.site, primary.sql, snapshot)), 60))
        with dr.site.volume("spool").open("postgres.dump", "wb") as spool:
            spool.write(dump)
        restore_database(dr.sql, seen, Spooled(dr.site, "spool", "postgres.dump", 1))
        assert differences(dr.sql, seen) == ()
    finally:
        primary.execute("postgres", "DROP TABLE notes")
        dr.execute("postgres", "DROP TABLE IF EXISTS notes")


def test_two_servers_have_different_identifiers(primary: DatabaseServer, dr: DatabaseServer) -> None:
    here, there = system_facts(primary.sql), system_facts(dr.sql)
    assert here.identifier != there.identifier
    assert here.version.startswith("18.")
    assert here.timeline == 1


def test_digests_do_not_depend_on_the_order_of_rows(dr: DatabaseServer) -> None:
    dr.execute("postgres", "CREATE DATABASE ordered")
    try:
        digests = []
        for order in ("ASC", "DESC"):
            dr.execute(
                "ordered",
                "DROP TABLE IF EXISTS t",
                f"CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n ORDER BY n {order}",  # noqa: S608
            )
            with open_snapshot(dr.sql, "ordered") as snapshot:
                digests += [(t.rows, t.digest) for t in facts(snapshot, "databases/1").tables]
        assert digests[0] == digests[1]
        assert digests[0][0] == 1000
    finally:
        dr.execute("postgres", "DROP DATABASE ordered")


def test_a_restored_database_accepts_new_rows(dr: DatabaseServer, restored: Sql, dump: Dump) -> None:
    with connect(restored, "shop's", autocommit=False) as connection:
        row = connection.execute("INSERT INTO kinds (note) VALUES ('new') RETURNING id").fetchone()
        assert row is not None
        assert row[0] > 3
        connection.rollback()
    with pytest.raises(psycopg.errors.UniqueViolation):
        dr.execute("shop's", "INSERT INTO kinds (id) VALUES (1)")
