"""Cases 3, 13, 16, 17, 20, 24: what a restore brings back, and how it fails."""

from __future__ import annotations

import re
from typing import IO

import pytest

from harness.core.errors import RestoreFailed
from harness.postgres.roles.check import differences
from harness.postgres.roles.data import PATH, parse
from harness.recovery.containment import release_all
from harness.substrate.common.folder_volume import FolderVolume
from tests.cases.estate import CaseEstate
from tests.cases.majors import understood

pytestmark = pytest.mark.cases

AS_APP = "SET SESSION AUTHORIZATION app"
ROLES = (
    "CREATE ROLE app LOGIN PASSWORD 'it''s \\ secret' CONNECTION LIMIT 7 VALID UNTIL '2031-02-03 04:05:06+02'",
    'CREATE ROLE "odd""; name\n" CREATEROLE NOINHERIT',
    "CREATE ROLE reader BYPASSRLS",
    "CREATE ROLE auditor",
    "COMMENT ON ROLE app IS 'the shop''s own'",
    "GRANT reader TO app WITH ADMIN OPTION",
    "GRANT reader TO auditor GRANTED BY app",
    'GRANT pg_monitor TO "odd""; name\n"',
    "GRANT SET ON PARAMETER log_min_duration_statement TO app WITH GRANT OPTION",
    f"{AS_APP}; GRANT SET ON PARAMETER log_min_duration_statement TO auditor; RESET SESSION AUTHORIZATION",
    "ALTER ROLE app SET search_path = '$user', 'a b', public, 'we\"ird,x'",
    "ALTER ROLE ALL SET my.setting = 'it''s \\ here'",
    "ALTER ROLE postgres SET DateStyle = 'German, YMD'",
    "ALTER ROLE postgres SET statement_timeout = 1",
    "ALTER DATABASE postgres SET work_mem = '7MB'",
    "CREATE DATABASE shop OWNER app",
    "ALTER ROLE app IN DATABASE shop SET session_preload_libraries = 'not there', '$libdir/x y'",
    "REVOKE ALL ON DATABASE shop FROM PUBLIC",
    "GRANT CONNECT ON DATABASE shop TO reader WITH GRANT OPTION",
    "COMMENT ON DATABASE shop IS 'a shop'",
    "ALTER DATABASE shop WITH CONNECTION LIMIT 9 IS_TEMPLATE true",
)
HOSTILE = (
    ("default_transaction_read_only = on", "statement_timeout = 1", "role = 'reader'", "row_security = on"),
    ("client_encoding = 'LATIN1'", "lock_timeout = 1", "DateStyle = 'Postgres, MDY'", "search_path = nowhere"),
    ("session_preload_libraries = 'not_there'", "default_table_access_method = 'nothing'", "xmloption = document"),
    ("standard_conforming_strings = off", "bytea_output = escape", "IntervalStyle = sql_standard"),
)


def test_case_24_roles_settings_and_grants_come_back(estate: CaseEstate) -> None:
    """Also those of the database and of the role `postgres`, and each change on DR is one line of difference."""
    estate.run("postgres", *understood(ROLES))
    if int(str(estate.value("postgres", "SHOW server_version_num", "primary"))) >= 160000:
        estate.run("postgres", "GRANT reader TO auditor WITH INHERIT FALSE, SET FALSE GRANTED BY app")
    estate.run("shop", "CREATE TABLE t (n int)")
    estate.back_up()
    estate.allowed += [f"role {name}" for name in ("app", "reader", "auditor", 'odd"; name\n')]
    estate.allowed += ["setting log_min_duration_statement", "setting session_preload_libraries"]
    restored = estate.restore()
    assert restored.findings == ()
    assert {note.partition(":")[0] for note in restored.notes} >= {"role reader", "setting session_preload_libraries"}
    assert all(note.endswith(": restored, as [restore.allow] says") for note in restored.notes)
    server = parse(b"".join(estate.newest.read(PATH)))
    sql = estate.dr.place.sql
    assert differences(sql, server, ("postgres", "shop")) == ()
    assert estate.rows("postgres", "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 10") == [
        (["DateStyle=German, YMD", "statement_timeout=1"],)
    ]
    for change, line in (
        ("ALTER ROLE app PASSWORD 'other'", "role app: another verifier"),
        ("ALTER ROLE reader NOBYPASSRLS", "role reader: another bypassrls"),
        ("DROP ROLE auditor", ""),
        ("ALTER ROLE postgres RESET statement_timeout", "setting statement_timeout of role postgres: missing"),
        ("ALTER DATABASE postgres SET work_mem = '8MB'", "setting work_mem of role ALL in database postgres: another"),
        ("ALTER DATABASE shop IS_TEMPLATE false", "database shop: another template"),
        ("GRANT TEMPORARY ON DATABASE shop TO PUBLIC", "grant not in the backup: database shop: TEMPORARY to PUBLIC"),
    ):
        if not line:
            continue
        estate.run("postgres", change, site="dr")
        found = differences(sql, server, ("postgres", "shop"))
        assert any(entry.startswith(line) for entry in found), (change, found)
        assert not any("SCRAM" in entry for entry in found)


