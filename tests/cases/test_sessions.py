"""Cases 17, 18, 19: sessions that no database, role or server disturbs; passwords and names of any form; encodings."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from harness.core.errors import HarnessError, UsageError
from harness.core.service import Sql
from harness.estate.site import EstateSite
from harness.postgres.server import connect, maintenance
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.programs]

# What a role or a database can set, and what would stop a backup or a restore, or change it.
HOSTILE = {
    "client_encoding": "'LATIN1'",
    "search_path": "'nowhere'",
    "row_security": "off",
    "statement_timeout": "'1ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    "idle_session_timeout": "'1ms'",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "'serializable'",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "'sql_standard'",
    "TimeZone": "'Asia/Tokyo'",
    "extra_float_digits": "-3",
    "bytea_output": "'escape'",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "check_function_bodies": "on",
    "session_replication_role": "'replica'",
    "session_preload_libraries": "'nothere'",
    "default_tablespace": "'nowhere'",
    "xmloption": "'document'",
    "temp_file_limit": "0",
}
NEWER = {"transaction_timeout": "'1ms'"}
TABLE = (
    "CREATE TABLE prices (name text PRIMARY KEY, at timestamptz DEFAULT '2026-03-29 02:30:00.5+01', real_ float8,"
    " raw bytea, span interval, tags text[])",
    "INSERT INTO prices (name, real_, raw, span, tags) VALUES ('10 €', 0.1::float8 + 0.2, '\\x00ff5c27',"
    " '1 mon -3 days 04:05:06.7', '{NULL,\"NULL\"}')",
)


def major_of(estate: CaseEstate) -> int:
    return int(str(estate.value("postgres", "SHOW server_version_num"))) // 10000


def with_user(estate: CaseEstate, name: str, password: str, folder: Path) -> None:
    """Make both sites of the estate connect as another superuser."""
    secret = folder / "password"
    secret.write_text(password)
    for site in (estate.primary, estate.dr):
        with connect(site.place.sql) as connection:
            role = psycopg.sql.Identifier(name)
            statement = psycopg.sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}")
            connection.execute(statement.format(role, psycopg.sql.Literal(password)))
        site.sql = as_user(site, name, f"file:{secret}")


def as_user(site: EstateSite, name: str, reference: str) -> Sql:
    sql = site.place.sql
    return Sql(sql.inside, sql.outside, name, reference)


@pytest.mark.parametrize("owner", ["DATABASE app", "ROLE postgres"])
def test_17_no_setting_of_a_database_or_a_role_disturbs_backup_and_restore(estate: CaseEstate, owner: str) -> None:
    estate.create("app", *TABLE)
    settings = HOSTILE | (NEWER if major_of(estate) >= 17 else {})
    estate.run("postgres", *(f"ALTER {owner} SET {name} = {value}" for name, value in settings.items()))
    if owner.startswith("ROLE"):
        estate.run("postgres", *(f"ALTER {owner} SET {name} = {value}" for name, value in settings.items()), site="dr")
    estate.declare("app")
    estate.back_up()
    estate.allowed += [f"setting {name}" for name in settings]
    estate.restore()
    rows = estate.rows("app", "SELECT name, at::text, raw::text, real_, tags FROM prices")
    assert rows == [("10 €", "2026-03-29 01:30:00.5+00", "\\x00ff5c27", 0.1 + 0.2, [None, "NULL"])]
    if owner.startswith("DATABASE"):  # production's settings come back as they were
        query = "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = 0 ORDER BY 1"
        assert estate.rows("postgres", query) == estate.rows("postgres", query, site="primary")


def test_17_a_role_that_a_role_sets_is_not_taken(estate: CaseEstate) -> None:
    estate.create("app", *TABLE)
    for site in ("primary", "dr"):
        estate.run("postgres", "CREATE ROLE nobody", "ALTER ROLE postgres SET role = 'nobody'", site=site)
    assert estate.value("app", "SELECT current_user", site="primary") == "postgres"
    estate.declare("app")
    estate.back_up()
    assert estate.restore().rows == 1


def test_17_a_broken_login_trigger_locks_nobody_out(estate: CaseEstate) -> None:
    if major_of(estate) < 17:
        pytest.skip("login triggers came with PostgreSQL 17")
    estate.create("app", *TABLE)
    estate.run(
        "app",
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'closed'; END $$",
        "CREATE EVENT TRIGGER gate ON login EXECUTE FUNCTION refuse()",
        "ALTER EVENT TRIGGER gate ENABLE ALWAYS",
    )
    estate.declare("app")
    estate.back_up()
    estate.restore()
    assert estate.value("app", "SELECT evtname FROM pg_event_trigger") == "gate"  # disabled until the release


@pytest.mark.parametrize(
    "password", ["a:b\\c", "\\", ":", " with spaces ", "quote ' and \" and #", "@{secret:x}", "pä€"]
)
def test_18_the_superuser_may_have_any_password(estate: CaseEstate, password: str, tmp_path: Path) -> None:
    estate.create("app", *TABLE)
    with_user(estate, "keeper", password, tmp_path)
    estate.declare("app")
    estate.back_up()
    assert estate.restore().rows == 1


def test_18_a_password_with_a_newline_is_refused_with_one_line(estate: CaseEstate, tmp_path: Path) -> None:
    estate.create("app", *TABLE)
    with_user(estate, "keeper", "two\nlines", tmp_path)
    estate.declare("app")
    with pytest.raises((HarnessError, AssertionError), match="a password file cannot hold a newline") as refused:
        estate.back_up()
    assert "two" not in str(refused.value)


@pytest.mark.parametrize("user", ["odoo", 'O\'Hara \\ "quoted"', "user with = and @{file:pgpass}"])
def test_19_the_superuser_may_have_any_name(estate: CaseEstate, user: str, tmp_path: Path) -> None:
    estate.create("app", *TABLE)
    with_user(estate, user, "secret", tmp_path)
    estate.declare("app")
    estate.back_up()
    assert estate.restore().rows == 1


def test_19_the_server_needs_no_database_called_postgres(estate: CaseEstate) -> None:
    for site in (estate.primary, estate.dr):
        with connect(site.place.sql, "template1") as connection:
            connection.execute("DROP DATABASE postgres")
        assert maintenance(site.place.sql) == "template1"
    with connect(estate.primary.place.sql, "template1") as connection:
        connection.execute("CREATE DATABASE app")
    estate.run("app", *TABLE)
    estate.declare("app")
    estate.back_up()
    assert estate.restore().rows == 1


@pytest.mark.parametrize("name", ["back\\slash", "it's", "host=nowhere port=1", "ünïcode €"])
def test_a_database_may_have_any_name(estate: CaseEstate, name: str) -> None:
    estate.create(name, *TABLE)
    estate.declare(name)
    estate.back_up()
    assert estate.restore().rows == 1


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "EUC_KR", "WIN1252", "SQL_ASCII", "MULE_INTERNAL", "UTF8"])
def test_17_every_encoding_is_backed_up_and_compared(estate: CaseEstate, encoding: str) -> None:
    with connect(estate.primary.place.sql) as connection:
        connection.execute(f"CREATE DATABASE app ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'".encode())
    estate.run("app", "CREATE TABLE notes (id int, note text)", "INSERT INTO notes VALUES (1, 'plain')")
    if encoding in {"SQL_ASCII", "LATIN1"}:  # bytes that are not UTF-8, in a row and in a name
        with connect(estate.primary.place.sql, "app") as connection:
            connection.execute("SET client_encoding = 'LATIN1'")
            connection.execute(b'CREATE TABLE "caf\xe9" ("pr\xe9nom" text)')
            connection.execute(b"INSERT INTO \"caf\xe9\" VALUES ('\xe9t\xe9')")
    estate.declare("app")
    estate.back_up()
    estate.restore()
    assert estate.value("app", "SHOW server_encoding") == encoding
    assert estate.value("app", "SELECT note FROM notes") == "plain"
    if encoding in {"SQL_ASCII", "LATIN1"}:
        name = "encode(convert_to(relname::text, getdatabaseencoding()), 'hex')"
        assert estate.value("app", f"SELECT {name} FROM pg_class WHERE relname LIKE 'caf%'") == "636166e9"  # noqa: S608


def test_a_name_whose_bytes_are_no_text_is_shown(estate: CaseEstate) -> None:
    with connect(estate.primary.place.sql) as connection:
        connection.execute("CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    with connect(estate.primary.place.sql, "raw") as connection:
        connection.execute("SET client_encoding = 'LATIN1'")
        connection.execute(b'CREATE ROLE "caf\xe9"')
    assert ("caf\\xe9",) in estate.rows("postgres", "SELECT rolname FROM pg_roles", site="primary")


def test_a_password_that_is_no_text_is_refused(estate: CaseEstate, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        connect(as_user(estate.primary, "postgres", f"file:{secret}"))