def test_case_17_settings_of_databases_and_roles_break_no_backup_and_come_back(estate: CaseEstate) -> None:
    estate.run("postgres", "CREATE ROLE reader")
    for number, settings in enumerate(HOSTILE):
        estate.create(f"shop{number}", "CREATE TABLE t (v text)", "INSERT INTO t VALUES ('10 €')")
        for setting in settings:
            estate.run("postgres", f"ALTER DATABASE shop{number} SET {setting}", f"ALTER ROLE postgres SET {setting}")
    estate.back_up()
    estate.allowed += ["setting session_preload_libraries"]
    estate.restore()
    assert estate.value("shop1", "SELECT v FROM public.t") == "10 €"
    query = (
        "SELECT setrole, coalesce(datname, ''), setconfig FROM pg_db_role_setting"
        " LEFT JOIN pg_database d ON d.oid = setdatabase ORDER BY 1, 2"
    )
    assert estate.rows("postgres", query) == estate.rows("postgres", query, "primary") != []


DOMAIN = (  # case 16: pg_dump keeps a constraint that is not valid until the data are there
    "CREATE DOMAIN small AS int",
    "CREATE TABLE sizes (n small)",
    "INSERT INTO sizes VALUES (1000)",
    "ALTER DOMAIN small ADD CONSTRAINT is_small CHECK (VALUE < 10) NOT VALID",
)


def test_case_3_templates_and_connection_limits_come_back(estate: CaseEstate) -> None:
    estate.create("golden", "CREATE TABLE t AS SELECT generate_series(1, 500) AS n")
    estate.create("narrow", *DOMAIN)
    estate.run("template1", "CREATE TABLE always (n int)")
    estate.run("postgres", "ALTER DATABASE golden IS_TEMPLATE true", "ALTER DATABASE narrow CONNECTION LIMIT 0")
    estate.back_up()
    estate.restore()
    assert estate.value("golden", "SELECT count(*) FROM t") == 500
    query = "SELECT datname::text, datistemplate, datconnlimit FROM pg_database ORDER BY 1"
    assert estate.rows("postgres", query) == estate.rows("postgres", query, "primary")
    estate.create("copied", site="dr")
    assert estate.value("copied", "SELECT count(*) FROM always") == 0


REASONS = {
    "check": (
        (
            "CREATE FUNCTION any_rate() RETURNS bool LANGUAGE plpgsql"
            " AS 'BEGIN RETURN EXISTS (SELECT FROM rates); END'",
            "CREATE TABLE rates (n int)",
            "INSERT INTO rates VALUES (1)",
            "CREATE TABLE prices (n int CHECK (any_rate()))",
            "INSERT INTO prices VALUES (1)",
        ),
        r'TABLE DATA prices postgres: COPY failed for table "prices": ERROR: relation "rates" does not exist',
    ),
    "index": (
        (
            "CREATE TABLE codes (n int)",
            "CREATE UNIQUE INDEX code ON codes (n)",
            "INSERT INTO codes VALUES (1)",
            "UPDATE pg_index SET indisready = false, indisvalid = false WHERE indexrelid = 'code'::regclass",
            "INSERT INTO codes VALUES (1)",
            "UPDATE pg_index SET indisready = true, indisvalid = true WHERE indexrelid = 'code'::regclass",
        ),
        r'INDEX code postgres: could not execute query: ERROR: could not create unique index "code"',
    ),
}


@pytest.mark.parametrize(("statements", "said"), REASONS.values(), ids=REASONS)
def test_case_16_the_first_error_is_the_reason(estate: CaseEstate, statements: tuple[str, ...], said: str) -> None:
    estate.create("shop", *statements, *(f"CREATE TABLE other_{n} AS SELECT {n} AS n" for n in range(20)))
    estate.back_up()
    with pytest.raises(RestoreFailed, match=rf"database shop at .*: {said}") as failed:
        estate.restore()
    assert "worker" not in str(failed.value)
    assert [event.message for event in estate.journal.events if event.kind in ("log", "stop")][-2:] == [
        "2.5.1",
        "2.5.2",
    ]


def reaches(estate: CaseEstate) -> int:
    """Return how often the primary's database `source` was asked."""
    return int(str(estate.value("source", "SELECT last_value FROM calls", "primary")))


def outward(estate: CaseEstate) -> str:
    """Make a database on the primary that counts its callers, and one that calls it; return the connection string."""
    address = estate.primary.place.sql.outside
    estate.create("source", "CREATE SEQUENCE calls", "CREATE ROLE caller LOGIN SUPERUSER PASSWORD 'caller'")
    estate.run("source", "CREATE TABLE fed (n int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE fed")
    estate.run("source", "CREATE VIEW count_calls AS SELECT nextval('calls')::int AS n")
    target = f"host={address.host} port={address.port} dbname=source user=caller password=caller"
    server = f"OPTIONS (host '{address.host}', port '{address.port}', dbname 'source')"
    estate.create(
        "shop",
        "CREATE EXTENSION postgres_fdw",
        "CREATE EXTENSION dblink",
        f"CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw {server}",
        "CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'caller', password 'caller')",
        "CREATE FOREIGN TABLE count_calls (n int) SERVER far",
        f"CREATE VIEW by_dblink AS SELECT * FROM dblink('{target}', 'TABLE count_calls') AS t (n int)",  # noqa: S608
        "CREATE MATERIALIZED VIEW near AS SELECT 1 AS n",
        "CREATE MATERIALIZED VIEW far_view AS SELECT * FROM count_calls",
        "CREATE MATERIALIZED VIEW further AS SELECT * FROM by_dblink UNION SELECT * FROM far_view",
        'CREATE MATERIALIZED VIEW "last\nof; all" AS SELECT * FROM near',
        "CREATE MATERIALIZED VIEW never AS SELECT 1 AS n WITH NO DATA",
        "CREATE FUNCTION stop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no DDL''; END'",
        "CREATE TABLE fed (n int PRIMARY KEY)",
        f"CREATE SUBSCRIPTION feed CONNECTION '{target}' PUBLICATION p WITH (connect = false, slot_name = 'feed')",
        "ALTER SUBSCRIPTION feed ENABLE",
        "CREATE EVENT TRIGGER never_ddl ON ddl_command_start EXECUTE FUNCTION stop()",
        "ALTER EVENT TRIGGER never_ddl ENABLE ALWAYS",
    )
    return target


def test_case_16_nothing_that_is_restored_reaches_the_outside_until_its_release(estate: CaseEstate) -> None:
    outward(estate)
    estate.back_up()
    estate.allowed += ["role caller"]
    before = reaches(estate)
    restored = estate.restore()
    assert reaches(estate) == before
    names = [line.split(" of database")[0].split("public.")[1] for line in restored.findings]
    assert names == ["far_view", "further"]
    assert estate.rows("shop", 'SELECT n FROM public."last\nof; all"') == [(1,)]
    for statement in ("SELECT * FROM count_calls", "SELECT * FROM by_dblink"):
        with pytest.raises(Exception, match="held by blackstart"):
            estate.run("shop", statement, site="dr")
    estate.run("shop", "CREATE TABLE quiet_now (n int)", "DROP TABLE quiet_now", site="dr")
    assert reaches(estate) == before
    subscription = "SELECT subenabled, subslotname::text FROM pg_subscription"
    assert estate.rows("shop", subscription) == [(False, "feed")]
    release_all((), estate.dr.place, restored.held, estate.journal).require()
    assert estate.rows("shop", "SELECT evtenabled::text FROM pg_event_trigger") == [("A",)]
    estate.run("shop", "SELECT * FROM by_dblink; SELECT * FROM far_view", site="dr")
    assert reaches(estate) > before
    assert estate.rows("shop", subscription) == [(True, "feed")]
    assert estate.value("shop", "SELECT count(*) FROM pg_subscription_rel WHERE srrelid = 'fed'::regclass") == 1
    assert estate.value("shop", "SELECT relispopulated FROM pg_class WHERE relname = 'never'") is False


def test_case_13_a_full_disk_is_a_failed_restore_and_leaves_no_dump(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool is on a device that is full: every write to it fails with ENOSPC."""
    estate.create("shop", "CREATE TABLE t AS SELECT n, repeat(md5(n::text), 40) AS v FROM generate_series(1, 5000) n")
    estate.back_up()
    spool = estate.dr.site.volume("spool")
    real = type(spool).open

    def full(volume: FolderVolume, path: str, mode: str) -> IO[bytes]:
        return open("/dev/full", "wb") if path.endswith(".dump") else real(volume, path, mode)  # noqa: PTH123

    monkeypatch.setattr(type(spool), "open", full)
    with pytest.raises(RestoreFailed, match="No space left on device"):
        estate.restore()
    (told,) = estate.facts("2.5.1")
    said = r"volume spool of dr: No space left on device; the dumps of this backup need \d+ MB there"
    assert re.fullmatch(said, str(told["error"]))
    assert len(estate.facts("2.5.2")) == 1
    assert list(spool.walk()) == []
    assert estate.rows("postgres", "SELECT FROM pg_database WHERE datname = 'shop'") == []
